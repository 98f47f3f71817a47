"""Heartbeats while an activity waits for something that does not report progress."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from temporalio import activity

INTERVAL_S = 1.0


@asynccontextmanager
async def heartbeating(interval_s: float = INTERVAL_S) -> AsyncGenerator[None]:
    """Heartbeat at once and every *interval_s* seconds until the block ends. Outside an activity, do nothing."""
    if not activity.in_activity():
        yield
        return
    beating = asyncio.create_task(_beat(interval_s))
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _beat(interval_s: float) -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(interval_s)
