"""What an organization's webhooks are told of, once each and numbered."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from model.errors import AlreadyExists, NotFound, Refused, TooOften
from model.events import Event, EventCondition, EventKind, EventOperation
from model.operations import OperationOutcome
from model.webhook_book import (
    ENDS_OVERLAP,
    MOST_TESTS,
    MOST_WEBHOOKS,
    SLICE,
    SLICE_BYTES,
    TEST,
    TESTS_IN,
    TOLD_KEPT,
    Delivery,
    WebhookBook,
    added,
    conditions_changed,
    first_slice,
    removed,
    tell,
    tried,
    with_ends,
)
from model.webhooks import Webhook, WebhookEvent

AT = datetime(2026, 1, 2, tzinfo=UTC)


def webhook(id: str = "wh_1", **fields: object) -> Webhook:
    return Webhook.model_validate(
        {"id": id, "url": "https://example.com", "events": tuple(WebhookEvent), "created_at": AT} | fields
    )


def book(*webhooks: Webhook) -> WebhookBook:
    return WebhookBook(organization="shop", webhooks=webhooks, not_before=AT, ends_until=AT)


def raised(seconds: int = 0, cluster_id: str = "c1") -> Event:
    return Event(
        kind=EventKind.CONDITION_RAISED,
        at=AT + timedelta(seconds=seconds),
        organization="shop",
        cluster_id=cluster_id,
        condition=EventCondition(type="Degraded"),
    )


def ended(id: str, seconds: int) -> Event:
    at = AT + timedelta(seconds=seconds)
    operation = EventOperation(id=id, type="Restart", status=OperationOutcome.DONE, finished_at=at)
    return Event(kind=EventKind.OPERATION_ENDED, at=at, organization="shop", cluster_id="c1", operation=operation)


def test_each_webhook_numbers_what_it_is_told() -> None:
    told = tell(book(webhook("wh_1"), webhook("wh_2", clusters=("c2",))), [raised(), raised(1, "c2"), raised(2)])
    numbers = [(each.webhook_id, json.loads(each.body)["sequence"]) for each in told.deliveries]
    assert numbers == [("wh_1", 1), ("wh_1", 2), ("wh_2", 1), ("wh_1", 3)]
    assert [each.sequence for each in told.book.webhooks] == [3, 1]


def test_only_wanted_kinds_are_told() -> None:
    told = tell(book(webhook(events=(WebhookEvent.FAILOVER,))), [raised(), ended("restart/orders/1", 1)])
    assert told.deliveries == ()


def test_what_is_heard_twice_is_told_once_and_takes_one_number() -> None:
    first = tell(book(webhook()), [raised()])
    again = tell(first.book, [raised(), raised(1)])
    assert [json.loads(each.body)["sequence"] for each in again.deliveries] == [2]


def test_memory_of_what_was_told_is_bounded() -> None:
    told = tell(book(webhook()), [raised(each) for each in range(TOLD_KEPT + 5)])
    assert len(told.book.told) == TOLD_KEPT


def test_ends_are_known_as_long_as_they_may_be_seen_again() -> None:
    late = int(ENDS_OVERLAP.total_seconds()) + 1
    after = with_ends(with_ends(book(), [ended("a", 0)]), [ended("b", 5), ended("c", late)])
    assert after.ends_until == AT + timedelta(seconds=late)
    assert set(after.known_ends) == {"b", "c"}
    assert with_ends(after, [ended("d", 6)]).ends_until == after.ends_until


def test_webhook_is_added_once() -> None:
    once = added(book(), webhook())
    assert added(once, webhook(created_at=AT + timedelta(days=1))) == once
    with pytest.raises(AlreadyExists):
        added(once, webhook(url="https://example.org"))


def test_there_is_a_most_of_webhooks() -> None:
    full = book(*(webhook(f"wh_{each}") for each in range(MOST_WEBHOOKS)))
    with pytest.raises(Refused):
        added(full, webhook("wh_x"))


def test_webhook_that_is_not_there_is_neither_removed_nor_tried() -> None:
    assert removed(book(webhook()), "wh_1").webhooks == ()
    with pytest.raises(NotFound):
        removed(book(), "wh_1")
    with pytest.raises(NotFound):
        tried(book(), "wh_1", "evt_1", AT)


def test_trial_is_numbered_like_any_message() -> None:
    told = tried(book(webhook(sequence=4)), "wh_1", "evt_1", AT)
    (delivery,) = told.deliveries
    said = json.loads(delivery.body)
    assert (said["type"], said["sequence"], delivery.message_id) == (TEST, 5, "evt_1")
    assert tried(told.book, "wh_1", "evt_1", AT).deliveries == ()


def test_webhooks_are_tested_so_often_in_a_minute() -> None:
    tested = book(webhook())
    for number in range(MOST_TESTS):
        tested = tried(tested, "wh_1", f"evt_{number}", AT + timedelta(seconds=number)).book
    with pytest.raises(TooOften):
        tried(tested, "wh_1", "evt_more", AT + timedelta(seconds=MOST_TESTS))
    assert tried(tested, "wh_1", "evt_0", AT + timedelta(seconds=MOST_TESTS)).deliveries == (), "a repeat is no test"
    later = tried(tested, "wh_1", "evt_more", AT + TESTS_IN)
    assert len(later.deliveries) == 1
    assert len(later.book.tests) == MOST_TESTS


def sized(*sizes: int) -> list[Delivery]:
    return [
        Delivery(organization="shop", webhook_id="wh_1", message_id=f"evt_{number}", type=TEST, body="x" * size)
        for number, size in enumerate(sizes)
    ]


@pytest.mark.parametrize(
    ("sizes", "begun"),
    [
        ([], 0),
        ([1] * (SLICE - 1), SLICE - 1),
        ([1] * (SLICE + 1), SLICE),
        ([SLICE_BYTES // 2] * 3, 2),
        ([SLICE_BYTES + 1, 1], 1),
    ],
)
def test_slice_is_bounded_in_number_and_size_and_never_empty(sizes: list[int], begun: int) -> None:
    unsent = sized(*sizes)
    assert list(first_slice(unsent)) == unsent[:begun]


def test_condition_that_only_changed_its_words_is_neither_raised_nor_lifted() -> None:
    before = [EventCondition(type="Degraded", message="a"), EventCondition(type="ArchivingFails")]
    after = [EventCondition(type="Degraded", message="b"), EventCondition(type="BackupOverdue")]
    changed = [(kind.value, each.type) for kind, each in conditions_changed(before, after)]
    assert changed == [("condition.raised", "BackupOverdue"), ("condition.lifted", "ArchivingFails")]
