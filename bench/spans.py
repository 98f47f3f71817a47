"""Where the time of an operation went, read from its history."""

import itertools
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

WORKFLOW = "workflow code"
TEMPORAL = "Temporal: to record and to dispatch"
_LOCAL_ACTIVITY = "core_local_activity"
_ACTIVITY_ENDS = frozenset(
    {
        EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
        EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
    }
)


class Span(NamedTuple):
    """Somebody was at work from *begin* to *end*, in seconds since the epoch."""

    label: str
    begin: float
    end: float


def parts(events: Sequence[HistoryEvent]) -> dict[str, float]:
    """Return the seconds from the first event to the last by who was at work; the sum is the whole time.

    Where several were, an activity comes before the workflow's code. Where nobody was, it was Temporal's time.
    """
    begin, end = time_of(events[0]), time_of(events[-1])
    # The later in this order, the more it says.
    spans = [Span(TEMPORAL, begin, end), *_workflow_tasks(events), *_activities(events), *_local_activities(events)]
    bounds = sorted({min(max(bound, begin), end) for span in spans for bound in (span.begin, span.end)})
    result: dict[str, float] = {}
    for since, until in itertools.pairwise(bounds):
        label = next(span.label for span in reversed(spans) if span.begin <= since and until <= span.end)
        result[label] = result.get(label, 0.0) + until - since
    return result


def time_of(event: HistoryEvent) -> float:
    """Return when *event* happened, in seconds since the epoch."""
    return event.event_time.ToNanoseconds() / 1e9


def local_activity(event: HistoryEvent) -> Span | None:
    """Return the local activity that *event* records, None where it records none. Its end may be before its begin."""
    marker = event.marker_recorded_event_attributes
    if event.event_type != EventType.EVENT_TYPE_MARKER_RECORDED or marker.marker_name != _LOCAL_ACTIVITY:
        return None
    told = json.loads(marker.details["data"].payloads[0].data)
    return Span(told["activity_type"], _of_json(told["original_schedule_time"]), _of_json(told["complete_time"]))


def _of_json(value: object) -> float:
    if isinstance(value, str):
        return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    assert isinstance(value, dict)
    return float(value["seconds"]) + float(value.get("nanos", 0)) / 1e9  # pyright: ignore[reportUnknownArgumentType]


def _workflow_tasks(events: Iterable[HistoryEvent]) -> Iterable[Span]:
    started = 0.0
    for event in events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
            started = time_of(event)
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            yield Span(WORKFLOW, started, time_of(event))


def _activities(events: Sequence[HistoryEvent]) -> Iterable[Span]:
    names = {
        event.event_id: event.activity_task_scheduled_event_attributes.activity_type.name
        for event in events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    }
    # Of one that was tried again, the last try: the others were never started, as far as the history knows.
    began: dict[int, float] = {}
    for event in events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
            began[event.activity_task_started_event_attributes.scheduled_event_id] = time_of(event)
        elif event.event_type in _ACTIVITY_ENDS:
            scheduled = _scheduled(event)
            if scheduled in began:
                yield Span(names[scheduled], began[scheduled], time_of(event))


def _scheduled(event: HistoryEvent) -> int:
    match event.event_type:
        case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            return event.activity_task_completed_event_attributes.scheduled_event_id
        case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
            return event.activity_task_failed_event_attributes.scheduled_event_id
        case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
            return event.activity_task_timed_out_event_attributes.scheduled_event_id
        case _:
            return event.activity_task_canceled_event_attributes.scheduled_event_id


def _local_activities(events: Iterable[HistoryEvent]) -> Iterable[Span]:
    """Each from its beginning to that of the next, or to the end of the workflow task: their ends are not recorded.

    The workflow's code between two of them is counted with the first.
    """
    completed = 0.0
    open_: tuple[str, float] | None = None
    for event in events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            if open_ is not None:
                yield Span(*open_, completed)
            open_, completed = None, time_of(event)
        elif (recorded := local_activity(event)) is not None:
            if open_ is not None:
                yield Span(*open_, recorded.begin)
            open_ = (recorded.label, recorded.begin)
    if open_ is not None:
        yield Span(*open_, completed)
