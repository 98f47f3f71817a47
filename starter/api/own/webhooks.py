"""Webhooks of an organization: making them, their secrets, what was sent to them, sending it again."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field

from model.base import Record
from model.webhook_book import DeliveryState
from model.webhooks import MOST_CLUSTERS, WebhookEvent
from starter.api.call import Asked, Call
from starter.api.errors import ApiError
from starter.api.operating import Body
from starter.client.webhook_shapes import DeliveryShape, NewWebhook, WebhookShape

router = APIRouter(prefix="/api/v1/organizations/{org}/webhooks", tags=["webhooks"])


class WantedWebhook(Body):
    """A webhook to be made. ``clusters`` are ids or names; none: all of the organization, also those to come."""

    url: str
    events: Annotated[tuple[WebhookEvent, ...], Field(min_length=1, max_length=len(WebhookEvent))] = tuple(WebhookEvent)
    clusters: Annotated[tuple[str, ...], Field(max_length=MOST_CLUSTERS)] = ()


class WantedReplay(Body):
    """From when on what was not delivered is sent again."""

    since: AwareDatetime


class WebhookList(Record):
    """The answer about all, the oldest first."""

    data: list[WebhookShape]


class OneWebhook(Record):
    """The answer about one."""

    data: WebhookShape


class MadeWebhook(Record):
    """The answer to a creation."""

    data: NewWebhook


class WebhookSecret(Record):
    """What messages are signed with."""

    secret: str


class OneWebhookSecret(Record):
    """The answer about a secret."""

    data: WebhookSecret


class Deliveries(Record):
    """The answer about several, newest first."""

    data: list[DeliveryShape]


class OneDelivery(Record):
    """The answer about one."""

    data: DeliveryShape


class DeletedWebhook(Record):
    """The answer to the end of one."""

    ok: bool = True


@router.get("")
async def list_webhooks(org: str, call: Asked) -> WebhookList:
    """List the webhooks of an organization, and how they do. A token that may only read is shown no paths of URLs."""
    org = await _org(call, org)
    return WebhookList(data=[_shown(call, org, each) for each in await call.mpg.webhooks(org=org)])


@router.post("", status_code=201)
async def create_webhook(org: str, wanted: WantedWebhook, call: Asked) -> MadeWebhook:
    """Have a URL told of what happens from now on. The answer has the secret that messages are signed with."""
    org = await _org(call, org)
    made = await call.mpg.create_webhook(
        wanted.url, events=wanted.events, clusters=wanted.clusters, org=org, request_id=call.key
    )
    return MadeWebhook(data=made)


@router.get("/{webhook}")
async def show_webhook(org: str, webhook: str, call: Asked) -> OneWebhook:
    """Show a webhook, and how it does. A token that may only read is not shown the path of its URL."""
    org = await _org(call, org)
    return OneWebhook(data=_shown(call, org, await call.mpg.webhook(webhook, org=org)))


@router.delete("/{webhook}")
async def delete_webhook(org: str, webhook: str, call: Asked) -> DeletedWebhook:
    """Tell a webhook of nothing any more."""
    await call.mpg.delete_webhook(webhook, org=await _org(call, org))
    return DeletedWebhook()


@router.get("/{webhook}/secret")
async def show_webhook_secret(org: str, webhook: str, call: Asked) -> OneWebhookSecret:
    """Show the secret that a webhook's messages are signed with. The audit has who saw it."""
    org = await _org(call, org)
    if not call.caller.sees_secrets(org):
        raise ApiError(403, "This token may only read, and is shown no secrets.")
    return OneWebhookSecret(data=WebhookSecret(secret=await call.mpg.webhook_secret(webhook, org=org)))


@router.post("/{webhook}/test", status_code=202)
async def test_webhook(org: str, webhook: str, call: Asked) -> OneDelivery:
    """Send a webhook a message of the type ``webhook.test``."""
    begun = await call.mpg.test_webhook(webhook, org=await _org(call, org), request_id=call.key)
    return OneDelivery(data=begun)


@router.get("/{webhook}/deliveries")
async def list_webhook_deliveries(
    org: str,
    webhook: str,
    call: Asked,
    since: Annotated[AwareDatetime | None, Query(description="By default as long as they are kept.")] = None,
    state: Annotated[DeliveryState | None, Query(description="Only those that stand so.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Deliveries:
    """List what was sent to a webhook, and what the receiver answered."""
    org = await _org(call, org)
    return Deliveries(data=await call.mpg.webhook_deliveries(webhook, since=since, state=state, limit=limit, org=org))


@router.post("/{webhook}/deliveries/{delivery}/replay", status_code=202)
async def replay_webhook_delivery(org: str, webhook: str, delivery: str, call: Asked) -> OneDelivery:
    """Send a message again, with its id; one that waits for its next try is tried now."""
    return OneDelivery(data=await call.mpg.replay_delivery(webhook, delivery, org=await _org(call, org)))


@router.post("/{webhook}/replay", status_code=202)
async def replay_failed_deliveries(org: str, webhook: str, wanted: WantedReplay, call: Asked) -> Deliveries:
    """Send again what was begun since a time and is not delivered."""
    org = await _org(call, org)
    return Deliveries(data=await call.mpg.replay_failed(webhook, since=wanted.since, org=org))


def _shown(call: Call, org: str, found: WebhookShape) -> WebhookShape:
    return found if call.caller.sees_secrets(org) else found.without_secrets()


async def _org(call: Call, slug: str) -> str:
    """Return the organization. Raises NotFound; 403 for a token that is for one cluster of it."""
    org = await call.organization(slug)
    if not call.caller.may_create(org):
        raise ApiError(403, "This token is for one cluster; webhooks are the whole organization's.")
    return org
