"""Healing a cluster: its watch, and the operations that it starts itself when something was lost.

A lost primary outranks the holder of the turn: that one yields, the cluster fails over, and then the holder has its
turn back, with the new state, to undo what it did.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import ClusterPhase, ClusterState, Durability, OperationRef
    from model.effects import Alarm, AlarmKind
    from model.errors import MpgError
    from model.facts import AbsencesPlanned, PhaseIs
    from model.healing import Remedy, pause_s, remedy
    from model.names import operation_workflow_id
    from model.operations import FailoverRequest, HealRequest, RepairRequest
    from workflows.call import call
    from workflows.cluster_service import ClusterService

YIELD_BOUND = timedelta(seconds=10)
"""How long a holder may take to yield. Past it the cluster fails over all the same: nobody waits longer for a lock."""

LOST_PRIMARY = frozenset({Remedy.FAIL_OVER, Remedy.RESTART_PRIMARY})
WATCHED = frozenset({ClusterPhase.READY, ClusterPhase.NEEDS_OPERATOR})


class ClusterHealing(ClusterService):
    """The part of the cluster's workflow that watches and heals."""

    def __init__(self, state: ClusterState) -> None:
        """Begin with *state*, and nobody watching."""
        super().__init__(state)
        self._holder: OperationRef | None = None
        self._alarm: Alarm | None = None
        self._watching: asyncio.Task[None] | None = None
        self._failures = 0
        self._healed_once = False
        self._yielded = False

    @workflow.signal
    def turn_yielded(self) -> None:
        """The holder has stopped, and waits with its compensation for a state to work on."""
        self._yielded = True

    @property
    def _lost_primary(self) -> bool:
        watched = self._state.status.phase in WATCHED
        alarm = self._alarm
        return watched and alarm is not None and remedy(self._state, alarm) in LOST_PRIMARY

    @property
    def _unwatched(self) -> bool:
        return self._watching is None and self._alarm is None and self._state.status.phase in WATCHED

    def _watch(self) -> None:
        """See that somebody watches the cluster while it has something to lose."""
        if self._unwatched:
            self._watching = asyncio.create_task(self._await_alarm())

    async def _await_alarm(self) -> None:
        try:
            if self._failures:
                await asyncio.sleep(pause_s(self._failures))
            if self._healed_once and (left := self._left_behind()) is not None:
                self._alarm = left
                return
            arg = effects.WatchInput(cluster_id=self._state.spec.id, status=self._state.status)
            self._alarm = await self._effect(effects.WATCH_CLUSTER, arg, "watch")
        except MpgError as error:
            self._failures += 1
            workflow.logger.error("could not watch", extra={"error": str(error)})
        finally:
            self._watching = None

    def _left_behind(self) -> Alarm | None:
        """Return an alarm for a replica that healing left out of sync: it runs, so the watch would see nothing."""
        replica = self._state.status.replica
        if replica is None or replica.in_sync or self._state.spec.durability is not Durability.SYNC:
            return None
        return Alarm(kind=AlarmKind.NODE, name=replica.name, how="it is not in sync")

    def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def _heal(self) -> None:
        """Do something about the alarm, in an operation of its own. The watch goes on afterwards, come what may."""
        alarm, self._alarm = self._alarm, None
        if alarm is None or self._state.status.phase not in WATCHED:
            return
        workflow.logger.warning("alarm", extra={"kind": str(alarm.kind), "lost": alarm.name, "how": alarm.how})
        before = self._holder
        lost_primary = remedy(self._state, alarm) in LOST_PRIMARY
        request_type = FailoverRequest if lost_primary else RepairRequest
        request = request_type(cluster_id=self._state.spec.id, state=self._state, lost=alarm.name, how=alarm.how)
        try:
            healed = await self._run(request)
        finally:
            self._holder = before
        self._learn([AbsencesPlanned()])
        self._failures = 0 if healed else self._failures + 1
        self._healed_once = True
        if not healed and lost_primary:
            self._give_to_operator(f"Node {alarm.name} was lost ({alarm.how}) and could not be replaced or restarted.")
        elif healed and self._state.status.phase is ClusterPhase.NEEDS_OPERATOR:
            self._learn([self._no_operator_needed(), PhaseIs(phase=ClusterPhase.READY)])

    async def _run(self, request: HealRequest) -> bool:
        """Run a healing operation with the turn; return whether it completed."""
        spec = self._state.spec
        workflow_id = operation_workflow_id(request.operation, spec.name, str(workflow.uuid4())[:13])
        # Before it starts: its first commit may be here before we are told that it runs.
        self._holder = OperationRef(id=workflow_id, run_id="", type=request.operation, started_at=workflow.now())
        try:
            await workflow.execute_child_workflow(
                request.operation,
                request,
                id=workflow_id,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                search_attributes=self._shown_by(request.operation),
                static_summary=f"{request.operation} of {spec.name}: {request.lost} was lost, {request.how}",
            )
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.error("healing did not complete", extra={"error": str(error)})
            return False
        return True

    async def _preempt(self, holder: OperationRef, following: "asyncio.Task[effects.OperationEnd]") -> None:
        """Have the holder yield, heal, and give it its turn back with the state that there is then."""
        self._yielded = False
        handle = workflow.get_external_workflow_handle(holder.id, run_id=holder.run_id)
        try:
            await handle.signal("yield_turn")
            await workflow.wait_condition(lambda: self._yielded or following.done(), timeout=YIELD_BOUND)
        except TimeoutError:
            workflow.logger.error("the holder does not yield", extra={"operation": holder.id})
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.info("the holder had just ended", extra={"operation": holder.id})
        await self._heal()

    async def _end_of(self, holder: OperationRef) -> effects.OperationEnd:
        arg = effects.AwaitOperationInput(operation_id=holder.id, run_id=holder.run_id)
        return await call(effects.AWAIT_OPERATION_END, arg, summary=f"follow {holder.id}")
