"""What a cluster tells its organization's webhooks: conditions, as they are raised and lifted. It is told in its order.

Ends of operations are not told here: the webhooks' own workflow finds them, with those that take no turn.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import Condition
    from model.errors import MpgError
    from model.events import Event, EventCondition
    from model.webhook_book import conditions_changed
    from workflows.call import call
    from workflows.cluster.record import ClusterRecord

TELLS_OF_CONDITIONS = "tells-of-conditions"
"""A run that began before clusters told of conditions, and in which one had changed, goes on without to its end.

The SDK answers once for a run: what it found when it replayed the first change holds for the later ones too.
"""
AGAIN_AFTER_S = 60


class Tidings:
    """Keeps what was not told yet. A cluster whose conditions do not change costs nothing."""

    def __init__(self, record: ClusterRecord, untold: Sequence[Event] = ()) -> None:
        """Tell of *record*'s conditions, and first what an earlier run left *untold*."""
        self._record = record
        self._untold = list(untold)
        self._last: datetime | None = None
        self._telling: asyncio.Task[None] | None = None

    @property
    def untold(self) -> tuple[Event, ...]:
        """What is still to be told."""
        return tuple(self._untold)

    def hear(self, before: Sequence[Condition], after: Sequence[Condition]) -> None:
        """Hear which conditions held and which do now."""
        changed = conditions_changed(_told(before), _told(after))
        if not changed or not workflow.patched(TELLS_OF_CONDITIONS):
            return
        spec = self._record.spec
        for kind, condition in changed:
            self._untold.append(
                Event(
                    kind=kind,
                    at=self._moment(),
                    organization=spec.org,
                    cluster_id=spec.id,
                    cluster=spec.name,
                    condition=condition,
                )
            )
        self.begin()

    def begin(self) -> None:
        """Begin to tell, unless that is under way or there is nothing to tell."""
        if self._untold and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._tell())

    async def told(self) -> None:
        """Return once all is told: the cluster ends."""
        if self._telling is not None:
            await self._telling

    def stop(self) -> None:
        """Leave what is not told to the next run. What was told and is not known to be is told again, and known."""
        if self._telling is not None:
            self._telling.cancel()

    async def _tell(self) -> None:
        while self._untold:
            events = self.untold
            arg = effects.Happened(organization=self._record.spec.org, events=events)
            try:
                await call(effects.TELL_WEBHOOKS, arg, summary="tell webhooks of conditions")
            except MpgError as error:
                workflow.logger.warning("conditions are not told", extra={"error": str(error)})
                await asyncio.sleep(AGAIN_AFTER_S)
            else:
                del self._untold[: len(events)]

    def _moment(self) -> datetime:
        """Return now, or a microsecond after the event before: no two have one time, and so one id."""
        now = workflow.now()
        self._last = now if self._last is None or now > self._last else self._last + timedelta(microseconds=1)
        return self._last


def _told(conditions: Sequence[Condition]) -> list[EventCondition]:
    return [EventCondition(type=each.type, since=each.since, message=each.message) for each in conditions]
