"""AdoptCluster: a cluster whose record was lost is on record again, as its containers and Postgres tell it.

Nothing is on record before all of it is known, and nothing that the cluster is made of is ever removed here.
"""

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from temporalio.common import WorkflowIDReusePolicy

    from model import effects
    from model.adoption import EnsureAccessInput, ReadClusterInput
    from model.backups import BackupType
    from model.cluster import ClusterState, NodePhase
    from model.errors import AlreadyExists
    from model.facts import Fact, RepositoryIs, UserIs, apply
    from model.operations import AdoptClusterRequest, OperationResult
    from model.tuning import connection_limit
    from workflows.call import call
    from workflows.cluster.start import start_record
    from workflows.nodes import Nodes
    from workflows.operation import Done, Operation
    from workflows.operations.naming import claim_name_for
    from workflows.operations.scheduling import SCHEDULE, schedule_backups

ENTER = "see that the platform can log in"
ENTER_NEWLY = "give the platform's roles passwords of this key"
SERVE = "put the cluster back in service"
READ = "read users and databases"
RECORD = "put the cluster on record"
BRING_IN_SYNC = "bring the replica in sync"
LIMIT = "set the users' connection limits"


@workflow.defn
class AdoptCluster(Operation):
    """Take over a cluster that no workflow knows."""

    def __init__(self) -> None:
        """Begin without a turn."""
        super().__init__()
        self._nodes = Nodes(self)

    @workflow.run
    async def run(self, request: AdoptClusterRequest) -> OperationResult:
        """Look, log in, settle, read, then record. Undone, before it is on record, by giving the name back."""

        async def steps() -> Done:
            if self._is_to_renew(request):
                return await self._renew_key()
            if self._reading.known:
                return Done(f"Cluster {self.state.spec.name} is known here already.", changed=False)
            enter = ENTER_NEWLY if request.new_key else ENTER
            schedule = [SCHEDULE] if self.state.spec.backups else []
            self.plan(enter, SERVE, READ, RECORD, BRING_IN_SYNC, LIMIT, *schedule)
            await self.finish(self._enter(enter, new_key=request.new_key))
            await self.finish(self._serve())
            await self._read()
            await self.see_through(self._take_over())
            # The record knows of no backup; the first one tells it of all.
            missing = await schedule_backups(self, BackupType.INCR)
            return Done(self._told("is on record again") + missing)

        return await self.operate(request, steps, lambda: self._begin(request))

    # --- the turn: this operation begins the cluster's record again, and is its first holder --------------------------

    async def _begin(self, request: AdoptClusterRequest) -> ClusterState:
        """Rebuild the state from the containers, and claim the name."""
        arg = ReadClusterInput(cluster_id=request.cluster_id, name=request.name)
        self._reading = await call(effects.READ_CLUSTER, arg, summary="read the containers' labels", host=request.host)
        self.state = self._reading.state
        if self._is_to_renew(request):
            return await self._ask_for_turn(request)
        if not self._reading.known:
            await self.finish(claim_name_for(self))
        return self.state

    def _is_to_renew(self, request: AdoptClusterRequest) -> bool:
        return self._reading.known and request.new_key and self._reading.other_key is not None

    async def _renew_key(self) -> Done:
        """Give a cluster on record the stack's key; of its record change the passwords' versions and where it archives.

        What was encrypted with the former key stays where it is, and a first backup is begun beside it.

        A former try may have been cut off between the two steps: the second one is done in any case.
        """
        self.plan(ENTER_NEWLY, READ)
        if self._reading.other_key:
            await self.finish(self._enter(ENTER_NEWLY, new_key=True))
        catalog = await self.step(READ, effects.READ_CATALOG, self.primary)
        versions = {user.name: user.password_version for user in catalog.users}
        facts: list[Fact] = [
            UserIs(user=user.model_copy(update={"password_version": versions[user.name]}))
            for user in self.state.spec.users
            if versions.get(user.name, user.password_version) != user.password_version
        ]
        facts += self._new_repository()
        if facts:
            await self.conclude(*facts)
        return Done(self._told("has this stack's master key"), changed=bool(self._reading.other_key or facts))

    def _new_repository(self) -> list[Fact]:
        backups, key = self.state.spec.backups, self._reading.stack_key
        if backups is None or key is None or backups.repository.key_id == key:
            return []
        return [RepositoryIs(repository=backups.repository.model_copy(update={"key_id": key}))]

    # --- steps --------------------------------------------------------------------------------------------------------

    async def _enter(self, step: str, *, new_key: bool) -> None:
        arg = EnsureAccessInput(state=self.state, new_key=new_key)
        await self.step(step, effects.ENSURE_ACCESS, arg)

    async def _serve(self) -> None:
        """An operation may have been cut off: poolers are paused, rules missing, nodes stopped."""
        seen = await self.step(SERVE, effects.SETTLE_CLUSTER, effects.SettleInput(state=self.state))
        self.state = apply(self.state, seen.facts)

    async def _read(self) -> None:
        found = await self.step(READ, effects.READ_CATALOG, self.primary)
        spec = self.state.spec.model_copy(
            update={
                "users": found.users,
                "databases": found.databases,
                "legacy_roles": found.legacy_roles,
                "former_users": found.former_users,
                "storage_gb": max(self.state.spec.storage_gb, found.storage_gb or 0),
                "auto_grow": found.auto_grow,
            }
        )
        self.state = self.state.model_copy(update={"spec": spec})

    async def _take_over(self) -> None:
        await self.do(RECORD, self._record)
        await self.do(BRING_IN_SYNC, self._bring_in_sync)
        await self.do(LIMIT, self._limit_users)

    async def _record(self) -> None:
        try:
            # One that was terminated has no record any more; one that came to its end was destroyed.
            await start_record(
                self.state, AdoptClusterRequest.operation, WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
            )
        except WorkflowAlreadyStartedError as error:
            raise AlreadyExists(f"There is, or was, a cluster with id {self.state.spec.id} on record.") from error
        self.keep()

    async def _bring_in_sync(self) -> None:
        """A replica that does not run must not hold commits up; the cluster's watch brings it back after this."""
        replica = self.state.status.replica
        if replica is None:
            return
        if replica.phase is NodePhase.RUNNING:
            await self._nodes.rejoin_replica(replica)
        else:
            await self._nodes.release_replica(replica)

    async def _limit_users(self) -> None:
        """Those of the plan: a change of plan may have been cut off before it came to them."""
        spec = self.state.spec
        arg = effects.SetConnectionLimitsInput(
            target=self.primary,
            usernames=tuple(user.name for user in spec.users),
            connection_limit=connection_limit(spec.plan),
        )
        await self.effect(effects.SET_CONNECTION_LIMITS, arg, f"give the users the limits of plan {spec.plan.name}")

    def _told(self, what: str) -> str:
        """What was done, and all that somebody has to know of it."""
        spec = self.state.spec
        holds = f"{_counted(len(spec.users), 'user')} and {_counted(len(spec.databases), 'database')}"
        said = [f"Cluster {spec.name} {what}, with {holds}."]
        unknown = [user.name for user in spec.users if not user.password_known]
        if unknown:
            said.append(
                f"Not known here are the passwords of {', '.join(unknown)}: they are in force as before, and to show "
                "one it has to be rotated."
            )
        return " ".join([*said, *self._reading.notes])


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
