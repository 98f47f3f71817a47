"""Holding all clients of a cluster's poolers, with a bound, and letting them go on."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg
import structlog

from activities.postgres.sql import Connection
from activities.routing.pooler_console import Console
from model.cluster import Endpoint, Pooler, PoolerPhase, PoolMode
from model.errors import LongTransaction

log = structlog.get_logger()

LOOK_AGAIN_S = 0.01
PATIENCE_S, TRY_AGAIN_S = 0.5, 0.02
"""For a pooler whose console cannot be opened for another reason than that nobody listens."""


class Pause:
    """The poolers that answer, each by two consoles: one says PAUSE and waits, the other can say RESUME meanwhile."""

    def __init__(self, consoles: Sequence[tuple[Pooler, Console, Console]], unreached: Sequence[str] = ()) -> None:
        """Use *consoles*; :func:`open_pause` makes these."""
        self._consoles = consoles
        self.unreached = tuple(unreached)
        """Names of poolers that listen and could not be reached: they may hold their clients."""
        self._waiting: list[asyncio.Task[None]] = []
        self._begun: float | None = None
        self._ended: float | None = None
        self.held_ms = 0.0
        """How long clients were held, from PAUSE to RESUME, in milliseconds."""

    async def begin(self, bound_s: float) -> bool:
        """Hold every client; return whether nothing was in flight any more within *bound_s* seconds.

        A pooler in session mode is not waited for: its pause ends with its last session. New clients wait there
        as they do elsewhere; a session that is cut reconnects, and then waits for the new primary.
        """
        self._begun = time.perf_counter()
        tasks = [
            (pooler, asyncio.create_task(console.pause(), name=f"pause {pooler.name}"))
            for pooler, console, _ in self._consoles
        ]
        self._waiting = [task for _, task in tasks]
        awaited = {task: pooler for pooler, task in tasks if pooler.pool_mode is PoolMode.TRANSACTION}
        if not awaited:
            return True
        done, pending = await asyncio.wait(awaited, timeout=bound_s)
        for task in done:
            with _gone_if_draining(awaited[task]):
                task.result()
        return not pending

    async def reload(self) -> None:
        """Make every pooler read its configuration; clients stay held."""

        async def one(pooler: Pooler, console: Console) -> None:
            with _gone_if_draining(pooler):
                await console.reload()

        await asyncio.gather(*(one(pooler, console) for pooler, _, console in self._consoles))

    async def end(self) -> None:
        """Let every client go on, whatever became of the pause."""
        results = await asyncio.gather(*(console.resume() for _, _, console in self._consoles), return_exceptions=True)
        self._ended = time.perf_counter()
        if self._begun is not None:
            self.held_ms = round((self._ended - self._begun) * 1000, 1)
        for (pooler, _, _), result in zip(self._consoles, results, strict=True):
            if isinstance(result, BaseException):
                # A pooler that is gone holds nobody: the next one that comes up is not paused.
                log.warning("a pooler could not be resumed", pooler=pooler.name, error=str(result))

    async def served(self, bound_s: float) -> None:
        """After :meth:`end`: return when every client that was held has a server connection, at most after *bound_s*.

        Clients that came later may still wait, as they do when a pool is full.
        """
        assert self._ended is not None, "call end() first"
        ended = self._ended

        async def one(console: Console) -> None:
            with contextlib.suppress(psycopg.Error):  # a pooler that is gone has no clients
                while await console.longest_wait_s() > time.perf_counter() - ended:  # noqa: ASYNC110 - it does not tell
                    await asyncio.sleep(LOOK_AGAIN_S)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(bound_s):
                await asyncio.gather(*(one(console) for _, _, console in self._consoles))

    async def leave(self) -> None:
        """Go, with clients held: somebody else ends the pause."""
        for _, first, second in self._consoles:
            first.abandon()
            second.abandon()

    async def close(self) -> None:
        """Close the consoles. A pause that still waits is given up, which resumes: so :meth:`end` comes first."""
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        for _, first, second in self._consoles:
            await first.close()
            await second.close()


@contextlib.contextmanager
def _gone_if_draining(pooler: Pooler) -> Generator[None]:
    """Let pass that a draining pooler's console broke: with its last client gone it may be removed at any time."""
    try:
        yield
    except psycopg.OperationalError as error:
        if pooler.phase is not PoolerPhase.DRAINING:
            raise
        log.info("a draining pooler is gone", pooler=pooler.name, error=str(error))


@asynccontextmanager
async def open_pause(
    cluster_id: str, endpoint: Endpoint, poolers: Sequence[Pooler], master_key: bytes
) -> AsyncGenerator[Pause, None]:
    """Lend the means to pause every pooler of a cluster that answers, draining ones included."""

    async def both(pooler: Pooler) -> tuple[Pooler, Console, Console] | None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await two(pooler)
            except psycopg.OperationalError as error:
                log.warning("a pooler does not answer", pooler=pooler.name, error=str(error))
                # Nobody listens: it is gone, and holds nobody. Anything else may be a pooler that holds its clients.
                if "refused" in str(error):
                    return None
                if time.monotonic() > deadline:
                    unreached.append(pooler.name)
                    return None
            await asyncio.sleep(TRY_AGAIN_S)

    async def two(pooler: Pooler) -> tuple[Pooler, Console, Console]:
        async with AsyncExitStack() as stack:
            opened: list[Console] = []
            for _ in range(2):
                console = await Console.open(
                    endpoint.address, pooler.port, master_key=master_key, cluster_id=cluster_id
                )
                stack.push_async_callback(console.close)
                opened.append(console)
            stack.pop_all()
            return pooler, opened[0], opened[1]

    unreached: list[str] = []
    living = [pooler for pooler in poolers if pooler.phase is not PoolerPhase.STOPPED]
    found = await asyncio.gather(*(both(pooler) for pooler in living))
    pause = Pause([each for each in found if each is not None], unreached)
    try:
        yield pause
    finally:
        with contextlib.suppress(psycopg.Error):
            await pause.close()


async def longest_transaction(primary: Connection, endpoint_address: str, bound_s: float) -> LongTransaction:
    """Return the error that names the transaction that outlived a pause of *bound_s* seconds."""
    cursor = await primary.execute(
        "SELECT pid, usename, extract(epoch FROM clock_timestamp() - xact_start)::int FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND xact_start IS NOT NULL AND client_addr = %s::inet"
        " ORDER BY xact_start LIMIT 1",
        (endpoint_address,),
    )
    row = await cursor.fetchone()
    if row is None:
        return LongTransaction(
            f"Transactions did not end within {bound_s:g} s; nothing was changed.", remedy="Try again."
        )
    pid, user, age = row
    return LongTransaction(
        f"A transaction did not end within {bound_s:g} s: pid {pid} of user {user}, {age} s old; nothing was changed.",
        remedy="End it, or allow a longer pause.",
    )


async def open_transactions_end(primary: Connection, endpoint_address: str, bound_s: float) -> None:
    """Wait until every transaction that pooled clients have open now has ended, at most *bound_s* seconds."""
    deadline = time.monotonic() + bound_s
    row = await (await primary.execute("SELECT clock_timestamp()")).fetchone()
    assert row is not None
    while time.monotonic() < deadline:
        cursor = await primary.execute(
            "SELECT FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND xact_start < %s AND client_addr = %s::inet LIMIT 1",
            (row[0], endpoint_address),
        )
        if not cursor.rowcount:
            return
        await asyncio.sleep(LOOK_AGAIN_S)
