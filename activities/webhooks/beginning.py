"""Deliveries are begun: one workflow for each message and webhook, by its id at most once."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.heartbeat import heartbeating
from model import effects
from model.effects import BeginDeliveriesInput, Nothing
from model.names import MAIN_QUEUE, delivery_workflow_id
from model.search_attributes import CLUSTER, CLUSTER_ID, ORG
from model.webhook_book import Delivery

AT_A_TIME = 8
CALL_TIMEOUT = timedelta(seconds=10)

log = structlog.get_logger()


class BeginningActivities:
    """Starts workflows through Temporal's API, so that they are nobody's children.

    Temporal bounds how many starts of children a workflow may have open, and how much one of its tasks may ask for.
    A burst that passed a bound would stop the organization's workflow for good.
    """

    def __init__(self, client: Client) -> None:
        """Start by *client*."""
        self._client = client

    @activity.defn(name=effects.BEGIN_DELIVERIES.name)
    async def begin_deliveries(self, arg: BeginDeliveriesInput) -> Nothing:
        """Begin those deliveries that are not begun yet. One that Temporal refuses for good is left out, and logged."""
        gate = asyncio.Semaphore(AT_A_TIME)

        async def begin(delivery: Delivery) -> None:
            async with gate:
                await self._begin(delivery)

        async with heartbeating():
            await _all(asyncio.create_task(begin(each)) for each in arg.deliveries)
        return Nothing()

    async def _begin(self, delivery: Delivery) -> None:
        workflow_id = delivery_workflow_id(delivery.organization, delivery.webhook_id, delivery.message_id)
        try:
            await self._client.start_workflow(
                "WebhookDelivery",
                delivery,
                id=workflow_id,
                task_queue=MAIN_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                memo={"type": delivery.type},
                search_attributes=_attributes(delivery),
                static_summary=f"{delivery.type} {delivery.cluster}".strip(),
                rpc_timeout=CALL_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            log.info("message is sent already", delivery=workflow_id)
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
            log.error("message cannot be sent", delivery=workflow_id, error=error.message)


async def _all(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Return once all *tasks* are over. Raises what the first one did that failed."""
    begun = list(tasks)
    try:
        failed = [each for each in await asyncio.gather(*begun, return_exceptions=True) if each is not None]
    finally:
        for each in begun:
            each.cancel()
    if failed:
        raise failed[0]


def _attributes(delivery: Delivery) -> TypedSearchAttributes:
    pairs = [SearchAttributePair(ORG, delivery.organization)]
    if delivery.cluster_id:
        pairs += [
            SearchAttributePair(CLUSTER_ID, delivery.cluster_id),
            SearchAttributePair(CLUSTER, delivery.cluster),
        ]
    return TypedSearchAttributes(pairs)
