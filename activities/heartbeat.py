"""Heartbeats while an activity waits for something that does not report progress."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from temporalio import activity

from model.errors import WorkerStops

T = TypeVar("T")

INTERVAL_S = 1.0
LONG_INTERVAL_S = 4.0
WATCH_INTERVAL_S = 300.0
"""For waits that last for days, of which a worker has thousands: each heartbeat is a call to Temporal."""


@asynccontextmanager
async def heartbeating(interval_s: float = INTERVAL_S, *, at_once: bool = True) -> AsyncGenerator[None]:
    """Heartbeat at once and every *interval_s* seconds until the block ends. Outside an activity, do nothing.

    Without *at_once* the first is an interval later, and a block that ends before makes no call to Temporal.
    """
    if not activity.in_activity():
        yield
        return
    beating = asyncio.create_task(_beat(interval_s, 0 if at_once else interval_s))
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _beat(interval_s: float, first_s: float) -> None:
    await asyncio.sleep(first_s)
    while True:
        activity.heartbeat()
        await asyncio.sleep(interval_s)


async def while_worker_runs(wait: Coroutine[Any, Any, T], interval_s: float | None = None) -> T:
    """Await *wait*, heartbeating; give it up at once when the worker stops, so that the next worker takes it over.

    It heartbeats each *interval_s* seconds, :data:`LONG_INTERVAL_S` by default. Raises :class:`WorkerStops` when the
    worker stops: without it the stop would wait for what may last for days. Outside an activity, only await.
    """
    if not activity.in_activity():
        return await wait
    waiting = asyncio.create_task(wait)
    stopping = asyncio.create_task(activity.wait_for_worker_shutdown())
    try:
        async with heartbeating(interval_s or LONG_INTERVAL_S, at_once=False):
            await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        raise WorkerStops("The worker stops.")
    finally:
        for task in (waiting, stopping):
            task.cancel()
        await asyncio.gather(waiting, stopping, return_exceptions=True)
