"""WebhookDelivery: one message for one webhook, tried until the receiver takes it or three days have passed."""

from contextlib import suppress

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects, search_attributes
    from model.errors import MpgError
    from model.webhook_book import Attempt, Delivery, DeliveryReport, DeliveryState
    from model.webhooks import is_tried_again, pause_after
    from workflows.call import call
    from workflows.search import upsert


@workflow.defn
class WebhookDelivery:
    """One delivery. Its id is :func:`model.names.delivery_workflow_id`."""

    @workflow.init
    def __init__(self, delivery: Delivery) -> None:
        """Begin with nothing tried."""
        self._delivery = delivery
        self._report = DeliveryReport()
        self._at_once = False

    @workflow.run
    async def run(self, delivery: Delivery) -> DeliveryReport:
        """Try until it is taken, or given up; what came of it is the result, no failure."""
        while self._report.state in {DeliveryState.RUNNING, DeliveryState.RETRYING}:
            self._learn(await self._try())
            pause = pause_after(self._report.tries)
            if self._report.state is DeliveryState.RETRYING and pause is not None:
                await self._rest(pause.total_seconds())
        return self._report

    @workflow.signal
    def try_now(self) -> None:
        """Somebody asks for the next try at once."""
        self._at_once = True

    @workflow.query
    def report(self) -> DeliveryReport:
        """How it stands."""
        return self._report

    async def _rest(self, seconds: float) -> None:
        """Wait for the time of the next try, or until it is asked for, also where that was during the last one."""
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._at_once, timeout=seconds)
        self._at_once = False

    async def _try(self) -> Attempt:
        arg = effects.DeliverInput(
            organization=self._delivery.organization,
            webhook_id=self._delivery.webhook_id,
            message_id=self._delivery.message_id,
            body=self._delivery.body,
        )
        try:
            return await call(effects.DELIVER_MESSAGE, arg, summary=f"try {self._report.tries + 1}")
        except MpgError as error:
            return Attempt(at=workflow.now(), error=str(error))

    def _learn(self, attempt: Attempt) -> None:
        tries = self._report.tries + 1
        self._report = DeliveryReport(state=_state(attempt, tries), tries=tries, last=attempt)
        # For lists, which ask nobody.
        workflow.upsert_memo({"report": self._report})
        upsert(search_attributes.PHASE.value_set(str(self._report.state)))


def _state(attempt: Attempt, tries: int) -> DeliveryState:
    if attempt.gone:
        return DeliveryState.CANCELLED
    if attempt.error is None:
        return DeliveryState.DELIVERED
    if not is_tried_again(attempt.status) or pause_after(tries) is None:
        return DeliveryState.GIVEN_UP
    return DeliveryState.RETRYING
