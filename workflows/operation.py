"""What all operations have in common: their turn, steps, commits, compensation and end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from model import effects, search_attributes
    from model.checks import check
    from model.cluster import ClusterState, Node
    from model.effects import HOST_KINDS, Effect, I, O, Target
    from model.errors import NeedsOperator, Preempted
    from model.facts import Fact, apply
    from model.names import cluster_workflow_id
    from model.operations import (
        Commit,
        OperationFailure,
        OperationOutcome,
        OperationRequest,
        OperationResult,
        Progress,
        StepStatus,
        TurnGrant,
        TurnRequest,
    )
    from workflows.call import call, failure_of
    from workflows.checklist import Checklist
    from workflows.saga import Saga, Undo
    from workflows.search import upsert

R = TypeVar("R")

_PREEMPTED = "The primary was lost meanwhile: the cluster recovered, and what the operation had done was undone."


def _named(facts: Iterable[Fact]) -> str:
    return ", ".join(fact.kind.replace("_", " ") for fact in facts)


async def _as_coroutine(awaitable: Awaitable[R]) -> R:
    return await awaitable


TakeTurn = Callable[[], Awaitable[ClusterState]]
"""How an operation comes by its turn; answers with the cluster's state then."""


def given(state: ClusterState) -> TakeTurn:
    """Return how an operation comes by its turn that the cluster itself started with it."""

    async def have() -> ClusterState:
        return state

    return have


@dataclass(frozen=True)
class Done:
    """How an operation's steps ended: one sentence, and whether anything changed."""

    message: str
    changed: bool = True


class Operation:
    """Base of the operation workflows. A subclass's ``run`` is ``return await self.operate(request, self.steps)``.

    ``self.state`` is the cluster's state from the grant of the turn on, kept up to date by :meth:`commit`.
    """

    state: ClusterState

    def __init__(self) -> None:
        """Begin without a turn."""
        self._grant: TurnGrant | None = None
        self._checklist = Checklist()
        self._saga = Saga()
        self._progress: Progress | None = None
        self._forward: asyncio.Task[Done] | None = None
        self._yielding = False
        self._on_host = 0

    @workflow.signal
    def grant_turn(self, grant: TurnGrant) -> None:
        """The cluster says: it is your turn, and this is how I stand."""
        self._grant = grant

    # One that ends meanwhile has nothing left to yield; its end is what the cluster then hears.
    @workflow.signal(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def yield_turn(self) -> None:
        """The cluster says: the primary is lost, stop. The turn comes back, for the compensation, after a failover.

        Container work that is under way is ended first; SQL on the lost primary harms nobody.
        """
        # At once: the turn may be back before the next line is reached.
        self._grant = None
        self._yielding = True
        # A signal is heard before the workflow's own first line, also where that is run again.
        await workflow.wait_condition(lambda: self._progress is not None)
        assert self._progress is not None
        if self._forward is not None:
            self._forward.cancel()
        await workflow.wait_condition(lambda: self._on_host == 0)
        await self._cluster(self._progress.cluster_id).signal("turn_yielded")

    @workflow.query
    def progress(self) -> Progress | None:
        """How far the operation is, with its steps."""
        return self._progress and self._progress.model_copy(update={"steps": self._checklist.steps})

    async def operate(
        self, request: OperationRequest, steps: Callable[[], Awaitable[Done]], turn: TakeTurn | None = None
    ) -> OperationResult:
        """Take the turn, run *steps*, undo them if they do not complete; return or raise how it ended.

        *turn* is how the turn is come by: by default the cluster is asked for it, and it comes in its time.
        """
        self._progress = Progress(type=request.operation, cluster_id=request.cluster_id)
        try:
            self.state = await (turn() if turn else self._ask_for_turn(request))
            if self._yielding:
                raise Preempted(_PREEMPTED)
            check(self.state, request)
            self._forward = asyncio.create_task(_as_coroutine(steps()))
            done = await self._forward
        except (Exception, asyncio.CancelledError) as raised:
            error = Preempted(_PREEMPTED) if self._yielding else raised
            failure = await self._give_up(error)
            if is_cancelled_exception(error):
                raise
            cause = failure_of(error)
            raise ApplicationError(str(cause), failure, type=type(cause).__name__, non_retryable=True) from raised
        self._end(OperationOutcome.DONE, done.message)
        return OperationResult(
            cluster_id=request.cluster_id, changed=done.changed, message=done.message, steps=self._checklist.steps
        )

    async def _ask_for_turn(self, request: OperationRequest) -> ClusterState:
        """Ask the cluster for the turn and return its state once it is granted."""
        info = workflow.info()
        turn = TurnRequest(
            operation_id=info.workflow_id,
            run_id=info.run_id,
            type=request.operation,
            requested_at=workflow.now(),
        )
        arg = effects.TakeTurnInput(cluster_id=request.cluster_id, request=turn)
        answer = await call(effects.TAKE_TURN, arg, summary="ask for the turn")
        if answer.state is not None:
            return answer.state
        await workflow.wait_condition(lambda: self._grant is not None)
        assert self._grant is not None
        return self._grant.state

    # --- what the steps of an operation use -----------------------------------------------------------------------

    def plan(self, *names: str) -> None:
        """Announce the steps to come, so that people see what is left."""
        self._checklist.plan(*names)

    async def step(self, name: str, effect: Effect[I, O], arg: I, *, undo: Undo | None = None) -> O:
        """Run *effect* as the step called *name*; *undo* is kept, before it runs, for when the operation fails."""
        return await self.do(name, lambda: self.effect(effect, arg, name), undo=undo)

    async def do(self, name: str, action: Callable[[], Awaitable[R]], *, undo: Undo | None = None) -> R:
        """Run *action* as the step called *name*. Like :meth:`step`, for a step of several effects."""
        self._phase(name)
        self._checklist.start(name)
        if undo is not None:
            self._saga.push(name, undo)
        try:
            result = await action()
        except (Exception, asyncio.CancelledError):
            self._checklist.end(name, StepStatus.FAILED)
            raise
        self._checklist.end(name, StepStatus.DONE)
        return result

    def on_failure(self, name: str, undo: Undo) -> None:
        """Keep *undo*, for the step called *name*, for when the operation fails."""
        self._saga.push(name, undo)

    def all_undone(self) -> None:
        """Show every step that was done as undone: one undo may take back many steps."""
        self._checklist.undo_all()

    async def finish(self, action: Awaitable[R]) -> R:
        """Await *action* to its end even if the operation is cancelled meanwhile; the cancellation follows then."""
        task = asyncio.ensure_future(action)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await task
            raise

    async def see_through(self, action: Awaitable[R]) -> R:
        """Await *action* to its end, and with it the operation's: a cancellation that arrives meanwhile is too late."""
        task = asyncio.ensure_future(action)
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                if self._yielding:
                    task.cancel()
                    await workflow.wait([task])
                    raise
                workflow.logger.info("cancellation came too late")
            except Exception:  # it is raised below
                break
        return task.result()

    async def together(self, *actions: Awaitable[object]) -> None:
        """Run *actions* side by side. When one fails, or the operation is cancelled, the others are first ended."""
        tasks = [asyncio.ensure_future(action) for action in actions]
        try:
            await asyncio.gather(*tasks)
        except (Exception, asyncio.CancelledError):
            for task in tasks:
                task.cancel()
            await self.finish(workflow.wait(tasks))
            raise

    async def effect(self, effect: Effect[I, O], arg: I, summary: str) -> O:
        """Run *effect* outside the list of steps (inside one, or to undo one)."""
        if self._yielding:
            # An undo that was under way goes on when the turn is back.
            await workflow.wait_condition(lambda: self._grant is not None)
        if effect.kind not in HOST_KINDS:
            return await call(effect, arg, summary=summary, host=self.host)
        self._on_host += 1
        try:
            return await call(effect, arg, summary=summary, host=self.host)
        finally:
            self._on_host -= 1

    @property
    def host(self) -> str:
        """The host of the cluster's containers."""
        return self.state.spec.host

    @property
    def primary_node(self) -> Node:
        """The node that takes writes. Raises :class:`NeedsOperator` when none is recorded."""
        primary = self.state.status.primary
        if primary is None:
            raise NeedsOperator(f"Cluster {self.state.spec.name} has no primary on record.")
        return primary

    @property
    def primary(self) -> Target:
        """The same, as a target of SQL."""
        return Target.of(self.state.spec.id, self.primary_node)

    async def commit(self, *facts: Fact) -> None:
        """Report facts to the cluster; they are on its record when this returns."""
        self.state = apply(self.state, facts)
        commit = Commit(operation_id=workflow.info().workflow_id, facts=facts)
        arg = effects.CommitInput(cluster_id=self.state.spec.id, commit=commit)
        # A local activity: a signal from the workflow itself would take one more of its tasks.
        await self.finish(call(effects.COMMIT_FACTS, arg, summary=f"record {_named(facts)}"))

    async def conclude(self, *facts: Fact) -> None:
        """The last commit of an operation: from here on everything stays, and a cancellation is too late."""
        await self.see_through(self.commit(*facts))
        self.keep()

    def keep(self) -> None:
        """Forget every undo: from here on the operation only goes forward."""
        self._saga.clear()

    # --- the end --------------------------------------------------------------------------------------------------

    async def _give_up(self, error: BaseException) -> OperationFailure:
        cancelled = is_cancelled_exception(error)
        message = "It was cancelled." if cancelled else str(failure_of(error))
        if self._yielding:
            await workflow.wait_condition(lambda: self._grant is not None)
            assert self._grant is not None
            self.state = self._grant.state
        had_steps = bool(self._saga)
        # Local steps may have run and be forgotten, with the turn they ran in, when the primary was lost.
        began = self._yielding or any(step.status is not StepStatus.PENDING for step in self._checklist.steps)
        clean = await self._saga.unwind(self._undone)
        if not clean:
            outcome = OperationOutcome.FAILED
        elif cancelled:
            outcome = OperationOutcome.CANCELLED
        else:
            outcome = OperationOutcome.ROLLED_BACK if had_steps else OperationOutcome.FAILED
        self._end(outcome, message)
        return OperationFailure(outcome=outcome, began=began)

    def _undone(self, step: str, error: BaseException | None) -> None:
        self._checklist.end(step, StepStatus.FAILED if error else StepStatus.UNDONE)

    def _phase(self, name: str) -> None:
        if self._progress is not None:
            self._progress = self._progress.model_copy(update={"phase": name})
            upsert(search_attributes.PHASE.value_set(name))

    def _end(self, outcome: OperationOutcome, message: str) -> None:
        failed = outcome is not OperationOutcome.DONE
        assert self._progress is not None
        self._progress = self._progress.model_copy(
            update={"status": outcome, "phase": str(outcome), "error": message if failed else None}
        )
        upsert(search_attributes.OUTCOME.value_set(str(outcome)))

    def _cluster(self, cluster_id: str) -> workflow.ExternalWorkflowHandle[object]:
        return workflow.get_external_workflow_handle(cluster_workflow_id(cluster_id))
