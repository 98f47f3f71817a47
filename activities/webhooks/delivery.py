"""One try of a delivery: look the webhook up, sign, send, see what the receiver answers."""

import time
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.heartbeat import heartbeating
from activities.webhooks.books import Books
from activities.webhooks.sending import Unsent, send
from model import effects
from model.effects import DeliverInput
from model.name_lookups import NameLookups
from model.names import webhooks_workflow_id
from model.secrets import webhook_secret
from model.settings import Settings
from model.webhook_book import Attempt, WebhookBook
from model.webhooks import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, Webhook, delivered, sign

QUERY_TIMEOUT = timedelta(seconds=10)

log = structlog.get_logger()


class DeliveryActivities:
    """Sends messages of webhooks."""

    def __init__(self, client: Client, settings: Settings, master_key: bytes) -> None:
        """Look webhooks up by *client*; sign with secrets that are derived from *master_key*."""
        self._client = client
        self._settings = settings
        self._master_key = master_key
        self._books = Books(self._book)
        self._lookups = NameLookups()

    @activity.defn(name=effects.DELIVER_MESSAGE.name)
    async def deliver_message(self, arg: DeliverInput) -> Attempt:
        """Send a message once, and return what came of it: a receiver that does not take it is no error here.

        What fails is the platform's, and no try of the receiver.

        A worker that dies halfway leaves it open whether the receiver has it; then it is sent again, with the same id.
        """
        async with heartbeating():
            webhook = await self._books.webhook(arg.organization, arg.webhook_id)
            if webhook is None:
                return Attempt(at=datetime.now(UTC), gone=True)
            return await self._sent(arg, webhook)

    async def _book(self, organization: str) -> WebhookBook | None:
        workflow = self._client.get_workflow_handle(webhooks_workflow_id(organization))
        try:
            return await workflow.query("book", result_type=WebhookBook, rpc_timeout=QUERY_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return None

    async def _sent(self, arg: DeliverInput, webhook: Webhook) -> Attempt:
        body, timestamp = arg.body.encode(), int(time.time())
        secret = webhook_secret(self._master_key, arg.organization, webhook.id, webhook.secret_version)
        headers = {
            "content-type": "application/json",
            ID_HEADER: arg.message_id,
            TIMESTAMP_HEADER: str(timestamp),
            SIGNATURE_HEADER: sign(secret, arg.message_id, timestamp, body),
        }
        at = datetime.now(UTC)
        look_up = partial(self._lookups.addresses, arg.organization)
        try:
            status = await send(webhook.url, headers, body, self._settings, look_up)
        except Unsent as error:
            log.info("webhook was not delivered", webhook=webhook.id, message=arg.message_id, error=str(error))
            return Attempt(at=at, error=str(error))
        said = None if delivered(status) else f"The receiver answered {status}."
        log.info("webhook was answered", webhook=webhook.id, message=arg.message_id, status=status)
        return Attempt(at=at, status=status, error=said)
