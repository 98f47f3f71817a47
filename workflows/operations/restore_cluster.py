"""RestoreCluster: a new cluster from the backups of another one, as that was at one moment. The other is not touched.

Whether the moment can be restored is settled before anything is made. No client gets in before every user has a
password of the new cluster's.
"""

from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.archive_facts import unknown_since
    from model.backups import Backups, BackupType, Reading, RepositoryKind
    from model.cluster import ARCHIVING_FAILS, ClusterPhase, ClusterSpec, ClusterState, NodePhase, NodeRole, Tls
    from model.effects import Bootstrap, ClusterKey, HostCheck, RepositoryRef
    from model.errors import InvalidInput, MpgError, Refused
    from model.facts import CatalogIs, PhaseIs
    from model.operations import OperationResult, RestoreClusterRequest
    from model.restore import RecoveryPoint, check_reachable, choose, say
    from model.tuning import connection_limit
    from workflows.call import call
    from workflows.operation import Done, Operation
    from workflows.operations import new_cluster
    from workflows.operations.new_cluster import FIRST, NewCluster
    from workflows.operations.scheduling import SCHEDULE, schedule_backups

ARCHIVE_S = 30.0
"""How long the archiver may take for what a living source has committed until now."""
FIRST_BACKUP = timedelta(minutes=5)
"""How long a living source that has no backup may take to begin one; its watch does within a minute."""
LOOK_AGAIN_S = 2.0
OPEN_TAKEOVER = timedelta(minutes=2)
"""How long a living source may take to archive what a takeover left out; it looks again after half a minute."""
GIVE_PASSWORDS = "give the users their passwords"
SET_UP_REPOSITORY = "set up the repository of backups"


@workflow.defn
class RestoreCluster(Operation):
    """Make a cluster from backups."""

    def __init__(self) -> None:
        """Begin without a turn."""
        super().__init__()
        self._warnings: list[str] = []
        self._last_commit_at: datetime | None = None
        self._archived_until: datetime | None = None
        """Every commit until then is in the archive for certain; None: not known."""
        self._at_end = False

    @workflow.run
    async def run(self, request: RestoreClusterRequest) -> OperationResult:
        """Look, then restore beside the way in, then let clients in; undone by removing all that was made."""

        async def steps() -> Done:
            restore = f"restore {request.target} of {self._source.state.spec.name}"
            self.plan(
                new_cluster.MAKE_NETWORK,
                restore,
                new_cluster.MAKE_ENDPOINT,
                new_cluster.START_POOLERS,
                new_cluster.START_FIRST,
                GIVE_PASSWORDS,
                SET_UP_REPOSITORY,
                new_cluster.OPEN_ENDPOINT,
                new_cluster.START_SECOND,
                new_cluster.BRING_IN_SYNC,
                *([SCHEDULE] if self.state.spec.backups else []),
            )
            await self._new.make_network()
            await self.together(self._restore(restore), self._new.make_way_in())
            await self.together(self._serve(), self._new.make_replica(), self._set_up_repository())
            await self._new.bring_in_sync()
            await self.conclude(PhaseIs(phase=ClusterPhase.READY))
            missing = await schedule_backups(self, BackupType.FULL)
            return Done(self._told(request) + missing)

        return await self.operate(request, steps, lambda: self._begin(request))

    # --- before anything is made --------------------------------------------------------------------------------------

    async def _begin(self, request: RestoreClusterRequest) -> ClusterState:
        """See what can be restored, and that the host has room; then claim the name and begin the record."""
        key = ClusterKey(cluster_id=request.source_id)
        self._source = await call(effects.READ_SOURCE, key, summary="look the source up")
        check_reachable(self._source)
        # Before anything is chosen: what is read from here on stays, whichever host removes backups.
        self._on_record = workflow.patched("reads-on-record")
        await self._begin_reading(request)
        room = await new_cluster.see_room(_room(request, self._source.state.spec), request.host)
        self._point = await self._choose(request)
        await self._begin_reading(request, self._point.backup_id)
        self._new = NewCluster(self, room)
        return await self._new.begin(_spec(request, room, self._source.state.spec), request.operation)

    async def _begin_reading(self, request: RestoreClusterRequest, backup_id: str | None = None) -> None:
        if not self._on_record:
            return
        info = workflow.info()
        reading = Reading(operation_id=info.workflow_id, run_id=info.run_id, backup_id=backup_id)
        arg = effects.BeginReadingInput(cluster_id=request.source_id, reading=reading)
        summary = f"have backup {backup_id} stay" if backup_id else "have its backups stay"
        await call(effects.BEGIN_READING, arg, summary=summary)

    async def _choose(self, request: RestoreClusterRequest) -> RecoveryPoint:
        source = self._source.state.spec
        assert source.backups is not None, "check_reachable saw to it"
        if source.backups.repository.kind is RepositoryKind.VOLUME and source.host != request.host:
            raise InvalidInput(
                f"The backups of {source.name} are on host {source.host}, so it cannot be restored on {request.host}."
            )
        if request.latest and self._lacks_backup() and workflow.patched("first-backup"):
            await self.do(f"wait for the first backup of {source.name}", self._await_first_backup)
        if self._is_open(request) and workflow.patched("open-takeover"):
            known = f"wait until it is known that the archive of {source.name} is whole"
            await self.do(known, lambda: self._await_closed(request))
        end = await self._end_of_archive(request)
        # Not the source's host, which may be lost: a volume is on this one as well, and a store is reached from any.
        contents = await call(
            effects.READ_REPOSITORY, self._repository, summary="see what can be restored", host=request.host
        )
        known = self._source.state.status.backups
        return choose(contents, request.target, end, known.holes, known.proofs)

    def _lacks_backup(self) -> bool:
        """Tell whether the source is so new that its first backup is still to come."""
        known = self._source.state.status.backups
        return not self._source.over and known.latest() is None and known.failure is None

    async def _await_first_backup(self) -> None:
        """It is being made, or the source's watch is about to begin it. Where it fails there is nothing to restore."""
        bound = workflow.now() + FIRST_BACKUP
        while self._lacks_backup():
            running = self._source.state.status.backups.running
            if running is not None:
                arg = effects.AwaitOperationInput(operation_id=running.operation_id, run_id=running.run_id)
                await call(effects.AWAIT_OPERATION_END, arg, summary=f"wait for the end of {running.operation_id}")
            elif workflow.now() > bound:
                return
            # Also after its end, which is noted in whole seconds: what was committed later can be restored.
            await self._look_again()

    async def _look_again(self) -> None:
        await workflow.sleep(LOOK_AGAIN_S)
        key = ClusterKey(cluster_id=self._source.state.spec.id)
        self._source = await call(effects.READ_SOURCE, key, summary="look the source up again")

    def _is_open(self, request: RestoreClusterRequest) -> bool:
        """Tell whether what is asked for may lie behind WAL that a takeover left to be archived, and soon will be."""
        status = self._source.state.status
        since = unknown_since(status)
        if self._source.over or request.backup_id is not None or since is None or status.condition(ARCHIVING_FAILS):
            return False
        return request.pitr_time is None or request.pitr_time >= since

    async def _await_closed(self, request: RestoreClusterRequest) -> None:
        """Where it takes too long the restore itself finds out whether there is a hole."""
        bound = workflow.now() + OPEN_TAKEOVER
        while self._is_open(request) and workflow.now() < bound:
            await self._look_again()

    async def _end_of_archive(self, request: RestoreClusterRequest) -> datetime:
        """Return the last moment that can be restored, after everything until now was archived where that is possible.

        A source that cannot archive is restored to what its archive has: it may be lost, and that is why.
        """
        kept, primary = self._source.kept, self._source.state.status.primary
        if self._source.over and kept is not None:
            if not kept.flushed and request.backup_id is None:
                self._warnings.append("What was committed last before the destruction may be lacking in its archive.")
            if kept.flushed:
                self._archived_until = kept.end
            return self._known_end(kept.end)
        if request.backup_id is not None:
            return workflow.now()
        try:
            if primary is None or primary.phase is not NodePhase.RUNNING:
                raise Refused("It has no primary that runs.")
            arg = effects.ArchiveNowInput(cluster_id=request.source_id, primary=primary, timeout_s=ARCHIVE_S)
            archived = await call(effects.ARCHIVE_NOW, arg, summary="have everything until now archived")
        except MpgError as error:
            self._warnings.append(f"What was not archived of {self._source.state.spec.name} could not be had: {error}")
            return self._known_end(workflow.now())
        self._archived_until = archived.at
        return archived.at

    def _known_end(self, end: datetime) -> datetime:
        """Return *end*, or where archiving failed by then, since when: what is shown as the end of the window."""
        failing = self._source.state.status.condition(ARCHIVING_FAILS)
        if failing is None or self._archived_until is not None or not self._on_record:
            return end
        return min(end, failing.since)

    @property
    def _repository(self) -> RepositoryRef:
        spec = self._source.state.spec
        assert spec.backups is not None, "check_reachable saw to it"
        return RepositoryRef(cluster_id=spec.id, repository=spec.backups.repository, image=spec.image)

    # --- steps --------------------------------------------------------------------------------------------------------

    async def _restore(self, step: str) -> None:
        arg = effects.RestoreDataInput(
            spec=self._new.node_spec(FIRST, NodeRole.PRIMARY), source=self._repository, point=self._point
        )
        restored = await self.step(step, effects.RESTORE_DATA, arg)
        self._last_commit_at = restored.last_commit_at
        self._at_end = restored.at_end
        await self._new.make_primary(Bootstrap.KEEP)

    async def _serve(self) -> None:
        await self.do(GIVE_PASSWORDS, self._give_passwords)
        await self._new.open_endpoint()

    async def _give_passwords(self) -> None:
        spec = self.state.spec
        arg = effects.RenewPasswordsInput(target=self.primary, connection_limit=connection_limit(spec.plan))
        await self.effect(effects.RENEW_PASSWORDS, arg, "give every user a password of this cluster")
        found = await self.effect(effects.READ_CATALOG, self.primary, "read users and databases")
        await self.commit(CatalogIs(users=found.users, databases=found.databases, legacy_roles=found.legacy_roles))

    async def _set_up_repository(self) -> None:
        """Have the new cluster archive. A store that does not answer is the alarms' business, no reason to fail."""
        await self.do(SET_UP_REPOSITORY, self._ensure_repository)

    async def _ensure_repository(self) -> None:
        spec = self.state.spec
        if spec.backups is None:
            return
        arg = effects.EnsureRepositoryInput(
            cluster_id=spec.id, repository=spec.backups.repository, image=spec.image, primary=self.primary_node
        )
        try:
            await self.effect(effects.ENSURE_REPOSITORY, arg, SET_UP_REPOSITORY)
        except MpgError as error:
            self._warnings.append(f"Its own backups do not work yet: {error}")

    def _told(self, request: RestoreClusterRequest) -> str:
        source, last, asked = self._source.state.spec, self._last_commit_at, request.pitr_time
        until = f"; the last transaction in it is of {say(last)}" if last else ""
        if asked and self._at_end and (self._archived_until is None or self._archived_until < asked):
            self._warnings.append(
                f"Its archive ends there, before {say(asked)}: whether anything was committed between is not known."
            )
        return " ".join([f"Cluster {request.name} was made from {source.name}{until}.", *self._warnings])


def _room(request: RestoreClusterRequest, source: ClusterSpec) -> effects.CheckHostInput:
    return effects.CheckHostInput(
        plan=request.plan or source.plan.name,
        pg_major_version=source.pg_major_version,
        storage_gb=request.storage_gb or source.storage_gb,
        postgis=source.postgis_enabled,
    )


def _spec(request: RestoreClusterRequest, room: HostCheck, source: ClusterSpec) -> ClusterSpec:
    """Users and databases are not known before Postgres was asked: nobody gets in before."""
    own = room.backups or source.backups
    return ClusterSpec(
        id=request.cluster_id,
        name=request.name,
        org=request.org,
        region=request.region,
        host=request.host,
        plan=room.plan,
        pool_mode=request.pool_mode or source.pool_mode,
        pg_major_version=source.pg_major_version,
        image=room.image,
        storage_gb=request.storage_gb or source.storage_gb,
        durability=request.durability or source.durability,
        postgis_enabled=source.postgis_enabled,
        allow_list=source.allow_list,
        tls=Tls.OFFERED if source.tls is Tls.OFF else source.tls,
        users=(),
        databases=(),
        backups=own and Backups(repository=own.repository, policy=(source.backups or own).policy),
        created_at=workflow.now(),
    )
