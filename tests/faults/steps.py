"""The steps of an operation, read from its own history: nothing here knows which steps an operation has."""

import json
from collections import Counter
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from tests.faults.fault import StepRef


def steps_of(history: WorkflowHistory) -> list[StepRef]:
    """Return every activity of *history*, local ones too, in the order in which they began."""
    begun: dict[int, tuple[float, str, float]] = {}
    local: list[tuple[float, str, float]] = []
    for event in history.events:
        at = _seconds(event.event_time)
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                name = event.activity_task_scheduled_event_attributes.activity_type.name
                begun[event.event_id] = (at, name, 0.0)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                key = event.activity_task_completed_event_attributes.scheduled_event_id
                first, name, _ = begun[key]
                begun[key] = (first, name, at - first)
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                marker = event.marker_recorded_event_attributes
                if marker.marker_name == "core_local_activity":
                    told = json.loads(marker.details["data"].payloads[0].data)
                    first, last = (_of_json(told[key]) for key in ("original_schedule_time", "complete_time"))
                    local.append((first, told["activity_type"], last - first))
            case _:
                pass
    counts = Counter[str]()
    steps: list[StepRef] = []
    for _, name, seconds in sorted([*begun.values(), *local]):
        counts[name] += 1
        steps.append(StepRef(effect=name, occurrence=counts[name], seconds=round(max(0.0, seconds), 4)))
    return steps


def _seconds(time: Timestamp) -> float:
    return time.ToNanoseconds() / 1e9


def _of_json(value: object) -> float:
    if isinstance(value, str):
        return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    assert isinstance(value, dict)
    return float(value["seconds"]) + float(value.get("nanos", 0)) / 1e9  # pyright: ignore[reportUnknownArgumentType]
