"""Webhooks and their deliveries as objects of the command line and the API."""

from collections.abc import Sequence
from datetime import datetime

from temporalio.client import WorkflowExecution, WorkflowExecutionStatus

from model.base import Record
from model.search_attributes import CLUSTER, CLUSTER_ID
from model.webhook_book import DeliveryReport, DeliveryState
from model.webhooks import WebhookEvent, origin


class DeliveryShape(Record):
    """A message for a webhook, and how its delivery stands. ``status`` is the receiver's last answer."""

    id: str
    type: str
    cluster_id: str | None = None
    cluster: str | None = None
    state: DeliveryState
    tries: int = 0
    created_at: datetime
    last_try_at: datetime | None = None
    status: int | None = None
    error: str | None = None


class WebhookShape(Record):
    """A webhook. ``state`` is ok, retrying (something is tried again), failing (the last was given up) or unused.

    ``url`` has no path where it is shown to one who may only read.
    """

    id: str
    url: str
    events: tuple[WebhookEvent, ...]
    clusters: tuple[str, ...]
    created_at: datetime
    created_by: str
    state: str

    def without_secrets(self) -> "WebhookShape":
        """Return what one may see who may only read: a URL with a path or a query may be a secret itself."""
        return self.model_copy(update={"url": origin(self.url)})


class NewWebhook(Record):
    """A webhook that was made, with its secret."""

    webhook: WebhookShape
    secret: str


async def delivery_shape(found: WorkflowExecution) -> DeliveryShape:
    """Return a delivery as lists of workflows show it."""
    report: DeliveryReport = await found.memo_value("report", DeliveryReport(), type_hint=DeliveryReport)
    ended_otherwise = found.status not in {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED}
    attributes, last = found.typed_search_attributes, report.last
    return DeliveryShape(
        id=found.id.rpartition("/")[2],
        type=await found.memo_value("type", "", type_hint=str),
        cluster_id=attributes.get(CLUSTER_ID),
        cluster=attributes.get(CLUSTER),
        state=DeliveryState.CANCELLED if ended_otherwise else report.state,
        tries=report.tries,
        created_at=found.start_time,
        last_try_at=last and last.at,
        status=last and last.status,
        error=last and last.error,
    )


def standing(latest: Sequence[DeliveryState]) -> str:
    """Say how a webhook does, by its *latest* deliveries, newest first."""
    if DeliveryState.RETRYING in latest:
        return "retrying"
    ended = [each for each in latest if each in {DeliveryState.DELIVERED, DeliveryState.GIVEN_UP}]
    if not ended:
        return "unused"
    return "failing" if ended[0] is DeliveryState.GIVEN_UP else "ok"
