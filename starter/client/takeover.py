"""What a switchover or a failover says of itself, read from its operation's history."""

from collections.abc import AsyncIterator

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from model.base import Record
from model.effects import FAIL_OVER, SWITCH_PRIMARY, FailoverReport, SwitchoverReport

_EFFECTS = {each.name: each for each in (SWITCH_PRIMARY, FAIL_OVER)}


class Takeover(Record):
    """One node took over from the other. All times in milliseconds.

    ``held_ms`` is how long pooled clients were held, ``steps_ms`` what it was spent on, in order; ``timeline`` that of
    the new primary.
    """

    timeline: int
    held_ms: float
    steps_ms: dict[str, float]


async def takeovers(events: AsyncIterator[HistoryEvent]) -> list[Takeover]:
    """Return the takeovers in an operation's history, in order."""
    scheduled: dict[int, str] = {}
    found: list[Takeover] = []
    async for event in events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            name = event.activity_task_scheduled_event_attributes.activity_type.name
            if name in _EFFECTS:
                scheduled[event.event_id] = name
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            completed = event.activity_task_completed_event_attributes
            if name := scheduled.get(completed.scheduled_event_id):
                report = _EFFECTS[name].output.model_validate_json(completed.result.payloads[0].data)
                found.append(_takeover(report))
    return found


def _takeover(report: Record) -> Takeover:
    match report:
        case SwitchoverReport():
            return Takeover(timeline=report.timeline, held_ms=report.paused_ms, steps_ms=report.steps_ms)
        case FailoverReport():
            return Takeover(timeline=report.timeline, held_ms=report.held_ms, steps_ms=report.steps_ms)
        case _:
            raise TypeError(f"{type(report).__name__} is no report of a takeover.")
