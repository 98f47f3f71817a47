"""Effects of webhooks: what happened is told and found, a message is sent. Implemented in activities/webhooks/."""

from collections.abc import Mapping
from datetime import datetime

from model.base import Record
from model.effects.effect import Effect, Kind, Nothing
from model.events import Event
from model.webhook_book import Attempt, Delivery


class Happened(Record):
    """What happened in an organization, in its order."""

    organization: str
    events: tuple[Event, ...]


class AwaitEndsInput(Record):
    """Wait until an operation of the organization has ended, after *since* and not one of those that are *known*."""

    organization: str
    since: datetime
    known: Mapping[str, datetime] = {}


class Ends(Record):
    """The operations that ended, what ended first."""

    events: tuple[Event, ...]


class BeginDeliveriesInput(Record):
    """Begin these deliveries, as many as :func:`model.webhook_book.first_slice` allows."""

    deliveries: tuple[Delivery, ...]


class DeliverInput(Record):
    """Send a message once. Where to, and with which secret, is what is on record of the webhook then."""

    organization: str
    webhook_id: str
    message_id: str
    body: str


TELL_WEBHOOKS = Effect("tell_webhooks", Happened, Nothing, Kind.SQL_WAIT, "webhooks.happenings:HappeningActivities")
"""An activity of its own, not a local one: what was told is not to be decided anew, with another time."""
AWAIT_ENDS = Effect("await_ends", AwaitEndsInput, Ends, Kind.WATCH, "webhooks.happenings:HappeningActivities")
BEGIN_DELIVERIES = Effect(
    "begin_deliveries", BeginDeliveriesInput, Nothing, Kind.SQL_WAIT, "webhooks.beginning:BeginningActivities"
)
DELIVER_MESSAGE = Effect(
    "deliver_message", DeliverInput, Attempt, Kind.UNTIL_DONE, "webhooks.delivery:DeliveryActivities"
)
