"""Webhooks: what they are told of, once each and numbered, and how a delivery is tried again."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.webhooks.beginning import BeginningActivities
from model import effects
from model.cluster import ClusterState, Role
from model.effects import Alarm, AlarmKind, BeginDeliveriesInput, Happened, Nothing
from model.errors import ReplicaBehind, TooOften
from model.events import Event, EventKind, EventOperation
from model.names import MAIN_QUEUE, cluster_workflow_id, deliveries_of, delivery_workflow_id, webhooks_workflow_id
from model.operations import CreateUserRequest, OperationOutcome
from model.webhook_book import (
    MOST_TESTS,
    MOST_WEBHOOKS,
    SLICE,
    TEST,
    Attempt,
    Delivery,
    DeliveryReport,
    DeliveryState,
    WebhookBook,
    WebhooksStart,
)
from model.webhooks import PAUSES, Webhook, WebhookEvent
from tests.workflows.bench import Bench, until
from tests.workflows.samples import MADE_AT, ready_cluster
from tests.workflows.server import EVENTS_BEFORE_CONTINUE_AS_NEW
from tests.workflows.stubs import Call, fails, hangs

WEBHOOK = "wh_1"
PLATFORM_FAILURES = 20
ENDS = 100
"""With the most of webhooks they are more deliveries than a workflow may have children that are being started."""


class Organization:
    """An organization of its own, with a webhook that is told of everything."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.name = f"org-{secrets.token_hex(4)}"
        self.webhooks: WorkflowHandle[Any, Any] = bench.client.get_workflow_handle(webhooks_workflow_id(self.name))

    async def begin(self) -> None:
        now = datetime.now(UTC)
        start = WebhooksStart(book=WebhookBook(organization=self.name, not_before=now, ends_until=now))
        await self.bench.client.start_workflow("Webhooks", start, id=self.webhooks.id, task_queue=MAIN_QUEUE)

    async def add(self, id: str = WEBHOOK) -> None:
        webhook = Webhook(id=id, url="https://example.com", events=tuple(WebhookEvent), created_at=MADE_AT)
        await self.webhooks.execute_update("add", webhook)

    async def book(self) -> WebhookBook:
        return await self.webhooks.query("book", result_type=WebhookBook)

    async def hear_of_ends(self, count: int) -> None:
        """Have so many operations end at one moment."""
        at = datetime.now(UTC)
        operations = [
            EventOperation(id=f"restart/{number}", type="Restart", status=OperationOutcome.DONE, finished_at=at)
            for number in range(count)
        ]
        kind = EventKind.OPERATION_ENDED
        events = tuple(Event(kind=kind, at=at, organization=self.name, operation=each) for each in operations)
        await self.webhooks.signal("happened", Happened(organization=self.name, events=events))

    async def cluster(self) -> ClusterState:
        made = ready_cluster()
        state = made.model_copy(update={"spec": made.spec.model_copy(update={"org": self.name})})
        await self.bench.cluster(state)
        return state

    def sent(self) -> list[dict[str, Any]]:
        """What was sent, by number, each with its id."""
        calls = [call for call in self.bench.stubs.calls if call.effect == "deliver_message"]
        ours = [call for call in calls if call.workflow_id.startswith(deliveries_of(self.name, WEBHOOK))]
        bodies = [json.loads(call.arg.body) | {"id": call.arg.message_id} for call in ours]  # type: ignore[attr-defined]
        return sorted(bodies, key=lambda each: each["sequence"])

    async def told(self, *types: str) -> list[dict[str, Any]]:
        """Wait until as many were sent, and see that they are these."""

        async def all_sent() -> bool:
            return len(self.sent()) >= len(types)

        await until(all_sent)
        sent = self.sent()
        assert [each["type"] for each in sent] == list(types)
        assert [each["sequence"] for each in sent] == list(range(1, len(types) + 1))
        return sent


@pytest.fixture
async def organization(bench: Bench) -> AsyncIterator[Organization]:
    made = Organization(bench)
    await made.begin()
    yield made
    await made.webhooks.terminate("the test is over")


def key_alarm(how: str) -> Alarm:
    return Alarm(kind=AlarmKind.MASTER_KEY, name="master key", how=how)


def lost(name: str) -> Alarm:
    return Alarm(kind=AlarmKind.NODE, name=name, how="its process ended")


async def test_conditions_are_told_as_they_are_raised_and_lifted(bench: Bench, organization: Organization) -> None:
    await organization.add()
    state = await organization.cluster()
    bench.stubs.alarm(state.spec.id, key_alarm("Another key."))
    (raised,) = await organization.told("condition.raised")
    assert raised["data"]["condition"]["message"] == "Another key."
    assert raised["data"]["cluster_id"] == state.spec.id
    bench.stubs.alarm(state.spec.id, key_alarm(""))
    await organization.told("condition.raised", "condition.lifted")


async def test_cluster_does_nothing_for_webhooks_but_tell_of_conditions(
    bench: Bench, organization: Organization
) -> None:
    await organization.add()
    state = await organization.cluster()
    cluster = bench.client.get_workflow_handle(cluster_workflow_id(state.spec.id))
    await bench.run(CreateUserRequest(cluster_id=state.spec.id, username="anna", role=Role.READER))
    await bench.free(state.spec.id)
    assert await tellings(cluster) == 0
    bench.stubs.alarm(state.spec.id, key_alarm("Another key."))
    await organization.told("condition.raised")
    assert await tellings(cluster) == 1


async def tellings(cluster: WorkflowHandle[Any, Any]) -> int:
    """How often the cluster's workflow called for the activity that tells webhooks."""
    scheduled = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        async for event in cluster.fetch_history_events()
    ]
    return scheduled.count(effects.TELL_WEBHOOKS.name)


async def test_failover_is_told_where_another_node_became_the_primary(bench: Bench, organization: Organization) -> None:
    await organization.add()
    state = await organization.cluster()
    bench.stubs.alarm(state.spec.id, lost("a"))
    ended, failover = await organization.told("operation.ended", "failover")
    assert ended["data"]["operation"] == failover["data"]["operation"]
    assert ended["data"]["operation"]["type"] == "Failover"
    assert ended["id"] != failover["id"]


async def test_primary_that_was_started_again_in_place_is_no_failover(bench: Bench, organization: Organization) -> None:
    await organization.add()
    bench.stubs.plan("fail_over to=b", fails(ReplicaBehind("It is silent.")))
    state = await organization.cluster()
    bench.stubs.alarm(state.spec.id, lost("a"))
    (ended,) = await organization.told("operation.ended")
    steps = {step["name"]: step["status"] for step in ended["data"]["operation"]["steps"]}
    assert steps["start a in place"] == "done"


async def test_what_ended_before_there_was_a_webhook_is_no_news(bench: Bench, organization: Organization) -> None:
    state = await organization.cluster()
    bench.stubs.alarm(state.spec.id, lost("a"))

    async def over() -> bool:
        view = await bench.view(state.spec.id)
        primary = view.state.status.primary
        return primary is not None and primary.name == "b" and view.operation is None

    await until(over)
    await organization.add()
    bench.stubs.alarm(state.spec.id, key_alarm("Another key."))
    await organization.told("condition.raised")


async def test_webhook_that_was_deleted_is_told_of_nothing(bench: Bench, organization: Organization) -> None:
    await organization.add()
    await organization.webhooks.execute_update("remove", WEBHOOK)
    state = await organization.cluster()
    bench.stubs.alarm(state.spec.id, key_alarm("Another key."))

    async def known() -> bool:
        return (await bench.view(state.spec.id)).state.status.condition("WrongMasterKey") is not None

    await until(known)
    await organization.add()
    await organization.webhooks.execute_update("test", args=[WEBHOOK, "evt_1"])
    await organization.told("webhook.test")


async def test_workflow_goes_on_with_its_numbers_when_it_continues_as_new(organization: Organization) -> None:
    await organization.add()
    await organization.webhooks.execute_update("test", args=[WEBHOOK, "evt_1"])
    first = (await organization.webhooks.describe()).run_id
    count = 0
    while (await organization.webhooks.describe()).run_id == first:
        count += 1
        assert count < EVENTS_BEFORE_CONTINUE_AS_NEW, "it does not continue as new"
        await organization.add()
    await organization.webhooks.execute_update("test", args=[WEBHOOK, "evt_2"])
    await organization.told("webhook.test", "webhook.test")


async def test_tests_are_so_many_in_a_minute_and_those_refused_leave_no_trace(organization: Organization) -> None:
    await organization.add()
    for number in range(MOST_TESTS):
        await organization.webhooks.execute_update("test", args=[WEBHOOK, f"evt_{number}"])
    await organization.told(*["webhook.test"] * MOST_TESTS)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await organization.webhooks.execute_update("test", args=[WEBHOOK, "evt_more"])
    assert isinstance(refused.value.cause, ApplicationError)
    assert refused.value.cause.type == TooOften.__name__
    await organization.webhooks.execute_update("test", args=[WEBHOOK, "evt_0"])  # a repeat is none
    assert len(organization.sent()) == MOST_TESTS
    assert len((await organization.book()).tests) == MOST_TESTS


async def test_burst_is_sent_slice_by_slice_across_runs(bench: Bench, organization: Organization) -> None:
    bench.stubs.answers["begin_deliveries"] = Nothing()
    ids = [f"wh_{number}" for number in range(MOST_WEBHOOKS)]
    for each in ids:
        await organization.add(each)
    first = (await organization.webhooks.describe()).run_id
    await organization.hear_of_ends(ENDS)

    def begun() -> list[Delivery]:
        calls = [call for call in bench.stubs.calls if call.workflow_id == organization.webhooks.id]
        slices = [call.arg.deliveries for call in calls if isinstance(call.arg, BeginDeliveriesInput)]
        assert all(len(each) <= SLICE for each in slices)
        return [delivery for each in slices for delivery in each]

    async def all_begun() -> bool:
        return len({(each.webhook_id, each.message_id) for each in begun()}) == len(ids) * ENDS

    await until(all_begun, patience_s=90)
    numbers = {(each.webhook_id, json.loads(each.body)["sequence"]) for each in begun()}
    assert numbers == {(each, number) for each in ids for number in range(1, ENDS + 1)}
    assert {each.sequence for each in (await organization.book()).webhooks} == {ENDS}
    assert (await organization.webhooks.describe()).run_id != first


async def test_delivery_is_begun_once_also_when_it_is_over(bench: Bench) -> None:
    delivery = Delivery(organization="org", webhook_id=secrets.token_hex(4), message_id="evt_1", type=TEST, body="{}")
    workflow_id = delivery_workflow_id(delivery.organization, delivery.webhook_id, delivery.message_id)
    bench.stubs.answers["deliver_message"] = Attempt(at=MADE_AT, status=500, error="The receiver answered 500.")
    begin = BeginningActivities(bench.client).begin_deliveries
    await begin(BeginDeliveriesInput(deliveries=(delivery, delivery)))
    handle: WorkflowHandle[Any, DeliveryReport] = bench.client.get_workflow_handle(
        workflow_id, result_type=DeliveryReport
    )
    first = (await handle.describe()).run_id
    bench.stubs.answers["deliver_message"] = Attempt(at=MADE_AT, status=204)
    await handle.signal("try_now")
    assert (await handle.result()).state is DeliveryState.DELIVERED
    await begin(BeginDeliveriesInput(deliveries=(delivery,)))
    assert (await handle.describe()).run_id == first


class Trial:
    """A delivery on its own."""

    def __init__(self, bench: Bench, handle: WorkflowHandle[Any, DeliveryReport]) -> None:
        self.bench = bench
        self.handle = handle

    async def report(self) -> DeliveryReport:
        return await self.handle.query("report", result_type=DeliveryReport)

    async def tried(self, times: int) -> DeliveryReport:
        async def so() -> bool:
            return (await self.report()).tries >= times

        await until(so)
        return await self.report()


@pytest.fixture
async def trial(bench: Bench) -> Trial:
    delivery = Delivery(organization="org", webhook_id=WEBHOOK, message_id="evt_1", type="webhook.test", body="{}")
    bench.stubs.answers["deliver_message"] = Attempt(at=MADE_AT, status=500, error="The receiver answered 500.")
    handle: WorkflowHandle[Any, DeliveryReport] = await bench.client.start_workflow(
        "WebhookDelivery",
        delivery,
        id=delivery_workflow_id("org", secrets.token_hex(4), "evt_1"),
        task_queue=MAIN_QUEUE,
        result_type=DeliveryReport,
    )
    return Trial(bench, handle)


async def test_delivery_is_tried_until_it_is_taken(trial: Trial) -> None:
    report = await trial.tried(1)
    assert report.state is DeliveryState.RETRYING
    assert report.last is not None
    assert report.last.status == 500
    trial.bench.stubs.answers["deliver_message"] = Attempt(at=MADE_AT, status=204)
    await trial.handle.signal("try_now")
    report = await trial.handle.result()
    assert (report.state, report.tries) == (DeliveryState.DELIVERED, 2)


async def test_try_that_was_asked_for_while_another_was_under_way_follows_it_at_once(trial: Trial) -> None:
    await trial.tried(1)
    stubs, started = trial.bench.stubs, asyncio.Event()
    stubs.plan("deliver_message", hangs(stubs, started), occurrence=2)
    await trial.handle.signal("try_now")
    await started.wait()
    await trial.handle.signal("try_now")
    stubs.released.set()
    await trial.tried(3)  # else minutes later
    await trial.handle.terminate("the test is over")


async def test_failure_of_the_platform_is_no_try(trial: Trial) -> None:
    await trial.tried(1)
    failed = 0

    async def fail(call: Call) -> None:
        nonlocal failed
        if failed < PLATFORM_FAILURES:
            failed += 1
            raise ApplicationError("Temporal does not answer.", next_retry_delay=timedelta(milliseconds=1))

    trial.bench.stubs.plan("deliver_message", fail, occurrence=2)
    trial.bench.stubs.answers["deliver_message"] = Attempt(at=MADE_AT, status=204)
    await trial.handle.signal("try_now")
    report = await trial.handle.result()
    assert failed == PLATFORM_FAILURES
    assert (report.state, report.tries) == (DeliveryState.DELIVERED, 2)


async def test_delivery_is_given_up_after_the_last_try(trial: Trial) -> None:
    for tries in range(1, len(PAUSES) + 1):
        assert (await trial.tried(tries)).state is DeliveryState.RETRYING
        await trial.handle.signal("try_now")
    report = await trial.handle.result()
    assert (report.state, report.tries) == (DeliveryState.GIVEN_UP, len(PAUSES) + 1)


@pytest.mark.parametrize(
    ("attempt", "state"),
    [
        (Attempt(at=MADE_AT, status=410, error="The receiver answered 410."), DeliveryState.GIVEN_UP),
        (Attempt(at=MADE_AT, gone=True), DeliveryState.CANCELLED),
    ],
)
async def test_receiver_or_webhook_that_is_gone_ends_a_delivery(
    trial: Trial, attempt: Attempt, state: DeliveryState
) -> None:
    await trial.tried(1)
    trial.bench.stubs.answers["deliver_message"] = attempt
    await trial.handle.signal("try_now")
    assert (await trial.handle.result()).state is state
