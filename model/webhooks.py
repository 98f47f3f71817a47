"""Webhooks as data: what is told, how a delivery is signed, when it is tried again, and where it may go.

Names, headers and the signature are those of the Standard Webhooks specification, version 1
(https://github.com/standard-webhooks/standard-webhooks): whoever verifies by one of its libraries verifies ours.
"""

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from model.base import Record, Request
from model.events import Event, EventKind, EventOperation
from model.operations import FailoverRequest, ForcedFailoverRequest, OperationOutcome, StepStatus

MOST_URL = 2048
MOST_CLUSTERS = 100
GONE = 410
"""A receiver's answer (RFC 9110) that it wants this no more: the delivery is given up at once."""
ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER = "webhook-id", "webhook-timestamp", "webhook-signature"
SECRET_PREFIX = "whsec_"  # noqa: S105  (what a secret begins with)
PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""Pauses between the tries of a delivery: the schedule that the specification gives as its example."""
_FAILOVERS = frozenset({FailoverRequest.operation, ForcedFailoverRequest.operation})
_PROMOTION = "promote"
"""What the step of a failover is called in which another node becomes the primary."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is given out as global unicast (IANA, RFC 4291). Outside are forms with an IPv4 address in them,
such as ``::127.0.0.1`` and NAT64 (RFC 6052, RFC 8215), site-local addresses, and segments' identifiers (5f00::/16)."""
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ipaddress.ip_network(each)
    for each in (
        "2002::/16",  # 6to4 (RFC 3056): any IPv4 address may be behind
        "3fff::/20",  # documentation (RFC 9637)
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.88.99.0/24",  # relays of 6to4 (RFC 7526)
        "168.63.129.16/32",  # Azure's hosts, which answer their own guests
    )
)
"""What :mod:`ipaddress` takes for global in some versions of Python, or all, and is not."""


class WebhookEvent(StrEnum):
    """What a webhook can be told of."""

    OPERATION_ENDED = "operation.ended"
    FAILOVER = "failover"
    CONDITION_RAISED = "condition.raised"
    CONDITION_LIFTED = "condition.lifted"


_CONDITIONS = {
    EventKind.CONDITION_RAISED: WebhookEvent.CONDITION_RAISED,
    EventKind.CONDITION_LIFTED: WebhookEvent.CONDITION_LIFTED,
}


def check_url(value: str) -> str:
    """Return *value* where a delivery could go there. Raises ``ValueError`` with a sentence.

    Whether its host's addresses may be called is decided when they are connected to: see :func:`may_be_called`.
    """
    if len(value) > MOST_URL:
        raise ValueError(f"A webhook's URL has {MOST_URL} characters at most.")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("A webhook's URL has printable ASCII characters only, and no space.")
    try:
        parts = urlsplit(value)
        _ = parts.port  # looked at here, since only that says whether it is a number
    except ValueError:
        raise ValueError("A webhook's URL is one such as https://example.com/hooks.") from None
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("A webhook's URL is one such as https://example.com/hooks.")
    if parts.username is not None or parts.password is not None:
        raise ValueError("A webhook's URL holds no user and no password: deliveries are signed instead.")
    if parts.fragment:
        raise ValueError("A webhook's URL has no fragment (#…): it would not be sent.")
    return value


def check_scheme(url: str, *, plain: bool) -> str:
    """Return *url* where it is one of https, or of http and *plain* allows that. Raises ``ValueError``."""
    if urlsplit(url).scheme != "https" and not plain:
        raise ValueError("Webhooks go to https URLs only, unless MPG_WEBHOOK_PLAIN_HTTP says otherwise.")
    return url


def origin(url: str) -> str:
    """Return scheme, host and port of *url*: what is left of one whose path lets whoever knows it send messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def nowhere(host: str) -> str:
    """Return the sentence about a *host* that no message may go to.

    It is one for names that are not known and for addresses that are not public: who names hosts learns of neither.
    """
    return f"{host} has no address that webhooks may go to."


_ENDED = (WebhookEvent.OPERATION_ENDED,)


class AddWebhookRequest(Request):
    """A webhook to add to an organization."""

    url: Annotated[str, AfterValidator(check_url)]
    events: Annotated[tuple[WebhookEvent, ...], Field(min_length=1, max_length=len(WebhookEvent))] = tuple(WebhookEvent)
    clusters: Annotated[tuple[str, ...], Field(max_length=MOST_CLUSTERS)] = ()
    """Ids of the clusters that it is told of; none: all of the organization, also those to come."""


class Webhook(Record):
    """A webhook as it is kept. Its secret is derived where it is needed (``model.secrets.webhook_secret``)."""

    id: str
    url: str
    events: tuple[WebhookEvent, ...]
    clusters: tuple[str, ...] = ()
    secret_version: int = 1
    created_at: datetime
    created_by: str = ""
    sequence: int = 0
    """The number of the last message that there was for it."""

    def wants(self, kind: WebhookEvent, event: Event) -> bool:
        """Tell whether it is to be told of *event* as *kind*."""
        return kind in self.events and (not self.clusters or event.cluster_id in self.clusters)


def told_as(event: Event) -> tuple[WebhookEvent, ...]:
    """Return as what webhooks are told of *event*: nothing, or one or two kinds.

    A failover is told where another node became the primary. One that failed, or that started the lost node again in
    place, is the end of an operation only.
    """
    if event.kind in _CONDITIONS:
        return (_CONDITIONS[event.kind],)
    if event.kind is not EventKind.OPERATION_ENDED or event.operation is None:
        return ()
    return (WebhookEvent.OPERATION_ENDED, WebhookEvent.FAILOVER) if _promoted(event.operation) else _ENDED


def _promoted(operation: EventOperation) -> bool:
    if operation.type not in _FAILOVERS or operation.status is not OperationOutcome.DONE:
        return False
    return any(_PROMOTION in step.name.split() and step.status is StepStatus.DONE for step in operation.steps)


def event_id(kind: WebhookEvent, event: Event) -> str:
    """Return the id by which a receiver knows *event* again: the same for every try and every replay.

    An operation ends once; a condition may be raised again, so the time at which it was seen is part of its id.
    """
    if event.operation is not None:
        subject = ("operation", event.operation.id)
    else:
        subject = ("condition", event.condition.type if event.condition else "", event.at.isoformat())
    parts = [kind, event.organization, event.cluster_id, *subject]
    # Lengths before the parts: no two different lists give the same bytes.
    told = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return f"evt_{hashlib.sha256(told).hexdigest()[:32]}"


class Message(Record):
    """What a receiver gets: the specification's recommended form, and a number that tells order and gaps."""

    type: str
    timestamp: datetime
    """When it happened or was seen, which is not when it was sent."""
    sequence: int
    """1, 2, 3 … for each webhook: the order in which the platform came to know."""
    data: Event


def body(type: str, event: Event, sequence: int) -> str:
    """Return what is signed and sent, as JSON: the same for every try and every replay."""
    message = Message(type=type, timestamp=event.at, sequence=sequence, data=event)
    return message.model_dump_json(exclude_none=True, exclude={"data": {"kind", "at"}})


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature header: HMAC-SHA256 over the id, the *timestamp* (Unix, seconds) and the *body*.

    *secret* is ``whsec_`` and the key in base64. Raises ``ValueError`` where it is not.
    """
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"A webhook's secret begins with {SECRET_PREFIX}.")
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


def delivered(status: int) -> bool:
    """Tell whether an answer with *status* takes a delivery: 2xx only. A redirect does not, and is not followed."""
    return 200 <= status < 300


def is_tried_again(status: int | None) -> bool:
    """Tell whether a delivery that was answered with *status*, None for not at all, is worth another try.

    All but 410 are: a 401 or a 404 is most often a receiver that is being set up or mended, and a day or two suffice.
    """
    return status != GONE


def pause_after(tries: int) -> timedelta | None:
    """Return how long to wait after so many tries (1 and up) that failed; None: it is given up."""
    return PAUSES[tries - 1] if tries <= len(PAUSES) else None


def may_be_called(address: Address, allowed: Iterable[Network] = ()) -> bool:
    """Tell whether a delivery may connect to *address*: a public one, or one in a network of *allowed*.

    It is asked of the very address that is connected to, so that a name which resolves to another one meanwhile
    (DNS rebinding) gains nothing.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address in network for network in allowed):
        return True
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast
