"""Cluster: a cluster's own workflow, its only state store, which grants turns to operations.

Turns are granted first come, first served. A turn ends when the operation's workflow ends, however it ends: one
activity waits for that, so an operation that was terminated or timed out cannot keep the turn.
"""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from model import effects, search_attributes
    from model.base import Record
    from model.cluster import (
        ClusterPhase,
        ClusterState,
        ClusterView,
        Condition,
        Durability,
        OperationRef,
        PoolerPhase,
    )
    from model.effects import Effect, I, O, OperationEnd, Target
    from model.errors import MpgError
    from model.facts import ConditionIs, Fact, PhaseIs, PoolersAre, apply
    from model.operations import Commit, TurnGrant, TurnRequest
    from workflows.call import call
    from workflows.claims import release_name
    from workflows.nodes import bring_in_sync
    from workflows.search import upsert

HANDLED_KEPT = 1000
"""How many ids of past operations are kept, so that a repeated request for a turn is seen as one."""

NEEDS_OPERATOR = "NeedsOperator"
"""Type of the condition that says what an operator has to do."""

OVER = frozenset({ClusterPhase.DESTROYED, ClusterPhase.ERROR})
"""Phases in which the cluster's workflow ends."""


class ClusterStart(Record):
    """What the workflow begins with, at first and after each continue-as-new."""

    state: ClusterState
    holder: OperationRef | None = None
    queue: tuple[TurnRequest, ...] = ()
    handled: tuple[str, ...] = ()


@workflow.defn
class Cluster:
    """One cluster, for as long as it lives."""

    @workflow.init
    def __init__(self, start: ClusterStart) -> None:
        """Begin with what *start* carries."""
        self._state = start.state
        self._holder = start.holder
        self._queue = list(start.queue)
        self._handled = list(start.handled)
        self._shown: tuple[str, str] | None = None
        self._draining: dict[str, asyncio.Task[None]] = {}

    @workflow.run
    async def run(self, start: ClusterStart) -> ClusterState:
        """Grant turns until the cluster is destroyed. Returns its last state."""
        while self._state.status.phase not in OVER:
            self._show()
            self._drain()
            if self._holder is not None:
                await self._follow(self._holder)
            elif workflow.info().is_continue_as_new_suggested():
                self._continue_as_new()
            elif self._queue:
                await self._grant(self._queue.pop(0))
            else:
                await workflow.wait_condition(self._something_to_do)
        await self._close()
        return self._state

    # --- what others say and ask ----------------------------------------------------------------------------------

    @workflow.signal
    def request_turn(self, request: TurnRequest) -> None:
        """An operation wants its turn. A request that was heard before changes nothing."""
        if request.operation_id in self._handled:
            return
        self._handled = [*self._handled[-HANDLED_KEPT:], request.operation_id]
        self._queue.append(request)

    @workflow.signal
    def commit(self, commit: Commit) -> None:
        """The holder of the turn reports facts. Nobody else's are believed."""
        if self._holder is None or commit.operation_id != self._holder.id:
            workflow.logger.warning("commit of an operation that has no turn", extra={"id": commit.operation_id})
            return
        self._learn(commit.facts)

    @workflow.query
    def view(self) -> ClusterView:
        """The cluster as it stands. An operation that runs shows as phase ``updating``."""
        state = self._state
        if self._holder is not None and state.status.phase is ClusterPhase.READY:
            state = apply(state, [PhaseIs(phase=ClusterPhase.UPDATING)])
        return ClusterView(state=state, operation=self._holder, waiting=len(self._queue))

    @workflow.update
    async def read_extensions(self, database: str) -> effects.Extensions:
        """The extensions of *database*, read from Postgres now."""
        spec, primary = self._state.spec, self._state.status.primary
        if spec.database(database) is None or primary is None:
            raise ApplicationError(f"Cluster {spec.name} has no database {database!r}.", type="NotFound")
        target = Target(cluster_id=spec.id, address=primary.address)
        arg = effects.ReadExtensionsInput(target=target, database=database)
        try:
            return await call(effects.READ_EXTENSIONS, arg, summary=f"read the extensions of {database}")
        except MpgError as error:
            # Any other exception would fail the workflow's task, not the update.
            raise ApplicationError(str(error), type=type(error).__name__) from error

    # --- turns ----------------------------------------------------------------------------------------------------

    async def _grant(self, request: TurnRequest) -> None:
        """Hand the turn over. An operation that ended while it waited is passed over."""
        holder = OperationRef(
            id=request.operation_id, run_id=request.run_id, type=request.type, started_at=workflow.now()
        )
        if self._state.status.phase is ClusterPhase.NEEDS_OPERATOR and self._state.status.primary is not None:
            # Somebody asks again, so perhaps the cause is gone.
            await self._settle()
        # Before the signal: its first commit may be here before we are told that the signal arrived.
        self._holder = holder
        if not await self._tell(request, TurnGrant(state=self._state)):
            self._holder = None

    async def _tell(self, request: TurnRequest, grant: TurnGrant) -> bool:
        operation = workflow.get_external_workflow_handle(request.operation_id, run_id=request.run_id)
        try:
            await operation.signal("grant_turn", grant)
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            return False
        return True

    async def _follow(self, holder: OperationRef) -> None:
        """Wait for the holder's end, and after one that did not complete see what is really there."""
        end = await call(
            effects.AWAIT_OPERATION_END,
            effects.AwaitOperationInput(operation_id=holder.id, run_id=holder.run_id),
            summary=f"follow {holder.id}",
        )
        if not end.completed:
            await self._after_failure(holder, end)
        self._holder = None

    async def _after_failure(self, holder: OperationRef, end: OperationEnd) -> None:
        workflow.logger.info("operation did not complete", extra={"operation": holder.id, "how": end.how})
        phase = self._state.status.phase
        if phase in OVER:
            return
        if phase is ClusterPhase.INITIALIZING:
            await self._remove_everything(ClusterPhase.ERROR)
        elif phase is ClusterPhase.DESTROYING:
            # Part of the data may be gone: the only way is forward.
            await self._remove_everything(ClusterPhase.DESTROYED)
        elif end.how != "rejected":
            await self._settle()

    async def _settle(self) -> None:
        """Put the cluster back in service, and record it as it really is."""
        arg = effects.SettleInput(state=self._state)
        try:
            seen = await self._effect(effects.SETTLE_CLUSTER, arg, "put the cluster back in service")
        except MpgError as error:
            self._give_to_operator(f"It could not be put back in service: {error}")
        else:
            self._learn([*seen.facts, self._no_operator_needed(), PhaseIs(phase=ClusterPhase.READY)])
            await self._bring_in_sync()

    async def _bring_in_sync(self) -> None:
        """Have commits wait for the replica again, if an operation left them without it."""
        replica = self._state.status.replica
        if replica is None or replica.in_sync or self._state.spec.durability is not Durability.SYNC:
            return
        try:
            self._learn(await bring_in_sync(self._effect, self._state))
        except MpgError as error:
            workflow.logger.error("the replica is not in sync", extra={"error": str(error)})

    async def _remove_everything(self, then: ClusterPhase) -> None:
        arg = effects.ClusterKey(cluster_id=self._state.spec.id)
        try:
            await self._effect(effects.REMOVE_CLUSTER, arg, "remove what is left of the cluster")
        except MpgError as error:
            self._give_to_operator(f"It could not be removed; destroy it once the cause is gone: {error}")
        else:
            self._learn([PhaseIs(phase=then)])

    def _give_to_operator(self, message: str) -> None:
        workflow.logger.error("needs an operator", extra={"why": message})
        condition = Condition(type=NEEDS_OPERATOR, status=True, since=workflow.now(), message=message)
        self._learn([ConditionIs(condition=condition), PhaseIs(phase=ClusterPhase.NEEDS_OPERATOR)])

    def _no_operator_needed(self) -> ConditionIs:
        return ConditionIs(condition=Condition(type=NEEDS_OPERATOR, status=False, since=workflow.now(), message=""))

    async def _effect(self, effect: Effect[I, O], arg: I, summary: str) -> O:
        return await call(effect, arg, summary=summary, host=self._state.spec.host)

    # --- poolers of a former mode -----------------------------------------------------------------------------------

    def _drain(self) -> None:
        """See that every draining pooler is watched until its last client is gone."""
        for pooler in self._state.status.poolers:
            if pooler.phase is PoolerPhase.DRAINING and pooler.name not in self._draining:
                self._draining[pooler.name] = asyncio.create_task(self._drain_one(pooler.name))

    async def _drain_one(self, name: str) -> None:
        try:
            await self._await_drained(name)
        except MpgError as error:
            # It is still on record as draining: the cluster's next turn tries again.
            workflow.logger.error("could not drain", extra={"pooler": name, "error": str(error)})
        finally:
            self._draining.pop(name, None)

    async def _await_drained(self, name: str) -> None:
        pooler = next(p for p in self._state.status.poolers if p.name == name)
        endpoint = self._state.status.endpoint
        assert endpoint is not None
        arg = effects.DrainPoolersInput(
            cluster_id=self._state.spec.id,
            endpoint=endpoint,
            poolers=(pooler,),
            since=pooler.draining_since or workflow.now(),
        )
        await self._effect(effects.DRAIN_POOLERS, arg, f"drain {name}")
        left = tuple(p for p in self._state.status.poolers if p.name != name)
        self._learn([PoolersAre(poolers=left)])

    # --- record ---------------------------------------------------------------------------------------------------

    def _learn(self, facts: list[Fact] | tuple[Fact, ...]) -> None:
        self._state = apply(self._state, facts)
        self._show()

    def _show(self) -> None:
        """Keep Temporal's lists true, with an event in history only when something changed."""
        phase, plan = str(self._state.status.phase), self._state.spec.plan.name
        if self._shown == (phase, plan):
            return
        self._shown = (phase, plan)
        upsert(
            search_attributes.STATUS.value_set(phase),
            search_attributes.PLAN.value_set(plan),
            search_attributes.NEEDS_OPERATOR.value_set(phase == ClusterPhase.NEEDS_OPERATOR),
        )

    def _something_to_do(self) -> bool:
        return bool(self._queue) or workflow.info().is_continue_as_new_suggested()

    def _continue_as_new(self) -> None:
        for task in self._draining.values():
            task.cancel()
        workflow.continue_as_new(
            ClusterStart(state=self._state, queue=tuple(self._queue), handled=tuple(self._handled))
        )

    async def _close(self) -> None:
        """Free the name, and tell those who wait that there is nothing left to change."""
        self._holder = None
        self._show()
        for task in self._draining.values():
            task.cancel()
        await release_name(self._state.spec.org, self._state.spec.name, self._state.spec.id)
        while self._queue:
            await self._tell(self._queue.pop(0), TurnGrant(state=self._state))
