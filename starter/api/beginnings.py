"""What this process is beginning, one at a time of a kind, so that a repeat finds the first one's."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from model.errors import StackDown
from starter.client.operation import Operation

T = TypeVar("T")
POLL_SECONDS = 0.03


class Beginnings:
    """Who begins what."""

    def __init__(self) -> None:
        """Begin with none."""
        self._locks: dict[tuple[str, ...], tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def alone(self, *what: str) -> AsyncGenerator[None]:
        """Wait until nobody else begins *what*."""
        lock, users = self._locks.get(what, (asyncio.Lock(), 0))
        self._locks[what] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(what)
            if users > 1:
                self._locks[what] = (lock, users - 1)


async def on_record(operation: Operation, look: Callable[[], Awaitable[T | None]], *, seconds: float) -> T | None:
    """Return what *look* finds of an *operation* that was begun, as soon as that is something: *seconds* later at most.

    None: nothing by then, or by its end. It was accepted, so silence is no error any more. Raises the error with which
    it failed before.
    """
    ended = asyncio.create_task(operation.result())
    try:
        async with asyncio.timeout(seconds):
            while True:
                over = ended.done()  # and a last look after that
                if (found := await look()) is not None:
                    return found
                if over:
                    ended.result()
                    return None
                await asyncio.wait({ended}, timeout=POLL_SECONDS)
    except (TimeoutError, StackDown):
        return None
    finally:
        ended.cancel()
