"""Webhooks of an organization: making them, their secrets, what was sent to them, sending it again."""

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from urllib.parse import urlsplit

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.common import WorkflowIDReusePolicy as Reuse

from model import names
from model.errors import AlreadyExists, InvalidInput, NotFound
from model.name_lookups import NameLookups
from model.search_attributes import ACTOR, CLUSTER, CLUSTER_ID, ORG
from model.secrets import webhook_secret
from model.validation import checked, validated
from model.webhook_book import TEST, Delivery, DeliveryState, WebhookBook, WebhooksStart, required
from model.webhooks import AddWebhookRequest, Webhook, WebhookEvent, check_scheme, may_be_called, nowhere
from starter.client import updates
from starter.client.audit import AuditAction, about_organization
from starter.client.connection import read_master_key
from starter.client.listing import query_time
from starter.client.queries import QueryCalls
from starter.client.temporal import CALL_TIMEOUT, translated, unconfirmed
from starter.client.webhook_shapes import DeliveryShape, NewWebhook, WebhookShape, delivery_shape, standing

RESOLVE_S = 5.0
JUDGED = 20
"""By so many of its latest deliveries it is told how a webhook does."""
MOST_REPLAYED = 1000
_LOOKUPS = NameLookups()
"""One for all clients of a process: they have its threads in common."""
_FAILED = frozenset({DeliveryState.RETRYING, DeliveryState.GIVEN_UP})


class WebhookCalls(QueryCalls):
    """The part of :class:`starter.client.MpgClient` for webhooks."""

    async def webhooks(self, *, org: str = names.DEFAULT_ORG) -> list[WebhookShape]:
        """Return the webhooks of *org*, the oldest first."""
        book = await self._book(checked(names.check_org, org))
        return [await self._standing(org, each) for each in (book.webhooks if book else ())]

    async def webhook(self, webhook_id: str, *, org: str = names.DEFAULT_ORG) -> WebhookShape:
        """Return one. Raises NotFound."""
        return await self._standing(org, await self._required(org, webhook_id))

    async def create_webhook(
        self,
        url: str,
        *,
        events: Sequence[str] = tuple(WebhookEvent),
        clusters: Sequence[str] = (),
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> NewWebhook:
        """Have *url* told of what happens from now on; *clusters* are ids or names, none: all.

        Raises InvalidInput for a URL, kinds of events or clusters that cannot be, for a URL whose host has no address,
        or one that webhooks may not go to, and for a ``request_id`` that was used for another; TooOften where too many
        names are being looked up for *org*.
        """
        checked(names.check_org, org)
        wanted = validated(AddWebhookRequest, url=url, events=tuple(dict.fromkeys(events)), clusters=tuple(clusters))
        await self._check_receiver(org, wanted.url)
        ids = [(await self.view(each, org=org)).state.spec.id for each in wanted.clusters]
        webhook = Webhook(
            id=f"wh_{_token(16, org, request_id)}",
            url=wanted.url,
            events=wanted.events,
            clusters=tuple(dict.fromkeys(ids)),
            created_at=datetime.now(UTC),
            created_by=self._actor,
        )
        secret = self._secret(org, webhook)
        await self._begin(org)
        with self._acting_of(org, AuditAction.CREATE_WEBHOOK, webhook.id):
            try:
                found = await updates.change(self._workflow(org), self._settings, "add", webhook, answer=Webhook)
            except AlreadyExists as error:
                raise InvalidInput(
                    f"Request id {request_id!r} was used for another webhook.",
                    remedy="Repeat that request as it was, or use a new id.",
                ) from error
        # Nothing more is asked: it is on record by now. A repeat is answered as the first call was.
        return NewWebhook(webhook=_shape(Webhook.model_validate(found), ()), secret=secret)

    async def delete_webhook(self, webhook_id: str, *, org: str = names.DEFAULT_ORG) -> None:
        """Tell it of nothing any more; what is being tried ends with its next try. Raises NotFound."""
        await self._required(org, webhook_id)
        with self._acting_of(org, AuditAction.DELETE_WEBHOOK, webhook_id):
            await updates.change(self._workflow(org), self._settings, "remove", webhook_id)

    async def webhook_secret(self, webhook_id: str, *, org: str = names.DEFAULT_ORG) -> str:
        """Return what deliveries to it are signed with; it is recorded that it was shown. Raises NotFound."""
        secret = self._secret(org, await self._required(org, webhook_id))
        self._audit.write(about_organization(self._actor, AuditAction.READ_WEBHOOK_SECRET, org, webhook_id))
        return secret

    async def test_webhook(
        self, webhook_id: str, *, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> DeliveryShape:
        """Begin to send it a message of the type ``webhook.test``. Raises NotFound, and TooOften."""
        await self._required(org, webhook_id)
        message_id = f"evt_{_token(32, f'{org}/{webhook_id}', request_id)}"
        await updates.change(self._workflow(org), self._settings, "test", webhook_id, message_id)
        return DeliveryShape(id=message_id, type=TEST, state=DeliveryState.RUNNING, created_at=datetime.now(UTC))

    # --- deliveries -----------------------------------------------------------------------------------------------

    async def webhook_deliveries(
        self,
        webhook_id: str,
        *,
        since: datetime | None = None,
        state: DeliveryState | None = None,
        limit: int = 50,
        org: str = names.DEFAULT_ORG,
    ) -> list[DeliveryShape]:
        """Return its latest deliveries, newest first, as long as Temporal keeps them. Raises NotFound."""
        await self._required(org, webhook_id)
        found = await self._deliveries(org, webhook_id, since, limit if state is None else MOST_REPLAYED)
        return [each for each in found if state is None or each.state is state][:limit]

    async def replay_delivery(self, webhook_id: str, message_id: str, *, org: str = names.DEFAULT_ORG) -> DeliveryShape:
        """Send a message again, with its id and its words; one that is waiting for its next try is tried now.

        Raises NotFound, also for a message that Temporal keeps no longer.
        """
        await self._required(org, webhook_id)
        with self._acting_of(org, AuditAction.REPLAY_WEBHOOK, f"{webhook_id}/{message_id}"):
            return await self._replayed(org, webhook_id, message_id)

    async def replay_failed(
        self, webhook_id: str, *, since: datetime, org: str = names.DEFAULT_ORG
    ) -> list[DeliveryShape]:
        """Send again what was begun *since* then and is not delivered, the oldest first. Raises NotFound."""
        await self._required(org, webhook_id)
        found = await self._deliveries(org, webhook_id, since, MOST_REPLAYED)
        failed = [each.id for each in reversed(found) if each.state in _FAILED]
        if not failed:
            return []
        with self._acting_of(org, AuditAction.REPLAY_WEBHOOK, webhook_id), unconfirmed():
            return [await self._replayed(org, webhook_id, each) for each in failed]

    async def _replayed(self, org: str, webhook_id: str, message_id: str) -> DeliveryShape:
        workflow_id = names.delivery_workflow_id(org, webhook_id, message_id)
        handle = self._client.get_workflow_handle(workflow_id)
        with translated(self._settings, missing=f"There is no delivery {message_id!r} to webhook {webhook_id}."):
            description = await handle.describe()
            if description.status is WorkflowExecutionStatus.RUNNING:
                await handle.signal("try_now")
                return await delivery_shape(description)
            delivery = await self._first_input(workflow_id)
        with unconfirmed(), translated(self._settings):
            await self._client.start_workflow(
                "WebhookDelivery",
                delivery,
                id=workflow_id,
                task_queue=names.MAIN_QUEUE,
                id_reuse_policy=Reuse.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                memo={"type": delivery.type},
                search_attributes=_attributes(delivery, self._actor),
                static_summary=f"{delivery.type} {delivery.cluster}".strip() + ", again",
                rpc_timeout=CALL_TIMEOUT,
            )
        return DeliveryShape(
            id=message_id,
            type=delivery.type,
            cluster_id=delivery.cluster_id or None,
            cluster=delivery.cluster or None,
            state=DeliveryState.RUNNING,
            created_at=datetime.now(UTC),
        )

    async def _first_input(self, workflow_id: str) -> Delivery:
        async for event in self._client.get_workflow_handle(workflow_id).fetch_history_events(page_size=1):
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                payload = event.workflow_execution_started_event_attributes.input.payloads[0]
                return Delivery.model_validate_json(payload.data)
        raise NotFound(f"Temporal does not know any more what {workflow_id} was about.")

    async def _deliveries(self, org: str, webhook_id: str, since: datetime | None, limit: int) -> list[DeliveryShape]:
        """Return a webhook's latest deliveries, each message once, as its latest run stands."""
        query = f"{ORG.name} = '{org}' AND WorkflowId STARTS_WITH '{names.deliveries_of(org, webhook_id)}'"
        if since is not None:
            query += f" AND StartTime >= '{query_time(since)}'"
        known: dict[str, DeliveryShape] = {}
        with translated(self._settings):
            async for found in self._client.list_workflows(query, limit=limit):
                shape = await delivery_shape(found)
                known.setdefault(shape.id, shape)
        return sorted(known.values(), key=lambda each: each.created_at, reverse=True)

    # --- the rest -------------------------------------------------------------------------------------------------

    def _acting_of(self, org: str, action: AuditAction, about: str) -> AbstractContextManager[None]:
        return self._audit.acting(about_organization(self._actor, action, org, about))

    def _workflow(self, org: str) -> WorkflowHandle[object, object]:
        return self._client.get_workflow_handle(names.webhooks_workflow_id(org))

    async def _book(self, org: str) -> WebhookBook | None:
        try:
            with translated(self._settings):
                return await self._workflow(org).query("book", result_type=WebhookBook, rpc_timeout=CALL_TIMEOUT)
        except NotFound:
            return None

    async def _required(self, org: str, webhook_id: str) -> Webhook:
        now = datetime.now(UTC)
        book = await self._book(checked(names.check_org, org))
        return required(book or WebhookBook(organization=org, not_before=now, ends_until=now), webhook_id)

    async def _begin(self, org: str) -> None:
        """See that the organization has its workflow, which lives on without webhooks."""
        now = datetime.now(UTC)
        with translated(self._settings):
            await self._client.start_workflow(
                "Webhooks",
                WebhooksStart(book=WebhookBook(organization=org, not_before=now, ends_until=now)),
                id=names.webhooks_workflow_id(org),
                task_queue=names.MAIN_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=TypedSearchAttributes([SearchAttributePair(ORG, org)]),
                static_summary=f"Webhooks of organization {org}",
                rpc_timeout=CALL_TIMEOUT,
            )

    async def _standing(self, org: str, webhook: Webhook) -> WebhookShape:
        return _shape(webhook, await self._deliveries(org, webhook.id, None, JUDGED))

    def _secret(self, org: str, webhook: Webhook) -> str:
        return webhook_secret(read_master_key(self._settings.master_key_file), org, webhook.id, webhook.secret_version)

    async def _check_receiver(self, org: str, url: str) -> None:
        """Raise InvalidInput where no delivery could go to *url* now; each delivery looks again."""
        checked(lambda value: check_scheme(value, plain=self._settings.webhook_plain_http), url)
        host = urlsplit(url).hostname or ""
        try:
            async with asyncio.timeout(RESOLVE_S):
                addresses = await _LOOKUPS.addresses(org, host)
        except (OSError, ValueError, TimeoutError):
            addresses = []
        if not addresses or not all(may_be_called(each, self._settings.webhook_networks) for each in addresses):
            raise InvalidInput(
                nowhere(host),
                remedy="Name its network in MPG_WEBHOOK_PRIVATE_NETWORKS, if webhooks may go there.",
            )


def _shape(webhook: Webhook, latest: Sequence[DeliveryShape]) -> WebhookShape:
    fields = webhook.model_dump(include={"id", "url", "events", "clusters", "created_at", "created_by"})
    return WebhookShape(state=standing([each.state for each in latest]), **fields)


def _token(digits: int, about: str, request_id: str | None) -> str:
    """Return hexadecimal digits, always the same for one *request_id*, so that a repeat is recognised."""
    if request_id is None:
        return secrets.token_hex(digits // 2)
    checked(names.check_request_id, request_id)
    return hashlib.sha256(f"{about}/{request_id}".encode()).hexdigest()[:digits]


def _attributes(delivery: Delivery, actor: str) -> TypedSearchAttributes:
    pairs = [SearchAttributePair(ORG, delivery.organization), SearchAttributePair(ACTOR, actor)]
    if delivery.cluster_id:
        pairs += [
            SearchAttributePair(CLUSTER_ID, delivery.cluster_id),
            SearchAttributePair(CLUSTER, delivery.cluster),
        ]
    return TypedSearchAttributes(pairs)
