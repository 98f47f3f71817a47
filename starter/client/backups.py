"""Backups: making them, when they are made, and which there are."""

from datetime import datetime, timedelta

from model import names
from model.backups import BackupRun, Backups, BackupType, RepositoryContents
from model.cluster import ClusterSpec, ClusterState
from model.errors import NotFound, Refused, StackDown
from model.operations import (
    BackupRequest,
    OperationOutcome,
    OperationRequest,
    ReadBackupsRequest,
    VerifyBackupRequest,
)
from model.restore import COPY_IT
from model.schedules import SCHEDULED, drill_schedule_id, schedule_id
from model.validation import validated
from starter.client import shapes
from starter.client.adoption import Adoption
from starter.client.operation import Operation
from starter.client.questions import ask
from starter.client.restoring import Restoring
from starter.client.shapes import BackupScheduleShape, BackupShape, VerdictShape
from starter.client.temporal import CALL_TIMEOUT, translated

READ_TIMEOUT = timedelta(seconds=60)
"""Bound on a look at a repository, which is a fraction of a second on a volume."""
RECENT = timedelta(hours=24)
"""How far back a list of backups goes that does not ask for all."""


class BackupCalls(Adoption, Restoring):
    """The part of :class:`starter.client.MpgClient` for backups."""

    async def verify_backup(
        self,
        cluster: str,
        backup_id: str | None = None,
        *,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start a drill: a backup is restored to a place that is thrown away, and everything in it is read.

        By default the latest good one, with the archive after it. Raises :class:`~model.errors.Refused` while another
        drill of the cluster is under way, and for a cluster that was destroyed.
        """
        try:
            return await self._submit(VerifyBackupRequest, cluster, org, request_id, backup_id=backup_id)
        except NotFound:
            spec = (await self._kept(cluster, org)).state.spec
            raise Refused(
                f"Cluster {spec.name} ({spec.id}) was destroyed: its backups are proven by restoring it.",
                remedy=f"mpg restore {spec.id} --latest --name NAME",
            ) from None

    async def verdict(self, operation: Operation) -> VerdictShape:
        """Return the drill *operation* with what it found, as long as that is on the cluster's record."""
        described = await operation.describe()
        found = await self.find(described.cluster_id)
        return shapes.verdict(described, found.state.status.backups.proofs if found else ())

    async def backups(
        self, cluster: str, *, since: datetime | None = None, org: str = names.DEFAULT_ORG
    ) -> tuple[BackupShape, ...]:
        """Return the cluster's backups that began after *since*, or all, the newest first, with one that is being made.

        Also those of a cluster that was destroyed, as long as they are kept; a name is that of the one that lives.
        """
        state = (await self._source(cluster, org)).state
        contents = await self._contents(state.spec)
        running = await self._running(state)
        found = list(shapes.backups(contents.backups, state.status.backups.proofs))
        # It may be there already, while its operation removes what is kept no longer.
        if running and running.operation_id.rpartition("/")[2] not in {each.request_id for each in contents.backups}:
            found.append(shapes.running_backup(running))
        return tuple(each for each in reversed(found) if since is None or each.start >= since)

    async def backup_schedule(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> BackupScheduleShape:
        """Return when the cluster's backups are made, next as well, and how long they are kept."""
        spec = (await self.view(cluster, org=org)).state.spec
        policy = _backups_of(spec).policy
        nexts = {type: await self._next(schedule_id(spec.id, type)) for type in SCHEDULED}
        return BackupScheduleShape(
            **policy.model_dump(),
            next_full=nexts[BackupType.FULL],
            next_incr=nexts[BackupType.INCR],
            next_drill=await self._next(drill_schedule_id(spec.id)),
        )

    async def _next(self, schedule: str) -> datetime | None:
        """Return when Temporal starts the next one; None where the schedule is missing, or paused."""
        handle = self._client.get_schedule_handle(schedule)
        try:
            with translated(self._settings):
                found = await handle.describe(rpc_timeout=CALL_TIMEOUT)
        except NotFound:
            return None
        return None if found.schedule.state.paused else next(iter(found.info.next_action_times), None)

    async def _contents(self, spec: ClusterSpec) -> RepositoryContents:
        repository = _backups_of(spec).repository
        request = validated(
            ReadBackupsRequest,
            cluster_id=spec.id,
            # The cluster's own may be lost.
            host=repository.read_on(spec.host, self._settings.host_name),
            repository=repository,
            image=spec.image,
        )
        return await ask(
            self._client,
            self._settings,
            ReadBackupsRequest.workflow,
            request,
            about=spec.name,
            answer=RepositoryContents,
            within=READ_TIMEOUT,
            summary=f"Which backups {spec.name} has",
            silent=StackDown(f"The repository of {spec.name} does not answer.", remedy="See 'mpg doctor'."),
        )

    async def _running(self, state: ClusterState) -> BackupRun | None:
        """Return the backup that is being made. One on record that was terminated is none."""
        running = state.status.backups.running
        return running if running and await self._is_running(running.operation_id) else None

    async def _is_running(self, operation_id: str) -> bool:
        try:
            found = await Operation(self._client, self._settings, operation_id).describe()
        except NotFound:
            return False
        return found.status is OperationOutcome.RUNNING

    async def _check_beside(self, state: ClusterState, request: OperationRequest) -> None:
        if isinstance(request, BackupRequest) and (running := await self._running(state)):
            raise Refused(
                f"Cluster {state.spec.name} is being backed up already, by {running.operation_id}.",
                remedy="Wait for its end.",
            )
        drill = state.status.backups.drill
        if isinstance(request, VerifyBackupRequest) and drill and await self._is_running(drill.operation_id):
            raise Refused(
                f"A backup of cluster {state.spec.name} is being verified already, by {drill.operation_id}.",
                remedy="Wait for its end.",
            )


def _backups_of(spec: ClusterSpec) -> Backups:
    if spec.backups is None:
        raise Refused(f"Cluster {spec.name} was made before there were backups and has no repository.", remedy=COPY_IT)
    return spec.backups
