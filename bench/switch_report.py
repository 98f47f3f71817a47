"""What a switchover said of itself, read from its operation's history."""

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from model.effects import SWITCH_PRIMARY, SwitchoverReport
from model.settings import Settings
from starter.temporal import connect


async def switchover_report(settings: Settings, operation_id: str) -> SwitchoverReport | None:
    """Return the report of the operation's first switchover; None when it made none."""
    client: Client = await connect(settings)
    handle: WorkflowHandle[object, object] = client.get_workflow_handle(operation_id)
    scheduled: set[int] = set()
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            if event.activity_task_scheduled_event_attributes.activity_type.name == SWITCH_PRIMARY.name:
                scheduled.add(event.event_id)
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            completed = event.activity_task_completed_event_attributes
            if completed.scheduled_event_id in scheduled:
                return SwitchoverReport.model_validate_json(completed.result.payloads[0].data)
    return None
