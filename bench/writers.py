"""Clients that write numbered rows, connect again after an error, and afterwards look every row up.

pgbench gives a client up at its first error, so these are ours. ``python -m bench.writers`` is a process of its own,
so that it takes no time from who measures: it reads its :class:`Orders` as one line, says ``ready`` once every client
has had a row acknowledged, writes until its input ends, and prints a :class:`Written` for each URI.
"""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import psycopg

from bench.client_process import ClientProcess, client_process
from bench.gaps import Gap, gaps, gaps_of_all, longest_ms
from model.base import Record

_ATTEMPT_S = 30
"""For one transaction, or one attempt to connect."""
_RETRY_S = 0.005
_REPORT_S = 120
_TABLES = """
CREATE TABLE IF NOT EXISTS bench_written (run text, client int, n int, PRIMARY KEY (run, client, n));
CREATE TABLE IF NOT EXISTS bench_counted (run text, client int, n int, PRIMARY KEY (run, client))
"""


class Orders(Record):
    """What to do: so many clients at each URI, each with a pause after a row, for so long at most."""

    uris: tuple[str, ...]
    clients: int
    pause_s: float = 0
    bound_s: float = 300


class Written(Record):
    """What the clients at one URI met.

    ``lost`` rows were acknowledged and are not there. ``unknown`` ones met an error and are there all the same: the
    commit happened and its client did not hear of it. ``gaps`` are each client's, ``gaps_of_all`` those of all
    together. ``errors`` counts attempts to connect that failed as well.
    """

    acknowledged: int
    errors: int
    lost: int
    unknown: int
    gaps: tuple[tuple[Gap, ...], ...]
    gaps_of_all: tuple[Gap, ...]

    def longest_wait_ms(self, since_s: float) -> float:
        """Return the longest wait of any client that ended after *since_s*, in milliseconds."""
        return max(longest_ms(each, since_s) for each in self.gaps)


class Reports(Record):
    """One report for each URI, in their order."""

    reports: tuple[Written, ...]


class Writers:
    """Clients of one URI."""

    def __init__(self, uri: str, orders: Orders, stop: asyncio.Event) -> None:
        """Write to *uri* until *stop*; nothing happens before :meth:`run`."""
        self._uri, self._orders, self._stop = uri, orders, stop
        self._run = secrets.token_hex(4)
        self._acknowledged: list[list[int]] = [[] for _ in range(orders.clients)]
        self._times: list[list[float]] = [[] for _ in range(orders.clients)]
        self._errors = 0

    async def run(self) -> None:
        """Make the tables and write."""
        async with await self._connect() as connection:
            await connection.execute(_TABLES)
        await asyncio.gather(*(self._client(number) for number in range(self._orders.clients)))

    @property
    def ready(self) -> bool:
        """Whether every client has had a row acknowledged."""
        return all(self._times)

    async def report(self) -> Written:
        """Look every row up."""
        async with await self._connect() as connection:
            cursor = await connection.execute("SELECT client, n FROM bench_written WHERE run = %s", (self._run,))
            there = set(await cursor.fetchall())
        acknowledged = {(client, n) for client, rows in enumerate(self._acknowledged) for n in rows}
        return Written(
            acknowledged=len(acknowledged),
            errors=self._errors,
            lost=len(acknowledged - there),
            unknown=len(there - acknowledged),
            gaps=tuple(gaps(times) for times in self._times),
            gaps_of_all=gaps_of_all(self._times),
        )

    async def _client(self, client: int) -> None:
        number = 0
        while not self._stop.is_set():
            try:
                async with asyncio.timeout(_ATTEMPT_S):
                    connection = await self._connect()
                async with connection:
                    while not self._stop.is_set():
                        number += 1
                        async with asyncio.timeout(_ATTEMPT_S):
                            await self._transaction(connection, client, number)
                        self._times[client].append(time.monotonic())
                        self._acknowledged[client].append(number)
                        await asyncio.sleep(self._orders.pause_s)
            except (psycopg.Error, TimeoutError):
                self._errors += 1
                await asyncio.sleep(_RETRY_S)

    async def _transaction(self, connection: psycopg.AsyncConnection, client: int, number: int) -> None:
        await connection.execute(
            "INSERT INTO bench_written (run, client, n) VALUES (%s, %s, %s)", (self._run, client, number)
        )
        await connection.execute(
            "INSERT INTO bench_counted (run, client, n) VALUES (%s, %s, 1)"
            " ON CONFLICT (run, client) DO UPDATE SET n = bench_counted.n + 1",
            (self._run, client),
        )
        await connection.commit()

    async def _connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(self._uri, connect_timeout=_ATTEMPT_S, prepare_threshold=None)


class Writing:
    """The process, from who measures."""

    def __init__(self, process: ClientProcess) -> None:
        """Talk to *process*. :func:`writing` makes these."""
        self._process = process

    async def finish(self) -> tuple[Written, ...]:
        """Have the clients stop and return what they met, for each URI."""
        return Reports.model_validate_json(await self._process.finish(_REPORT_S)).reports


@asynccontextmanager
async def writing(uris: Sequence[str], clients: int, *, pause_s: float = 0) -> AsyncGenerator[Writing]:
    """Lend writers of which every client has had a row acknowledged; they end with the block at the latest."""
    async with client_process("bench.writers", Orders(uris=tuple(uris), clients=clients, pause_s=pause_s)) as process:
        yield Writing(process)


async def _say_ready(writers: Sequence[Writers]) -> None:
    while not all(each.ready for each in writers):  # noqa: ASYNC110  each client is on its own
        await asyncio.sleep(0.01)
    print("ready", flush=True)


async def main() -> None:
    """Write until the input ends, or the bound."""
    orders, stop = Orders.model_validate_json(sys.stdin.readline()), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 1) else stop.set())
    loop.call_later(orders.bound_s, stop.set)
    writers = [Writers(uri, orders, stop) for uri in orders.uris]
    saying = asyncio.create_task(_say_ready(writers))
    await asyncio.gather(*(each.run() for each in writers))
    saying.cancel()
    loop.remove_reader(sys.stdin.fileno())
    reports = await asyncio.gather(*(each.report() for each in writers))
    print(Reports(reports=tuple(reports)).model_dump_json())


if __name__ == "__main__":
    asyncio.run(main())
