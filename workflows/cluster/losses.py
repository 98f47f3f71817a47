"""What the watch said was lost, until something was done about it; and what could not be healed, for a while."""

import asyncio
from collections.abc import Callable, Sequence

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model.cluster import WRONG_MASTER_KEY, ClusterPhase, ClusterState, Durability
    from model.conditions import DEGRADED
    from model.effects import Alarm, AlarmKind
    from model.facts import AbsencesPlanned, Fact, InSync, PhaseIs
    from model.healing import Remedy, pause_s, remedy
    from workflows.cluster.record import no_condition

LOST_PRIMARY = frozenset({Remedy.FAIL_OVER, Remedy.RESTART_PRIMARY})
WATCHED = frozenset({ClusterPhase.READY, ClusterPhase.NEEDS_OPERATOR})
"""Phases in which a cluster has something to lose."""


class Losses:
    """Alarms by the name of what was lost, judged by the state that *state* returns."""

    def __init__(self, state: Callable[[], ClusterState]) -> None:
        """Begin with nothing lost."""
        self._state = state
        self._alarms: dict[str, Alarm] = {}
        self._resting: dict[str, asyncio.Task[None]] = {}
        """What could not be healed, until it is looked at again."""
        self._failures: dict[str, int] = {}

    # --- what is lost ---------------------------------------------------------------------------------------------

    @property
    def known(self) -> tuple[str, ...]:
        """Names that the watch need not tell of: told of already, or left alone for a while."""
        return (*self._alarms, *self._resting)

    @property
    def primary(self) -> Alarm | None:
        """The primary, if it is lost."""
        if not self._watched:
            return None
        return next((alarm for alarm in self._alarms.values() if remedy(self._state(), alarm) in LOST_PRIMARY), None)

    @property
    def replica(self) -> Alarm | None:
        """The replica, where it is lost and commits wait for it."""
        spec, status = self._state().spec, self._state().status
        if not self._watched or spec.durability is not Durability.SYNC or status.primary is None:
            return None
        replica = status.replica
        return self._alarms.get(replica.name) if replica is not None and replica.in_sync else None

    @property
    def way_in(self) -> Alarm | None:
        """The endpoint or a pooler, if it is lost."""
        if not self._watched:
            return None
        return next((alarm for alarm in self._alarms.values() if alarm.kind is AlarmKind.WAY_IN), None)

    @property
    def next(self) -> Alarm | None:
        """What to heal next: the primary before all else, and nothing without it, or with another master key."""
        if not self._watched or self._state().status.condition(WRONG_MASTER_KEY) is not None:
            return None
        if (alarm := self.primary) is not None:
            return alarm
        primary = self._state().status.primary
        if primary is None or primary.name in self._resting:
            return None
        return next(iter(self._alarms.values()), None) or self._left_behind()

    @property
    def _watched(self) -> bool:
        return self._state().status.phase in WATCHED

    def _left_behind(self) -> Alarm | None:
        """Return an alarm for a replica that was left out of sync: it may run, and the watch would see nothing."""
        spec, status = self._state().spec, self._state().status
        replica, ready = status.replica, status.phase is ClusterPhase.READY
        if not ready or replica is None or replica.in_sync or replica.name in self._resting:
            return None
        if spec.durability is not Durability.SYNC:
            return None
        return Alarm(kind=AlarmKind.NODE, name=replica.name, how="it is not in sync")

    # --- what changes that ----------------------------------------------------------------------------------------

    def note(self, alarm: Alarm) -> None:
        """Keep *alarm* until something was done about it."""
        self._alarms[alarm.name] = alarm

    def hear(self, facts: Sequence[Fact]) -> Sequence[Fact]:
        """Hear *facts* that are about to be recorded; return them with what follows from them.

        What they say of something lost is newer than what the watch said of it.
        """
        for fact in facts:
            if isinstance(fact, AbsencesPlanned):
                self._silence(*fact.names)
            elif isinstance(fact, InSync) and fact.value:
                self.forget(fact.name)
                facts = [*facts, no_condition(DEGRADED)]
            elif isinstance(fact, PhaseIs) and fact.phase is ClusterPhase.READY:
                self.forget(*self._resting)
        return facts

    def helped(self, name: str) -> None:
        """Something was done about the alarm for *name*; how often it failed before stays known."""
        self._silence(name)

    def forget(self, *names: str) -> None:
        """All is well with *names*."""
        self._silence(*names)
        for name in names:
            self._failures.pop(name, None)
            if (rest := self._resting.pop(name, None)) is not None:
                rest.cancel()

    def rest(self, name: str) -> None:
        """Leave what could not be healed alone, longer each time; then the watch tells of it again if it is lost."""
        self._failures[name] = self._failures.get(name, 0) + 1
        self._resting[name] = asyncio.create_task(self._rest(name))

    def stop(self) -> None:
        """Wait for nothing any more: the workflow's run ends."""
        for rest in self._resting.values():
            rest.cancel()

    def _silence(self, *names: str) -> None:
        for name in names:
            self._alarms.pop(name, None)

    async def _rest(self, name: str) -> None:
        await asyncio.sleep(pause_s(self._failures[name]))
        self._resting.pop(name, None)
