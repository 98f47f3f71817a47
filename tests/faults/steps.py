"""The steps of an operation, read from its own history: nothing here knows which steps an operation has."""

from collections import Counter

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from bench.spans import local_activity, time_of
from tests.faults.fault import StepRef


def steps_of(history: WorkflowHistory) -> list[StepRef]:
    """Return every activity of *history*, local ones too, in the order in which they began."""
    begun: dict[int, tuple[float, str, float]] = {}
    local: list[tuple[float, str, float]] = []
    for event in history.events:
        at = time_of(event)
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                name = event.activity_task_scheduled_event_attributes.activity_type.name
                begun[event.event_id] = (at, name, 0.0)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                key = event.activity_task_completed_event_attributes.scheduled_event_id
                first, name, _ = begun[key]
                begun[key] = (first, name, at - first)
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                if (recorded := local_activity(event)) is not None:
                    local.append((recorded.begin, recorded.label, recorded.end - recorded.begin))
            case _:
                pass
    counts = Counter[str]()
    steps: list[StepRef] = []
    for _, name, seconds in sorted([*begun.values(), *local]):
        counts[name] += 1
        steps.append(StepRef(effect=name, occurrence=counts[name], seconds=round(max(0.0, seconds), 4)))
    return steps
