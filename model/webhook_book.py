"""An organization's webhooks as they are kept, and what follows for them from what happened."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from model.base import Record
from model.errors import AlreadyExists, NotFound, Refused, TooOften
from model.events import Event, EventCondition, EventKind
from model.webhooks import Webhook, body, event_id, told_as

MOST_WEBHOOKS = 50
"""Of one organization."""
TEST = "webhook.test"
"""Type of the message by which somebody tries a webhook. It is told of nothing else."""
MOST_TESTS = 10
"""Of all webhooks of an organization, in each :data:`TESTS_IN`."""
TESTS_IN = timedelta(minutes=1)
TOLD_KEPT = 500
"""How many ids of events are kept, so that one that is heard twice is told once."""
SLICE = 50
"""Deliveries that one activity begins at most."""
SLICE_BYTES = 256 * 1024
"""Of their messages together, unless a single one is larger. Temporal refuses an activity's input of 2 MiB."""
ENDS_OVERLAP = timedelta(seconds=60)
"""How far is looked back beyond the last end that is known: an end shows in Temporal's lists a little later."""


class DeliveryState(StrEnum):
    """How a delivery stands."""

    RUNNING = "running"
    """It was not tried yet, or is being tried."""
    RETRYING = "retrying"
    """It failed at least once and is tried again."""
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    """It failed until the last try, or the receiver answered 410."""
    CANCELLED = "cancelled"
    """Its webhook was deleted."""


class Delivery(Record):
    """One message for one webhook: what the workflow of a delivery is started with."""

    organization: str
    webhook_id: str
    message_id: str
    """What the receiver gets as ``webhook-id``."""
    type: str
    cluster_id: str = ""
    cluster: str = ""
    body: str


class Attempt(Record):
    """What came of one try. ``status`` is None where there was no answer, and ``error`` a sentence why it failed."""

    at: datetime
    gone: bool = False
    """There is no such webhook any more."""
    status: int | None = None
    error: str | None = None


class DeliveryReport(Record):
    """How a delivery stands, and its last try."""

    state: DeliveryState = DeliveryState.RUNNING
    tries: int = 0
    last: Attempt | None = None


class WebhookBook(Record):
    """What the workflow of an organization's webhooks knows."""

    organization: str
    webhooks: tuple[Webhook, ...] = ()
    told: tuple[str, ...] = ()
    """Ids of the last events that were told, or that nobody wanted to hear of."""
    tests: tuple[datetime, ...] = ()
    """When the last tests were asked for."""
    not_before: datetime
    """When there was a first webhook. What ended before is no news."""
    ends_until: datetime
    """Ends of operations up to then are known."""
    known_ends: Mapping[str, datetime] = {}
    """Operations that ended shortly before that and are known, and when."""

    def webhook(self, webhook_id: str) -> Webhook | None:
        """Return a webhook by its id."""
        return next((each for each in self.webhooks if each.id == webhook_id), None)


class WebhooksStart(Record):
    """What a run of an organization's webhooks begins with: the book, and what the run before did not come to."""

    book: WebhookBook
    heard: tuple[Event, ...] = ()
    """What is not told yet."""
    unsent: tuple[Delivery, ...] = ()


class Told(NamedTuple):
    """What is to be sent, and the book afterwards."""

    book: WebhookBook
    deliveries: tuple[Delivery, ...]


def added(book: WebhookBook, webhook: Webhook) -> WebhookBook:
    """Return *book* with *webhook*; one that is there already stays. Raises AlreadyExists for another of its id."""
    known = book.webhook(webhook.id)
    if known is not None:
        if (known.url, known.events, known.clusters) != (webhook.url, webhook.events, webhook.clusters):
            raise AlreadyExists(f"There is a webhook {webhook.id}, with another request.")
        return book
    if len(book.webhooks) >= MOST_WEBHOOKS:
        raise Refused(f"Organization {book.organization} has {MOST_WEBHOOKS} webhooks, the most that there are.")
    return book.model_copy(update={"webhooks": (*book.webhooks, webhook)})


def removed(book: WebhookBook, webhook_id: str) -> WebhookBook:
    """Return *book* without that webhook. Raises NotFound."""
    required(book, webhook_id)
    return book.model_copy(update={"webhooks": tuple(each for each in book.webhooks if each.id != webhook_id)})


def required(book: WebhookBook, webhook_id: str) -> Webhook:
    """Return a webhook of *book*. Raises NotFound."""
    if (found := book.webhook(webhook_id)) is None:
        raise NotFound(f"There is no webhook {webhook_id!r}.", remedy="See 'mpg webhooks list'.")
    return found


def tell(book: WebhookBook, events: Iterable[Event]) -> Told:
    """Return the deliveries that *events* ask for, each numbered, and the book after them."""
    deliveries: list[Delivery] = []
    for event in events:
        for kind in told_as(event):
            message_id = event_id(kind, event)
            if message_id in book.told:
                continue
            book = _remembered(book, message_id)
            for webhook in book.webhooks:
                if webhook.wants(kind, event):
                    book, delivery = _numbered(book, webhook, message_id, kind, event)
                    deliveries.append(delivery)
    return Told(book, tuple(deliveries))


def tried(book: WebhookBook, webhook_id: str, message_id: str, at: datetime) -> Told:
    """Return the delivery of a message that only tries a webhook; none where it was sent already.

    Raises NotFound, and TooOften after :data:`MOST_TESTS` in :data:`TESTS_IN`.
    """
    webhook = required(book, webhook_id)
    if message_id in book.told:
        return Told(book, ())
    lately = tuple(each for each in book.tests if each > at - TESTS_IN)
    if len(lately) >= MOST_TESTS:
        raise TooOften(
            f"Webhooks of organization {book.organization} were tested {MOST_TESTS} times within a minute.",
            remedy="Wait a minute.",
        )
    event = Event(kind=EventKind.RESET, at=at, organization=book.organization)
    book = book.model_copy(update={"tests": (*lately, at)})
    after, delivery = _numbered(_remembered(book, message_id), webhook, message_id, TEST, event)
    return Told(after, (delivery,))


def first_slice(unsent: Sequence[Delivery]) -> tuple[Delivery, ...]:
    """Return the first of *unsent*, which are begun together: :data:`SLICE` and :data:`SLICE_BYTES` at most."""
    count = total = 0
    for delivery in unsent[:SLICE]:
        total += len(delivery.body)
        if count and total > SLICE_BYTES:
            break
        count += 1
    return tuple(unsent[:count])


def _remembered(book: WebhookBook, message_id: str) -> WebhookBook:
    return book.model_copy(update={"told": (*book.told, message_id)[-TOLD_KEPT:]})


def _numbered(
    book: WebhookBook, webhook: Webhook, message_id: str, type: str, event: Event
) -> tuple[WebhookBook, Delivery]:
    told = webhook.model_copy(update={"sequence": webhook.sequence + 1})
    webhooks = tuple(told if each.id == webhook.id else each for each in book.webhooks)
    delivery = Delivery(
        organization=book.organization,
        webhook_id=webhook.id,
        message_id=message_id,
        type=type,
        cluster_id=event.cluster_id,
        cluster=event.cluster,
        body=body(type, event, told.sequence),
    )
    return book.model_copy(update={"webhooks": webhooks}), delivery


def with_ends(book: WebhookBook, ended: Iterable[Event]) -> WebhookBook:
    """Return *book* once the ends of operations in *ended* are known."""
    ends = {
        event.operation.id: event.at
        for event in ended
        if event.operation is not None and event.operation.finished_at is not None
    }
    until = max((book.ends_until, *ends.values()))
    known = {id: at for id, at in {**book.known_ends, **ends}.items() if at > until - ENDS_OVERLAP}
    return book.model_copy(update={"ends_until": until, "known_ends": known})


def conditions_changed(
    before: Iterable[EventCondition], after: Iterable[EventCondition]
) -> list[tuple[EventKind, EventCondition]]:
    """Return which conditions were raised and which lifted; one that holds with other words is neither."""
    old, new = {each.type: each for each in before}, {each.type: each for each in after}
    lifted = [(EventKind.CONDITION_LIFTED, old[type]) for type in sorted(old.keys() - new.keys())]
    return [(EventKind.CONDITION_RAISED, new[type]) for type in sorted(new.keys() - old.keys())] + lifted
