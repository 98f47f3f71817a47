"""What webhooks are to be told of: conditions, as the cluster says, and ends of operations, from Temporal's lists."""

import asyncio
from datetime import UTC, datetime

from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.service import RPCError, RPCStatusCode

from activities.heartbeat import INTERVAL_S, while_worker_runs
from model import effects, sightings
from model.effects import AwaitEndsInput, Ends, Happened, Nothing
from model.events import Event, EventKind, EventOperation, SeenOperation
from model.names import webhooks_workflow_id
from model.operations import OperationOutcome, OperationResult
from model.search_attributes import OPERATION, ORG
from model.webhook_book import ENDS_OVERLAP

LOOK_S = 1.0
"""Pause between two looks: one query of a millisecond or two, for each organization that has webhooks."""
MOST_AT_ONCE = 50
"""Ends in one answer: with their steps they stay well under what Temporal takes as a payload, also carried over."""


class HappeningActivities:
    """Effects through Temporal's API."""

    def __init__(self, client: Client) -> None:
        """Ask *client*."""
        self._client = client

    @activity.defn(name=effects.TELL_WEBHOOKS.name)
    async def tell_webhooks(self, arg: Happened) -> Nothing:
        """Tell the organization's webhooks; where it has none this changes nothing. What is told twice is sent once."""
        try:
            await self._client.get_workflow_handle(webhooks_workflow_id(arg.organization)).signal("happened", arg)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
        return Nothing()

    @activity.defn(name=effects.AWAIT_ENDS.name)
    async def await_ends(self, arg: AwaitEndsInput) -> Ends:
        """Return operations of the organization that ended and are not known, once there are any."""
        return await while_worker_runs(self._ends(arg), INTERVAL_S)

    async def _ends(self, arg: AwaitEndsInput) -> Ends:
        while True:
            if found := await self._ended(arg):
                return Ends(events=tuple([await self._event(seen) for seen in found[:MOST_AT_ONCE]]))
            await asyncio.sleep(LOOK_S)

    async def _ended(self, arg: AwaitEndsInput) -> list[SeenOperation]:
        since = f"{(arg.since - ENDS_OVERLAP).astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        query = (
            f"{ORG.name} = '{arg.organization}' AND {OPERATION.name} IS NOT NULL"
            f" AND ExecutionStatus != 'Running' AND CloseTime > '{since}'"
        )
        found = [each async for each in self._client.list_workflows(query)]
        seen = sightings.look(datetime.now(UTC), found).operations.values()
        news = [each for each in seen if not each.runs and each.finished_at and each.id not in arg.known]
        return sorted(news, key=lambda each: (each.finished_at or arg.since, each.id))

    async def _event(self, seen: SeenOperation) -> Event:
        """Return the event of an end, with what lists do not have: the steps, or why it failed."""
        assert seen.finished_at is not None
        fields = seen.model_dump(include={"id", "type", "status", "phase", "started_at", "finished_at"})
        handle: WorkflowHandle[object, OperationResult] = self._client.get_workflow_handle(
            seen.id, result_type=OperationResult
        )
        try:
            fields["steps"] = (await handle.result(rpc_timeout=None)).steps
        except WorkflowFailureError as error:
            fields["error"] = _why(error.cause) if seen.status is not OperationOutcome.DONE else None
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # else it is forgotten already, and the end is still news
                raise
        return Event(
            kind=EventKind.OPERATION_ENDED,
            at=seen.finished_at,
            organization=seen.organization,
            cluster_id=seen.cluster_id,
            cluster=seen.cluster,
            operation=EventOperation(**fields),
        )


def _why(cause: BaseException) -> str:
    if isinstance(cause, ApplicationError):
        return cause.message or str(cause)
    return cause.message if isinstance(cause, FailureError) and cause.message else str(cause)
