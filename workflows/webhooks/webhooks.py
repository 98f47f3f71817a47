"""Webhooks: an organization's webhooks, their only store; it hears what happened and has a delivery begun for each.

Conditions are told by the clusters' workflows. Ends of operations it finds itself, by one activity that looks at
Temporal's lists, and only while there is a webhook: so it knows of every kind of operation, of those that were
terminated, and of what ended while no worker ran.
"""

import asyncio
from collections.abc import Sequence

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.effects import Happened
    from model.errors import MpgError
    from model.events import Event
    from model.webhook_book import (
        SLICE,
        Delivery,
        Told,
        WebhookBook,
        WebhooksStart,
        added,
        first_slice,
        removed,
        tell,
        tried,
        with_ends,
    )
    from model.webhooks import Webhook
    from workflows.call import answering, call

AGAIN_AFTER_S = 60
"""Until ends of operations are looked for, or deliveries begun, again, where that failed for good."""


@workflow.defn
class Webhooks:
    """The webhooks of one organization. Its id is :func:`model.names.webhooks_workflow_id`."""

    @workflow.init
    def __init__(self, start: WebhooksStart) -> None:
        """Begin with what an earlier run left."""
        self._book = start.book
        self._heard: list[Event] = list(start.heard)
        self._unsent: list[Delivery] = list(start.unsent)
        self._looking: asyncio.Task[None] | None = None

    @workflow.run
    async def run(self, start: WebhooksStart) -> None:
        """Tell of what happens, without end."""
        while True:
            self._look()
            if workflow.info().is_continue_as_new_suggested():
                await self._begin_anew()
            elif self._heard or self._unsent:
                await self._tell()
            else:
                await workflow.wait_condition(self._something_to_do)

    # --- what others say and ask ----------------------------------------------------------------------------------

    @workflow.query
    def book(self) -> WebhookBook:
        """All that is known."""
        return self._book

    @workflow.signal
    def happened(self, arg: Happened) -> None:
        """Something happened to a cluster. What was heard before changes nothing."""
        self._hear(arg.events)

    @workflow.update
    async def add(self, webhook: Webhook) -> Webhook:
        """Put a webhook on record; it is told of what happens from now on. A repeat changes nothing."""
        first = not self._book.webhooks
        with answering():
            self._book = added(self._book, webhook)
        if first:  # what ended before anybody wanted to know is no news
            self._book = self._book.model_copy(update={"ends_until": workflow.now(), "not_before": workflow.now()})
        return self._book.webhook(webhook.id) or webhook

    @workflow.update
    async def remove(self, webhook_id: str) -> None:
        """Take a webhook off the record. Deliveries to it end with their next try."""
        with answering():
            self._book = removed(self._book, webhook_id)

    @workflow.update
    def test(self, webhook_id: str, message_id: str) -> None:
        """Send a webhook a message that only tries it. A repeat sends nothing."""
        self._keep(self._tried(webhook_id, message_id))

    @test.validator
    def may_test(self, webhook_id: str, message_id: str) -> None:
        """Refuse a test before it is in the history, which one who asks without end would fill."""
        self._tried(webhook_id, message_id)

    def _tried(self, webhook_id: str, message_id: str) -> Told:
        with answering():
            return tried(self._book, webhook_id, message_id, workflow.now())

    # --- what follows ---------------------------------------------------------------------------------------------

    def _something_to_do(self) -> bool:
        return (
            bool(self._heard or self._unsent)
            or self._is_to_look is not (self._looking is not None)
            or workflow.info().is_continue_as_new_suggested()
        )

    async def _tell(self) -> None:
        """Have a slice of deliveries begun. No more is worked out than that needs: a burst is kept as it was heard."""
        while self._heard and len(self._unsent) < SLICE:
            self._keep(tell(self._book, [self._heard.pop(0)]))
        begun = first_slice(self._unsent)
        if not begun:
            return
        arg = effects.BeginDeliveriesInput(deliveries=begun)
        try:
            await call(effects.BEGIN_DELIVERIES, arg, summary=f"begin {len(begun)} deliveries")
        except MpgError as error:
            workflow.logger.warning("deliveries are not begun", extra={"error": str(error)})
            await asyncio.sleep(AGAIN_AFTER_S)
        else:
            del self._unsent[: len(begun)]

    async def _begin_anew(self) -> None:
        """Continue as new, between two slices, with what is not told and not sent."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._stop_looking()
        workflow.continue_as_new(WebhooksStart(book=self._book, heard=tuple(self._heard), unsent=tuple(self._unsent)))

    def _keep(self, told: Told) -> None:
        self._book = told.book
        self._unsent.extend(told.deliveries)

    # --- ends of operations ---------------------------------------------------------------------------------------

    @property
    def _is_to_look(self) -> bool:
        return bool(self._book.webhooks)

    def _look(self) -> None:
        if self._is_to_look and self._looking is None:
            self._looking = asyncio.create_task(self._keep_looking())
        elif not self._is_to_look:
            self._stop_looking()

    def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def _keep_looking(self) -> None:
        while True:
            # What ended waits in Temporal's lists while there is more to tell than can be told at once.
            await workflow.wait_condition(lambda: not self._heard)
            try:
                self._hear_of(await self._ends())
            except MpgError as error:
                workflow.logger.warning("ends of operations are not found", extra={"error": str(error)})
                await asyncio.sleep(AGAIN_AFTER_S)

    async def _ends(self) -> effects.Ends:
        arg = effects.AwaitEndsInput(
            organization=self._book.organization, since=self._book.ends_until, known=self._book.known_ends
        )
        return await call(effects.AWAIT_ENDS, arg, summary="wait for the end of an operation")

    def _hear_of(self, ends: effects.Ends) -> None:
        self._book = with_ends(self._book, ends.events)
        self._hear(ends.events)

    def _hear(self, events: Sequence[Event]) -> None:
        """Keep what is news to the webhooks that there are: what was before there was one may be told only now."""
        if self._book.webhooks:
            self._heard.extend(each for each in events if each.at >= self._book.not_before)
