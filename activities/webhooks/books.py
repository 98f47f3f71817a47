"""What is on record of webhooks, asked of each organization's workflow once for all deliveries of a moment."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from model.webhook_book import WebhookBook
from model.webhooks import Webhook

KEPT_S = 1.0
"""A webhook that is deleted may be told of something for so long."""

ReadBook = Callable[[str], Awaitable[WebhookBook | None]]


class _Answer(NamedTuple):
    asked_at: float
    book: WebhookBook | None
    error: Exception | None


class Books:
    """Books of webhooks, each kept for a moment.

    A workflow answers queries one after the other, and Temporal lets a few wait for it: a burst in which each try asked
    for itself kept the workflow from its work, and its own tries from an answer.
    """

    def __init__(self, read: ReadBook) -> None:
        """Ask *read* for the book of an organization, once at a time for each."""
        self._read = read
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._answers: dict[str, _Answer] = {}

    async def webhook(self, organization: str, webhook_id: str) -> Webhook | None:
        """Return a webhook as it was on record at most :data:`KEPT_S` ago; None where it is not on record now.

        Raises what the reading did; those who waited for it meanwhile are answered so too.
        """
        now = time.monotonic()
        book = await self._book(organization, now - KEPT_S)
        if book is None or book.webhook(webhook_id) is None:  # it may have been made since
            book = await self._book(organization, now)
        return book and book.webhook(webhook_id)

    async def _book(self, organization: str, not_before: float) -> WebhookBook | None:
        async with self._turns[organization]:
            answer = self._answers.get(organization)
            if answer is None or answer.asked_at < not_before:
                answer = self._answers[organization] = await self._asked(organization)
        if answer.error is not None:
            raise answer.error
        return answer.book

    async def _asked(self, organization: str) -> _Answer:
        at = time.monotonic()
        try:
            return _Answer(at, await self._read(organization), None)
        except Exception as error:
            return _Answer(at, None, error)
