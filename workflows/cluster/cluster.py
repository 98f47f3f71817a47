"""Cluster: a cluster's own workflow, its only state store, which grants turns to operations.

Turns are granted first come, first served. A turn ends when the operation's workflow ends, however it ends: one
activity waits for that, so an operation that was terminated or timed out cannot keep the turn.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.base import Record
    from model.cluster import (
        OVER,
        ClusterPhase,
        ClusterState,
        ClusterView,
        OperationRef,
    )
    from model.effects import OperationEnd, Target
    from model.errors import MpgError
    from model.facts import AbsencesPlanned, PhaseIs, apply
    from model.names import operation_workflow_id
    from model.operations import ChangePlanRequest, Commit, ForcedFailoverRequest, TurnRequest
    from workflows.call import call
    from workflows.cluster.claims import release_name
    from workflows.cluster.healing import ClusterHealing
    from workflows.cluster.service import EndedOperation

HANDLED_KEPT = 1000
"""How many ids of past operations are kept, so that a repeated request for a turn is seen as one."""

ASKING = timedelta(seconds=2)
"""How long an operation waits for its turn with its request open. Then it has a place in the queue."""

UNDOES = frozenset({"failed", "cancelled"})
"""Ends of an operation that undid what it had done, as opposed to one that was ended from outside."""
RETURN = "return-"
"""How the request ids of operations begin by which a cluster returns to its plan."""


class ClusterStart(Record):
    """What the workflow begins with, at first and after each continue-as-new."""

    state: ClusterState
    holder: OperationRef | None = None
    queue: tuple[TurnRequest, ...] = ()
    handled: tuple[str, ...] = ()
    ended: tuple[EndedOperation, ...] = ()


@workflow.defn
class Cluster(ClusterHealing):
    """One cluster, for as long as it lives."""

    @workflow.init
    def __init__(self, start: ClusterStart) -> None:
        """Begin with what *start* carries."""
        super().__init__(start.state)
        self._holder = start.holder
        self._queue = list(start.queue)
        self._handled = list(start.handled)
        self._ended = start.ended
        self._granted: ClusterState | None = None
        """How the cluster stood before the holder of the turn began."""
        self._asking: set[str] = set()
        """Operations that wait for the answer to their request just now, and need no signal."""

    @workflow.run
    async def run(self, start: ClusterStart) -> ClusterState:
        """Grant turns until the cluster is destroyed. Returns its last state."""
        while self._state.status.phase not in OVER:
            self._show()
            self._drain()
            self._watch()
            if self._holder is not None:
                await self._follow(self._holder)
            elif (alarm := self._next_alarm) is not None:
                await self._heal(alarm)
            elif workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
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

    @workflow.update
    async def take_turn(self, request: TurnRequest) -> effects.TurnAnswer:
        """An operation wants its turn, and waits a moment for the answer: the state, if it is granted by then."""
        self.request_turn(request)
        self._asking.add(request.operation_id)
        try:
            await workflow.wait_condition(lambda: self._is_answered(request.operation_id), timeout=ASKING)
        except TimeoutError:
            return effects.TurnAnswer()
        finally:
            self._asking.discard(request.operation_id)
        # An operation whose first task is run again has committed already, and is to see what it saw then.
        granted = self._granted or self._state
        status = self._state.status.model_copy(update={"poolers": granted.status.poolers})
        return effects.TurnAnswer(state=ClusterState(spec=granted.spec, status=status))

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
        state = apply(self._state, [AbsencesPlanned(names=self._absences)])
        if self._holder is not None and state.status.phase is ClusterPhase.READY:
            state = apply(state, [PhaseIs(phase=ClusterPhase.UPDATING)])
        run_id = workflow.info().run_id
        return ClusterView(state=state, operation=self._holder, waiting=len(self._queue), run_id=run_id)

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

    def _is_answered(self, operation_id: str) -> bool:
        holds = self._holder is not None and self._holder.id == operation_id
        return holds or self._state.status.phase in OVER

    # --- turns ----------------------------------------------------------------------------------------------------

    async def _grant(self, request: TurnRequest) -> None:
        """Hand the turn over. An operation that ended while it waited is passed over."""
        holder = OperationRef(
            id=request.operation_id, run_id=request.run_id, type=request.type, started_at=workflow.now()
        )
        if request.type == ForcedFailoverRequest.operation:
            # It is about the lost primary: nobody else does anything about that now.
            self._learn([AbsencesPlanned(names=tuple(node.name for node in self._state.status.nodes))])
        elif self._state.status.phase is ClusterPhase.NEEDS_OPERATOR and self._state.status.primary is not None:
            # Somebody asks again, so perhaps the cause is gone.
            await self._settle()
        self._granted = self._state
        # Before the signal: its first commit may be here before we are told that the signal arrived.
        self._holder = holder
        if holder.id not in self._asking and not await self._tell(holder.id, holder.run_id):
            self._holder = None
            self._learn([AbsencesPlanned()])

    async def _follow(self, holder: OperationRef) -> None:
        """Wait for the holder's end, and after one that did not complete see what is really there."""
        following = asyncio.create_task(self._end_of(holder))
        await self._let_work(holder, following)
        end = following.result()
        if not end.completed:
            await self._after_failure(holder, end)
        self._holder = None
        self._learn([AbsencesPlanned()])

    async def _after_failure(self, holder: OperationRef, end: OperationEnd) -> None:
        workflow.logger.info("operation did not complete", extra={"operation": holder.id, "how": end.how})
        phase = self._state.status.phase
        if phase in OVER:
            return
        undone = end.how in UNDOES
        if undone and self._granted is not None:
            # What it had recorded before it turned back: a local activity may have run and be forgotten.
            granted = self._granted
            status = self._state.status.model_copy(update={"poolers": granted.status.poolers})
            self._state = ClusterState(spec=granted.spec, status=status)
        ended = EndedOperation(id=holder.id, username=end.username, database=end.database, undone=undone)
        self._ended = (*(each for each in self._ended if each.id != ended.id), ended)
        if phase is ClusterPhase.INITIALIZING:
            await self._remove_everything(ClusterPhase.ERROR)
        elif phase is ClusterPhase.DESTROYING:
            # Part of the data may be gone: the only way is forward.
            await self._remove_everything(ClusterPhase.DESTROYED)
        elif end.how == "rejected":
            self._ended = self._ended[:-1]
        else:
            await self._settle()
            await self._return_to_plan(holder)

    async def _return_to_plan(self, lost: OperationRef) -> None:
        """Start a change of plan to the plan on record where an operation left nodes on another one."""
        plan = self._state.spec.plan.name
        astray = [node.name for node in self._state.status.nodes if node.plan != plan]
        if not astray or self._state.status.phase is not ClusterPhase.READY:
            return
        if lost.id.rpartition("/")[2].startswith(RETURN):
            workflow.logger.error("nodes stay on another plan than the cluster's", extra={"nodes": astray})
            return
        request = ChangePlanRequest(cluster_id=self._state.spec.id, plan=plan)
        name = self._state.spec.name
        await workflow.start_child_workflow(
            request.operation,
            request,
            id=operation_workflow_id(request.operation, name, f"{RETURN}{str(workflow.uuid4())[:13]}"),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            search_attributes=self._shown_by(request.operation),
            static_summary=f"Nodes {', '.join(astray)} of {name} back to plan {plan}, which {lost.id} left",
        )

    # --- the end of a run -----------------------------------------------------------------------------------------

    def _something_to_do(self) -> bool:
        return (
            bool(self._queue)
            or self._next_alarm is not None
            or self._unwatched
            or workflow.info().is_continue_as_new_suggested()
        )

    def _continue_as_new(self) -> None:
        self._stop_watching()
        for task in self._draining.values():
            task.cancel()
        workflow.continue_as_new(
            ClusterStart(state=self._state, queue=tuple(self._queue), handled=tuple(self._handled), ended=self._ended)
        )

    async def _close(self) -> None:
        """Free the name, and tell those who wait that there is nothing left to change."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._holder = None
        self._show()
        self._stop_watching()
        for task in self._draining.values():
            task.cancel()
        await release_name(self._state.spec.org, self._state.spec.name, self._state.spec.id)
        while self._queue:
            waiting = self._queue.pop(0)
            await self._tell(waiting.operation_id, waiting.run_id)
