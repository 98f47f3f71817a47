"""Healing a cluster: the operations that it starts itself when something was lost.

The watch goes on whatever else happens: what it reported is kept until something was done about it, and meanwhile, as
the answer to the query ``view``, counts as absent, so that the watch looks for the next loss.

A lost primary outranks the holder of the turn: that one yields, the cluster fails over, and then the holder has its
turn back, with the new state, to undo what it did.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import (
        ARCHIVING_FAILS,
        BACKUP_OVERDUE,
        DRILL_OVERDUE,
        WRONG_MASTER_KEY,
        ClusterPhase,
        OperationRef,
    )
    from model.conditions import DEGRADED
    from model.effects import Alarm, AlarmKind, Target
    from model.errors import MpgError
    from model.facts import AbsencesPlanned, ConditionIs, InSync
    from model.healing import may_promote, remedy
    from model.names import operation_workflow_id
    from model.operations import HEALING, FailoverRequest, HealRequest, RepairRequest
    from workflows.call import failure_of
    from workflows.cluster.losses import LOST_PRIMARY, WATCHED, Losses
    from workflows.cluster.record import ClusterRecord, no_condition
    from workflows.cluster.settling import Settling
    from workflows.cluster.turns import Turns

YIELD_BOUND = timedelta(seconds=10)
"""How long a holder may take to yield. Past it the cluster fails over all the same: nobody waits longer for a lock."""
HEALING_TASK = timedelta(seconds=2)
"""A signal, to yield for instance, reaches a workflow whose local activity runs within 0.8 of this."""

_CONDITIONS: Mapping[AlarmKind, str] = MappingProxyType(
    {
        AlarmKind.MASTER_KEY: WRONG_MASTER_KEY,
        AlarmKind.ARCHIVING: ARCHIVING_FAILS,
        AlarmKind.BACKUP_AGE: BACKUP_OVERDUE,
        AlarmKind.DRILL_AGE: DRILL_OVERDUE,
    }
)
"""What is recorded and not healed: the kind of alarm that tells whether the condition of this type holds."""


class Healing:
    """Does something about losses, with the turn or beside the operation that has it."""

    def __init__(self, record: ClusterRecord, turns: Turns, losses: Losses, settling: Settling) -> None:
        """Heal what *losses* knows of."""
        self._record = record
        self._turns = turns
        self._losses = losses
        self._settling = settling
        self._yielded = False
        self._mending = False
        """Whether the operation that has the turn is the repair of the way in."""

    # --- what it is told ------------------------------------------------------------------------------------------

    def turn_yielded(self) -> None:
        """The holder of the turn stopped, as it was asked to."""
        self._yielded = True

    def note(self, alarm: Alarm) -> None:
        """The watch says that something is lost."""
        if (condition := _CONDITIONS.get(alarm.kind)) is not None:
            holds = self._record.condition(condition, alarm.how, alarm.since)
            self._record.learn(holds if alarm.how else no_condition(condition))
            return
        # It may have been under way when an absence was planned, or when it was decided to leave it alone.
        if alarm.name not in self.absences:
            workflow.logger.warning("alarm", extra={"kind": alarm.kind, "lost": alarm.name, "how": alarm.how})
            self._losses.note(alarm)

    @property
    def absences(self) -> tuple[str, ...]:
        """Names that the watch need not tell of: away on purpose, told of already, or left alone for a while."""
        status = self._record.status
        if self._settling.under_way or status.phase not in WATCHED:
            return tuple(node.name for node in status.nodes)
        return tuple(dict.fromkeys([*status.absences, *self._losses.known]))

    # --- with the turn --------------------------------------------------------------------------------------------

    async def heal(self, alarm: Alarm) -> None:
        """Do something about *alarm*, in an operation of its own."""
        lost_primary = remedy(self._record.state, alarm) in LOST_PRIMARY
        request_type = FailoverRequest if lost_primary else RepairRequest
        if alarm == self._losses.replica:
            self._record.learn(self._without(alarm))
        self._record.learn(AbsencesPlanned(names=(alarm.name,)))
        request = request_type(
            cluster_id=self._record.spec.id, state=self._record.state, lost=alarm.name, how=alarm.how
        )
        holder, mended = self._turns.holder, self._mending
        self._mending = alarm.kind is AlarmKind.WAY_IN
        try:
            error = await self._run(request)
        finally:
            self._turns.give_to(holder)
            self._mending = mended
        self._record.learn(AbsencesPlanned())
        if error is None:
            self._healed(alarm)
        elif self._losses.primary is None:
            self._not_healed(alarm, error, lost_primary=lost_primary)
        # Else it had to make room for a failover. What is lost after that, the watch will tell.

    def _without(self, replica: Alarm) -> ConditionIs:
        """Return what is to be said while the primary goes on without the replica that commits waited for."""
        message = f"{replica.name} was lost ({replica.how}): no commit waits for it until it is in sync again."
        return self._record.condition(DEGRADED, message)

    def _healed(self, alarm: Alarm) -> None:
        self._losses.forget(alarm.name)
        self._record.learn(no_condition(DEGRADED))
        if self._record.status.phase is ClusterPhase.NEEDS_OPERATOR:
            self._record.in_service()

    def _not_healed(self, alarm: Alarm, error: str, *, lost_primary: bool) -> None:
        self._losses.rest(alarm.name)
        state = self._record.state
        if lost_primary:
            # A replica that may be promoted is, as soon as it answers. For another one somebody has to decide.
            accept = f" To give up what its replica lacks: mpg failover {state.spec.name} --accept-loss."
            decide = "" if may_promote(state) or state.status.replica is None else accept
            self._record.give_to_operator(
                f"Node {alarm.name} was lost ({alarm.how}) and could not be replaced or restarted. {error}{decide}"
            )
        else:
            message = f"{alarm.name} was lost ({alarm.how}) and does not come back; it is tried again. {error}"
            self._record.learn(self._record.condition(DEGRADED, message))

    async def _run(self, request: HealRequest) -> str | None:
        """Run a healing operation with the turn; return why it did not complete, None when it did."""
        spec = self._record.spec
        workflow_id = operation_workflow_id(request.operation, spec.name, str(workflow.uuid4())[:13])
        holder = OperationRef(id=workflow_id, run_id="", type=request.operation, started_at=workflow.now())
        # Before it starts: its first commit may be here before we are told that it runs.
        self._turns.give_to(holder)
        try:
            child = await workflow.start_child_workflow(
                request.operation,
                request,
                id=workflow_id,
                task_timeout=HEALING_TASK,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                search_attributes=self._record.shown_by(request.operation),
                static_summary=f"{request.operation} of {spec.name}: {request.lost} was lost, {request.how}",
            )
            await self.let_work(holder, child)
            if not child.done():
                return "It did not make room for a failover in time."
            await child
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.error("healing did not complete", extra={"error": str(error)})
            return str(failure_of(error))
        return None

    # --- beside the holder ----------------------------------------------------------------------------------------

    async def let_work(self, holder: OperationRef, following: "asyncio.Task[object]") -> None:
        """Wait for the end of *following*, the holder's; a primary that is lost meanwhile comes first.

        An operation of the cluster itself has nothing to undo: it ends, within a bound, and what was lost is healed
        after it.
        """
        while not following.done():
            await workflow.wait_condition(lambda: following.done() or self._is_wanted)
            if following.done():
                return
            primary_is_lost = self._losses.primary is not None
            if not primary_is_lost:
                await self._help_out(following)
                continue
            await self._have_yielded(holder, following)
            while holder.type not in HEALING and (alarm := self._losses.primary) is not None:
                await self.heal(alarm)
            await self._turns.tell(holder.id, holder.run_id)
            if holder.type in HEALING:
                await workflow.wait([following], timeout=YIELD_BOUND.total_seconds())
                return

    @property
    def _is_wanted(self) -> bool:
        return bool(self._losses.primary or self._losses.replica or self._lost_way_in)

    @property
    def _lost_way_in(self) -> Alarm | None:
        """The endpoint or a pooler, lost while an operation about something else has the turn."""
        primary = self._record.status.primary
        if self._mending or primary is None or primary.name in self.absences:
            return None
        return self._losses.way_in

    async def _help_out(self, following: "asyncio.Task[object]") -> None:
        """Do what clients cannot wait for until the turn is free, and what is in nobody's way.

        Given up when the primary is lost as well, or the turn is free: what follows does it all.
        """
        if self._losses.replica is not None:
            helping = asyncio.create_task(self._release_commits())
        elif (alarm := self._lost_way_in) is not None:
            helping = asyncio.create_task(self._start_way_in(alarm))
        else:
            return
        await workflow.wait_condition(lambda: helping.done() or following.done() or self._losses.primary is not None)
        if helping.done():
            helping.result()
        else:
            # Not waited for: its activity hears of it with a heartbeat, some seconds later.
            helping.cancel()

    async def _start_way_in(self, lost: Alarm) -> None:
        spec, status = self._record.spec, self._record.status
        assert status.endpoint is not None
        arg = effects.MendWayInInput(cluster_name=spec.name, endpoint=status.endpoint, poolers=status.poolers)
        try:
            await self._record.effect(effects.MEND_WAY_IN, arg, f"start the way in: {lost.name} was lost, {lost.how}")
        except MpgError as error:
            self._not_healed(lost, str(error), lost_primary=False)
        self._losses.helped(lost.name)

    async def _release_commits(self) -> None:
        """Let writes go on without the lost replica. The holder's own may be among those that wait for it.

        The repair has to wait for the turn, this must not.
        """
        primary, replica = self._record.status.primary, self._losses.replica
        assert primary is not None
        assert replica is not None
        # On record first: from here on nobody promotes it.
        self._record.learn(InSync(name=replica.name, value=False), self._without(replica))
        target = Target.of(self._record.spec.id, primary)
        try:
            await self._record.effect(
                effects.RELEASE_COMMITS, target, f"let no commit wait for {replica.name}, which is lost"
            )
        except MpgError as error:
            workflow.logger.error("commits are not released", extra={"error": str(error)})

    async def _have_yielded(self, holder: OperationRef, following: "asyncio.Task[object]") -> None:
        self._yielded = False
        handle = workflow.get_external_workflow_handle(holder.id, run_id=holder.run_id or None)
        try:
            await handle.signal("yield_turn")
            await workflow.wait_condition(lambda: self._yielded or following.done(), timeout=YIELD_BOUND)
        except TimeoutError:
            workflow.logger.error("the holder does not yield", extra={"operation": holder.id})
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.info("the holder had just ended", extra={"operation": holder.id})
