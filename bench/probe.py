"""One client that asks again and again, and what it met: for endpoints and moments that pgbench does not show."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import psycopg

_PAUSE_S = 0.01
_BOUND_S = 30


class Probe:
    """Waits in milliseconds, errors, and sessions that ended with their node, since :meth:`reset`."""

    def __init__(self, uri: str, *, reconnect: bool) -> None:
        """Ask ``SELECT 1`` at *uri*, each time over a new connection with *reconnect*, else over the same."""
        self._uri, self._reconnect = uri, reconnect
        self.reset()

    def reset(self) -> None:
        """Forget what was met so far."""
        self.errors, self.ended, self.asked, self.longest_ms = 0, 0, 0, 0.0

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            begun = time.perf_counter()
            try:
                async with asyncio.timeout(_BOUND_S), await self._connect() as connection:
                    await self._ask(connection, begun)
            except psycopg.errors.AdminShutdown:
                self.ended += 1
            except (psycopg.Error, TimeoutError):
                self.errors += 1
                await asyncio.sleep(_PAUSE_S)

    async def _connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(self._uri, autocommit=True, prepare_threshold=None)

    async def _ask(self, connection: psycopg.AsyncConnection, begun: float) -> None:
        for _ in range(1 if self._reconnect else 1000):
            await connection.execute("SELECT 1")
            self.asked += 1
            self.longest_ms = max(self.longest_ms, (time.perf_counter() - begun) * 1000)
            await asyncio.sleep(_PAUSE_S)
            begun = time.perf_counter()


@asynccontextmanager
async def probing(uri: str, *, reconnect: bool) -> AsyncGenerator[Probe]:
    """Lend a probe that asks meanwhile."""
    probe = Probe(uri, reconnect=reconnect)
    task = asyncio.create_task(probe.run())
    try:
        yield probe
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
