"""Healing a cluster: its watch, and the operations that it starts itself when something was lost.

The watch goes on whatever else happens: what it reported is kept until something was done about it, and meanwhile, as
the answer to the query ``view``, counts as absent, so that the watch looks for the next loss.

A lost primary outranks the holder of the turn: that one yields, the cluster fails over, and then the holder has its
turn back, with the new state, to undo what it did.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import ClusterPhase, ClusterState, Condition, Durability, OperationRef
    from model.effects import Alarm, AlarmKind, OperationEnd, Target
    from model.errors import MpgError
    from model.facts import AbsencesPlanned, ConditionIs, Fact, InSync, PhaseIs
    from model.healing import Remedy, may_promote, pause_s, remedy
    from model.names import operation_workflow_id
    from model.operations import HEALING, FailoverRequest, HealRequest, RepairRequest, TurnGrant
    from workflows.call import call, failure_of
    from workflows.cluster.service import ClusterService

YIELD_BOUND = timedelta(seconds=10)
"""How long a holder may take to yield. Past it the cluster fails over all the same: nobody waits longer for a lock."""

LOST_PRIMARY = frozenset({Remedy.FAIL_OVER, Remedy.RESTART_PRIMARY})
WATCHED = frozenset({ClusterPhase.READY, ClusterPhase.NEEDS_OPERATOR})
DEGRADED = "Degraded"
"""Type of the condition of a cluster that serves without something that does not come back."""
HEALING_TASK = timedelta(seconds=2)
"""A signal, to yield for instance, reaches a workflow whose local activity runs within 0.8 of this."""


class ClusterHealing(ClusterService):
    """The part of the cluster's workflow that watches and heals."""

    def __init__(self, state: ClusterState) -> None:
        """Begin with *state*, and nobody watching."""
        super().__init__(state)
        self._holder: OperationRef | None = None
        self._alarms: dict[str, Alarm] = {}
        """What was lost and waits for something to be done about it, by name."""
        self._resting: dict[str, asyncio.Task[None]] = {}
        """What could not be healed, until it is looked at again."""
        self._failures: dict[str, int] = {}
        self._watching: asyncio.Task[None] | None = None
        self._yielded = False
        self._mending = False
        """Whether the operation that has the turn is the repair of the way in."""

    @workflow.signal
    def turn_yielded(self) -> None:
        """The holder has stopped, and waits with its compensation for a state to work on."""
        self._yielded = True

    # --- what is lost ---------------------------------------------------------------------------------------------

    @property
    def _absences(self) -> tuple[str, ...]:
        """Names that the watch need not tell of: away on purpose, told of already, or left alone for a while."""
        status = self._state.status
        if self._settling or status.phase not in WATCHED:
            return tuple(node.name for node in status.nodes)
        return tuple(dict.fromkeys([*status.absences, *self._alarms, *self._resting]))

    @property
    def _lost_primary(self) -> Alarm | None:
        if self._state.status.phase not in WATCHED:
            return None
        lost = (alarm for alarm in self._alarms.values() if remedy(self._state, alarm) in LOST_PRIMARY)
        return next(lost, None)

    @property
    def _lost_replica(self) -> Alarm | None:
        """The replica, where it is lost and commits wait for it."""
        spec, status = self._state.spec, self._state.status
        if status.phase not in WATCHED or spec.durability is not Durability.SYNC or status.primary is None:
            return None
        replica = status.replica
        return self._alarms.get(replica.name) if replica is not None and replica.in_sync else None

    @property
    def _lost_way_in(self) -> Alarm | None:
        """The endpoint or a pooler, lost while an operation about something else has the turn."""
        status = self._state.status
        if status.phase not in WATCHED or status.primary is None or status.primary.name in self._absences:
            return None
        lost = (alarm for alarm in self._alarms.values() if alarm.kind is AlarmKind.WAY_IN)
        return None if self._mending else next(lost, None)

    @property
    def _next_alarm(self) -> Alarm | None:
        """What to heal next: the primary before all else, and nothing without it."""
        status = self._state.status
        if status.phase not in WATCHED:
            return None
        if (alarm := self._lost_primary) is not None:
            return alarm
        if status.primary is None or status.primary.name in self._resting:
            return None
        return next(iter(self._alarms.values()), None) or self._left_behind()

    def _left_behind(self) -> Alarm | None:
        """Return an alarm for a replica that was left out of sync: it may run, and the watch would see nothing."""
        replica, ready = self._state.status.replica, self._state.status.phase is ClusterPhase.READY
        if not ready or replica is None or replica.in_sync or replica.name in self._resting:
            return None
        if self._state.spec.durability is not Durability.SYNC:
            return None
        return Alarm(kind=AlarmKind.NODE, name=replica.name, how="it is not in sync")

    def _learn(self, facts: Sequence[Fact]) -> None:
        """Record facts. What they say of something lost is newer than what the watch said of it."""
        for fact in facts:
            if isinstance(fact, AbsencesPlanned):
                self._forget(*fact.names, resting=False)
            elif isinstance(fact, InSync) and fact.value:
                self._forget(fact.name)
                facts = [*facts, _not_degraded()]
            elif isinstance(fact, PhaseIs) and fact.phase is ClusterPhase.READY:
                self._forget(*self._resting)
        super()._learn(facts)

    def _forget(self, *names: str, resting: bool = True) -> None:
        for name in names:
            self._alarms.pop(name, None)
            if resting:
                self._failures.pop(name, None)
                if (rest := self._resting.pop(name, None)) is not None:
                    rest.cancel()

    # --- the watch ------------------------------------------------------------------------------------------------

    @property
    def _unwatched(self) -> bool:
        return self._watching is None and self._state.status.phase in WATCHED

    def _watch(self) -> None:
        """See that somebody watches the cluster while it has something to lose."""
        if self._unwatched:
            self._watching = asyncio.create_task(self._keep_watch())

    async def _keep_watch(self) -> None:
        failures = 0
        try:
            while self._state.status.phase in WATCHED:
                arg = effects.WatchInput(cluster_id=self._state.spec.id, status=self._state.status)
                try:
                    alarm = await self._effect(effects.WATCH_CLUSTER, arg, "watch")
                except MpgError as error:
                    failures += 1
                    workflow.logger.error("could not watch", extra={"error": str(error)})
                    await asyncio.sleep(pause_s(failures))
                else:
                    failures = 0
                    self._note(alarm)
        finally:
            self._watching = None

    def _note(self, alarm: Alarm) -> None:
        # It may have been under way when an absence was planned, or when it was decided to leave it alone.
        if alarm.name not in self._absences:
            workflow.logger.warning("alarm", extra={"kind": alarm.kind, "lost": alarm.name, "how": alarm.how})
            self._alarms[alarm.name] = alarm

    def _stop_watching(self) -> None:
        for task in (self._watching, *self._resting.values()):
            if task is not None:
                task.cancel()

    # --- healing --------------------------------------------------------------------------------------------------

    async def _heal(self, alarm: Alarm) -> None:
        """Do something about *alarm*, in an operation of its own."""
        lost_primary = remedy(self._state, alarm) in LOST_PRIMARY
        request_type = FailoverRequest if lost_primary else RepairRequest
        self._learn([AbsencesPlanned(names=(alarm.name,))])
        request = request_type(cluster_id=self._state.spec.id, state=self._state, lost=alarm.name, how=alarm.how)
        before, mended = self._holder, self._mending
        self._mending = alarm.kind is AlarmKind.WAY_IN
        try:
            error = await self._run(request)
        finally:
            self._holder, self._mending = before, mended
        self._learn([AbsencesPlanned()])
        if error is None:
            self._healed(alarm)
        elif self._lost_primary is None:
            self._not_healed(alarm, error, lost_primary=lost_primary)
        # Else it had to make room for a failover. What is lost after that, the watch will tell.

    def _healed(self, alarm: Alarm) -> None:
        self._forget(alarm.name)
        self._learn([_not_degraded()])
        if self._state.status.phase is ClusterPhase.NEEDS_OPERATOR:
            self._learn([self._no_operator_needed(), PhaseIs(phase=ClusterPhase.READY)])

    def _not_healed(self, alarm: Alarm, error: str, *, lost_primary: bool) -> None:
        self._failures[alarm.name] = self._failures.get(alarm.name, 0) + 1
        self._resting[alarm.name] = asyncio.create_task(self._rest(alarm.name))
        if lost_primary:
            # A replica that may be promoted is, as soon as it answers. For another one somebody has to decide.
            accept = f" To give up what its replica lacks: mpg failover {self._state.spec.name} --accept-loss."
            decide = "" if may_promote(self._state) or self._state.status.replica is None else accept
            self._give_to_operator(
                f"Node {alarm.name} was lost ({alarm.how}) and could not be replaced or restarted. {error}{decide}"
            )
        else:
            message = f"{alarm.name} was lost ({alarm.how}) and does not come back; it is tried again. {error}"
            condition = Condition(type=DEGRADED, status=True, since=workflow.now(), message=message)
            self._learn([ConditionIs(condition=condition)])

    async def _rest(self, name: str) -> None:
        """Leave what could not be healed alone for a while; then the watch tells of it again, if it is still lost."""
        await asyncio.sleep(pause_s(self._failures[name]))
        self._resting.pop(name, None)

    async def _run(self, request: HealRequest) -> str | None:
        """Run a healing operation with the turn; return why it did not complete, None when it did."""
        spec = self._state.spec
        workflow_id = operation_workflow_id(request.operation, spec.name, str(workflow.uuid4())[:13])
        # Before it starts: its first commit may be here before we are told that it runs.
        self._holder = holder = OperationRef(
            id=workflow_id, run_id="", type=request.operation, started_at=workflow.now()
        )
        try:
            child = await workflow.start_child_workflow(
                request.operation,
                request,
                id=workflow_id,
                task_timeout=HEALING_TASK,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                search_attributes=self._shown_by(request.operation),
                static_summary=f"{request.operation} of {spec.name}: {request.lost} was lost, {request.how}",
            )
            await self._let_work(holder, child)
            if not child.done():
                return "It did not make room for a failover in time."
            await child
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.error("healing did not complete", extra={"error": str(error)})
            return str(failure_of(error))
        return None

    async def _let_work(self, holder: OperationRef, following: "asyncio.Task[object]") -> None:
        """Wait for the end of *following*, the holder's; a primary that is lost meanwhile comes first.

        An operation of the cluster itself has nothing to undo: it ends, within a bound, and what was lost is healed
        after it.
        """
        while not following.done():
            await workflow.wait_condition(
                lambda: following.done() or bool(self._lost_primary or self._lost_replica or self._lost_way_in)
            )
            if following.done():
                return
            primary_is_lost = self._lost_primary is not None
            if not primary_is_lost:
                await self._help_out(following)
                continue
            await self._have_yielded(holder, following)
            while holder.type not in HEALING and (alarm := self._lost_primary) is not None:
                await self._heal(alarm)
            await self._tell(holder.id, holder.run_id)
            if holder.type in HEALING:
                await workflow.wait([following], timeout=YIELD_BOUND.total_seconds())
                return

    async def _help_out(self, following: "asyncio.Task[object]") -> None:
        """Do what clients cannot wait for until the turn is free, and what is in nobody's way.

        Given up when the primary is lost as well, or the turn is free: what follows does it all.
        """
        if self._lost_replica is not None:
            helping = asyncio.create_task(self._release_commits())
        elif (alarm := self._lost_way_in) is not None:
            helping = asyncio.create_task(self._start_way_in(alarm))
        else:
            return
        await workflow.wait_condition(lambda: helping.done() or following.done() or self._lost_primary is not None)
        if helping.done():
            helping.result()
        else:
            # Not waited for: its activity hears of it with a heartbeat, some seconds later.
            helping.cancel()

    async def _start_way_in(self, lost: Alarm) -> None:
        status = self._state.status
        assert status.endpoint is not None
        arg = effects.MendWayInInput(
            cluster_name=self._state.spec.name, endpoint=status.endpoint, poolers=status.poolers
        )
        try:
            await self._effect(effects.MEND_WAY_IN, arg, f"start the way in: {lost.name} was lost, {lost.how}")
        except MpgError as error:
            self._not_healed(lost, str(error), lost_primary=False)
        self._alarms.pop(lost.name, None)

    async def _release_commits(self) -> None:
        """Let writes go on without the lost replica. The holder's own may be among those that wait for it.

        The repair has to wait for the turn, this must not.
        """
        primary, replica = self._state.status.primary, self._state.status.replica
        assert primary is not None
        assert replica is not None
        # On record first: from here on nobody promotes it.
        self._learn([InSync(name=replica.name, value=False)])
        target = Target(cluster_id=self._state.spec.id, address=primary.address)
        try:
            await self._effect(effects.RELEASE_COMMITS, target, f"let no commit wait for {replica.name}, which is lost")
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

    async def _tell(self, operation_id: str, run_id: str) -> bool:
        """Give an operation the state as it stands; return whether the operation is there to hear it."""
        operation = workflow.get_external_workflow_handle(operation_id, run_id=run_id or None)
        try:
            await operation.signal("grant_turn", TurnGrant(state=self._state))
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            return False
        return True

    async def _end_of(self, holder: OperationRef) -> OperationEnd:
        arg = effects.AwaitOperationInput(operation_id=holder.id, run_id=holder.run_id)
        return await call(effects.AWAIT_OPERATION_END, arg, summary=f"follow {holder.id}")

    async def _tidy(self) -> None:
        """As always, but a primary that is lost meanwhile is not waited for."""
        waiting = asyncio.create_task(super()._tidy())
        await workflow.wait_condition(lambda: waiting.done() or self._lost_primary is not None)
        if waiting.done():
            return waiting.result()
        waiting.cancel()
        await workflow.wait([waiting])
        return None


def _not_degraded() -> ConditionIs:
    return ConditionIs(condition=Condition(type=DEGRADED, status=False, since=workflow.now(), message=""))
