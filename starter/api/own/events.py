"""Live events: one stream per connection (Server-Sent Events) with all that its token may see."""

from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from model.events import Event
from starter.api.authentication import tokens_of
from starter.api.call import Asked, Call
from starter.api.errors import ApiError
from starter.client.events import Delivered, EventHub, Sees, Subscription, TooManyListeners
from starter.tokens.keyring import Keyring, TokenRefused

HEARTBEAT_S = 15.0
"""A comment after so long without an event: it keeps the connection open, and shows who has hung up."""
RETRY_MS = 2000
"""How long clients are asked to wait before they connect anew."""
WAIT_S = 10
"""How long one is asked to wait who finds all streams taken."""

router = APIRouter(prefix="/api/v1", tags=["events"])

LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="Id of the last event that was seen: what came after it comes first."),
]
LastEventIdInQuery = Annotated[
    str | None, Query(alias="last_event_id", description="The same, for clients that cannot send the header.")
]


class EventStream(StreamingResponse):
    """A subscription as Server-Sent Events."""

    media_type = "text/event-stream"

    def __init__(self, subscription: Subscription, admitted: Callable[[], bool]) -> None:
        """Send what *subscription* hears, as long as *admitted* says so before each event and heartbeat."""
        super().__init__(_lines(subscription, admitted), headers={"Cache-Control": "no-store"})
        self._subscription = subscription

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send, and leave the subscription however that ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._subscription.close()


_DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {"content": {EventStream.media_type: {"schema": {"type": "string"}}}, "description": "Events, without end."}
}


@router.get("/organizations/{org}/events", status_code=200, response_class=EventStream, responses=_DOCUMENTED)
async def stream_of_organization(
    org: str, call: Asked, request: Request, last: LastEventId = None, from_query: LastEventIdInQuery = None
) -> Response:
    """Tell of everything in an organization that the token covers: operations, conditions, states of clusters."""
    await call.organization(org)

    def sees(event: Event) -> bool:
        return event.organization == org and call.caller.sees_cluster(org, event.cluster_id)

    return await _stream(request, call, sees, last or from_query)


@router.get("/postgresv2/{cluster}/events", status_code=200, response_class=EventStream, responses=_DOCUMENTED)
async def stream_of_cluster(
    cluster: str, call: Asked, request: Request, last: LastEventId = None, from_query: LastEventIdInQuery = None
) -> Response:
    """Tell of everything about one cluster."""
    spec = (await call.view(cluster)).state.spec
    return await _stream(request, call, lambda event: event.cluster_id == spec.id, last or from_query)


async def _stream(request: Request, call: Call, sees: Sees, last_id: str | None) -> Response:
    hub: EventHub = request.app.state.events
    try:
        subscription = await hub.subscribe(sees, last_id)
    except TooManyListeners as error:
        raise ApiError(429, f"{error} Try again later.", {"Retry-After": str(WAIT_S)}) from None
    return EventStream(subscription, _admission(request, call))


def _admission(request: Request, call: Call) -> Callable[[], bool]:
    """Return what tells whether the tokens are still in force with which the stream began."""
    keyring: Keyring = request.app.state.keyring
    used = {grant.token_id for grant in call.caller.grants}
    tokens = tokens_of(request.headers.get("authorization", ""))

    def admitted() -> bool:
        in_force: set[str] = set()
        for token in tokens:
            try:
                in_force.add(keyring.verify(token).token_id)
            except TokenRefused:
                continue
        return used <= in_force

    return admitted


async def _lines(subscription: Subscription, admitted: Callable[[], bool]) -> AsyncGenerator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    while not subscription.over:
        delivered = await subscription.next(HEARTBEAT_S)
        if not admitted():
            return
        if delivered is not None:
            yield as_text(delivered)
        elif not subscription.over:
            yield ":\n\n"


def as_text(delivered: Delivered) -> str:
    """Return an event as the stream has it: its id, its kind, and a document in one line."""
    event = delivered.event
    document = event.model_dump_json(exclude_none=True)
    return f"id: {delivered.id}\nevent: {event.kind.value}\ndata: {document}\n\n"
