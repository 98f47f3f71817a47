"""What is on record of webhooks is asked for once, however many ask."""

import asyncio
from datetime import UTC, datetime

import pytest

from activities.webhooks import books
from activities.webhooks.books import Books
from model.webhook_book import WebhookBook
from model.webhooks import Webhook, WebhookEvent

AT = datetime(2026, 1, 2, tzinfo=UTC)
BURST = 1200


class Workflows:
    """What organizations' workflows would answer, and how often and how many at a time they are asked."""

    def __init__(self) -> None:
        self.webhooks: tuple[str, ...] = ("wh_1",)
        self.fails = False
        self.asked: list[str] = []
        self.at_a_time = self.most_at_a_time = 0

    async def read(self, organization: str) -> WebhookBook:
        self.asked.append(organization)
        self.at_a_time += 1
        self.most_at_a_time = max(self.most_at_a_time, self.at_a_time)
        ids = self.webhooks
        await asyncio.sleep(0)
        self.at_a_time -= 1
        if self.fails:
            raise TimeoutError("It does not answer.")
        made = tuple(
            Webhook(id=each, url="https://example.com", events=tuple(WebhookEvent), created_at=AT) for each in ids
        )
        return WebhookBook(organization=organization, webhooks=made, not_before=AT, ends_until=AT)


@pytest.fixture
def workflows() -> Workflows:
    return Workflows()


@pytest.fixture
def kept(workflows: Workflows, monkeypatch: pytest.MonkeyPatch) -> Books:
    monkeypatch.setattr(books, "KEPT_S", 3600.0)
    return Books(workflows.read)


async def test_burst_asks_each_organization_once(workflows: Workflows, kept: Books) -> None:
    found = await asyncio.gather(*(kept.webhook(f"org-{number % 2}", "wh_1") for number in range(BURST)))
    assert all(found)
    assert sorted(workflows.asked) == ["org-0", "org-1"]


async def test_webhook_that_is_not_on_record_is_asked_for_again(workflows: Workflows, kept: Books) -> None:
    assert await kept.webhook("org", "wh_2") is None
    workflows.webhooks = ("wh_1", "wh_2")
    assert await kept.webhook("org", "wh_2") is not None


async def test_webhook_that_is_gone_is_found_to_be_so_with_one_question_at_a_time(
    workflows: Workflows, kept: Books
) -> None:
    found = await asyncio.gather(*(kept.webhook("org", "wh_2") for _ in range(BURST)))
    assert not any(found)
    assert workflows.most_at_a_time == 1
    assert len(workflows.asked) <= 3


async def test_what_is_on_record_is_asked_for_again_after_a_while(
    workflows: Workflows, kept: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await kept.webhook("org", "wh_1")
    workflows.webhooks = ()
    assert await kept.webhook("org", "wh_1")
    monkeypatch.setattr(books, "KEPT_S", 0.0)
    assert await kept.webhook("org", "wh_1") is None


async def test_all_who_wait_are_told_that_it_failed(workflows: Workflows, kept: Books) -> None:
    workflows.fails = True
    found = await asyncio.gather(*(kept.webhook("org", "wh_1") for _ in range(BURST)), return_exceptions=True)
    assert all(isinstance(each, TimeoutError) for each in found)
    assert len(workflows.asked) == 1
