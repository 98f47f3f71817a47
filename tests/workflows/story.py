"""What an operation did, line by line, as its history tells: effects, and the facts it committed."""

import json

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHandle

from tests.workflows.stubs import REAL, Stubs

PATCH = "core_patch"
"""Marker of ``workflow.patched``; the others are of local activities."""


async def story(handle: WorkflowHandle[object, object], stubs: Stubs) -> list[str]:
    """The lines of *handle*'s workflow, in order."""
    texts = {call.activity_id: call.text for call in stubs.calls if call.workflow_id == handle.id}
    events = [event async for event in handle.fetch_history_events()]
    return [line for event in events if (line := _line(event, texts))]


def _line(event: HistoryEvent, texts: dict[str, str]) -> str | None:
    match event.event_type:
        case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            scheduled = event.activity_task_scheduled_event_attributes
            return None if scheduled.activity_type.name in REAL else texts.get(scheduled.activity_id, "?")
        case EventType.EVENT_TYPE_MARKER_RECORDED:
            if event.marker_recorded_event_attributes.marker_name == PATCH:
                return None
            data = json.loads(event.marker_recorded_event_attributes.details["data"].payloads[0].data)
            return None if data["activity_type"] in REAL else texts.get(data["activity_id"], "?")
        case EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
            signal = event.signal_external_workflow_execution_initiated_event_attributes
            return f"signal {signal.signal_name}"
        case EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
            child = event.start_child_workflow_execution_initiated_event_attributes
            return f"start {child.workflow_type.name}"
        case _:
            return None
