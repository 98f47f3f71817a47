"""What a switchover or a failover said of itself, read from its operation's history."""

from typing import Any, TypeVar

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from model.base import Record
from model.effects import FAIL_OVER, SWITCH_PRIMARY, Effect, FailoverReport, SwitchoverReport
from model.settings import Settings
from starter.client import MpgClient
from starter.client.temporal import connect

R = TypeVar("R", bound=Record)


async def switchover_report(settings: Settings, operation_id: str) -> SwitchoverReport | None:
    """Return the report of the operation's first switchover; None when it made none."""
    return await _report(settings, operation_id, SWITCH_PRIMARY)


async def failover_report(mpg: MpgClient, cluster: str) -> FailoverReport | None:
    """Return the report of the cluster's latest failover; None when it promoted nothing."""
    for operation in await mpg.operations(cluster, limit=10):
        if operation.type == "Failover":
            return await _report(mpg.settings, operation.id, FAIL_OVER)
    return None


async def _report(settings: Settings, operation_id: str, effect: Effect[Any, R]) -> R | None:
    """Return the result of the operation's first activity of *effect*."""
    client: Client = await connect(settings)
    handle: WorkflowHandle[object, object] = client.get_workflow_handle(operation_id)
    scheduled: set[int] = set()
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            if event.activity_task_scheduled_event_attributes.activity_type.name == effect.name:
                scheduled.add(event.event_id)
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            completed = event.activity_task_completed_event_attributes
            if completed.scheduled_event_id in scheduled:
                return effect.output.model_validate_json(completed.result.payloads[0].data)
    return None
