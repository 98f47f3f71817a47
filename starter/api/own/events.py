"""Live events: one stream per connection (Server-Sent Events) with all that its token may see."""

import math
import time
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
from starter.tokens.grants import Grant
from starter.tokens.keyring import Keyring, TokenRefused

HEARTBEAT_S = 15.0
"""A comment after so long without an event: it keeps the connection open, and shows who has hung up."""
VERIFIED_FOR_S, LOOKED_FOR_S = 5.0, 0.1
"""How late the end of a token's time may be noticed on a stream, and how late that it was revoked."""
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
    """Return what tells whether the tokens are still in force with which the stream began.

    It is asked for each event of each stream. So the record is looked at ten times a second at most, and they are
    verified again when it is another one, or after a while.
    """
    keyring: Keyring = request.app.state.keyring
    used = set(call.caller.grants)
    tokens = tokens_of(request.headers.get("authorization", ""))

    looked_at = verified_at = -math.inf
    known = 0

    def admitted() -> bool:
        nonlocal looked_at, verified_at, known
        now = time.monotonic()
        if now - looked_at < LOOKED_FOR_S:
            return True
        edition = keyring.edition()
        if edition != known or now - verified_at >= VERIFIED_FOR_S:
            if not verified():
                return False
            verified_at, known = now, edition
        looked_at = now
        return True

    def verified() -> bool:
        # By what each grants, not by their ids: two that were attenuated from one token have one id.
        in_force: set[Grant] = set()
        for token in tokens:
            try:
                in_force.add(keyring.verify(token))
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


_written: dict[str, tuple[Event, str]] = {}
_MOST_WRITTEN = 64


def as_text(delivered: Delivered) -> str:
    """Return an event as the stream has it: its id, its kind, and a document in one line.

    Written once for all streams that it is on.
    """
    id, event = delivered
    known = _written.get(id)
    if known is not None and known[0] is event:
        return known[1]
    document = event.model_dump_json(exclude_none=True)
    text = f"id: {id}\nevent: {event.kind.value}\ndata: {document}\n\n"
    if len(_written) >= _MOST_WRITTEN:
        _written.clear()
    _written[id] = event, text
    return text
