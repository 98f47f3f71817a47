"""Restores to marks: eight writers before and after each, with a switchover and a failover between backup and mark.

A mark is a row of its own. Of each writer it is known which rows were acknowledged before the mark was asked for, and
which were begun before its moment was read: the first have to be in the copy, later ones must not be. Every other mark
is a time, the rest are positions in WAL.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

import psycopg

from bench.failover import kill
from bench.report import Row, at_most
from bench.run import Product, Run
from bench.workspace import Connection, await_rows, say
from starter.client import MpgClient
from starter.client.connection import EndpointKind

SECTION = "pitr"
WRITERS = 8
_BETWEEN_S = 0.4
_BOUND_S = 120
_TABLES = """
CREATE TABLE bench_marked (client int, n int, PRIMARY KEY (client, n));
CREATE TABLE bench_marks (mark int PRIMARY KEY)
"""
_NOW = "SELECT clock_timestamp(), pg_current_wal_insert_lsn()::text"


class Mark(NamedTuple):
    """A moment, and the last row of each writer that has to be there, and that may be there."""

    number: int
    at: datetime
    lsn: str
    acknowledged: tuple[int, ...]
    begun: tuple[int, ...]

    @property
    def by_time(self) -> bool:
        """Whether it is restored by its time, or by its position in WAL."""
        return self.number % 2 == 0


class Kept(NamedTuple):
    """What a copy has: rows it lacks, rows it should not have, whether it has the mark; and how long it took."""

    missing: int
    late: int
    marked: bool
    took_s: float


class Rows:
    """Writers of numbered rows, one after the other each; after an error they connect again."""

    def __init__(self, uri: str) -> None:
        """Write to *uri*, within the block of :meth:`writing`."""
        self._uri = uri
        self._begun = [0] * WRITERS
        self._acknowledged: list[set[int]] = [set() for _ in range(WRITERS)]

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[None]:
        """Write until the block ends."""
        tasks = [asyncio.create_task(self._write(client)) for client in range(WRITERS)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, client: int) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._uri, autocommit=True, prepare_threshold=None, connect_timeout=30
                ) as connection:
                    while True:
                        self._begun[client] += 1
                        row = (client, self._begun[client])
                        await connection.execute("INSERT INTO bench_marked VALUES (%s, %s)", row)
                        self._acknowledged[client].add(row[1])
            except psycopg.Error:
                await asyncio.sleep(0.01)

    @property
    def acknowledged(self) -> int:
        """How many rows were acknowledged in all."""
        return sum(map(len, self._acknowledged))

    async def mark(self, number: int) -> Mark:
        """Commit a row for the mark and read its moment. The primary must not change meanwhile."""
        async with await psycopg.AsyncConnection.connect(self._uri, autocommit=True, prepare_threshold=None) as own:
            acknowledged = tuple(max(rows, default=0) for rows in self._acknowledged)
            await own.execute("INSERT INTO bench_marks VALUES (%s)", (number,))
            row = await (await own.execute(_NOW)).fetchone()
            assert row is not None
            return Mark(number, row[0], row[1], acknowledged, tuple(self._begun))

    async def compare(self, uri: str, mark: Mark) -> tuple[int, int, bool]:
        """Return what the copy at *uri* lacks of the mark, what it has beyond it, and whether it has its row."""
        async with await psycopg.AsyncConnection.connect(uri, prepare_threshold=None) as connection:
            there = set(await (await connection.execute("SELECT client, n FROM bench_marked")).fetchall())
            marks = {row[0] for row in await (await connection.execute("SELECT mark FROM bench_marks")).fetchall()}
        missing = sum(
            (client, n) not in there
            for client, last in enumerate(mark.acknowledged)
            for n in self._acknowledged[client]
            if n <= last
        )
        late = sum(n > mark.begun[client] for client, n in there)
        return missing, late + len(marks - set(range(mark.number + 1))), mark.number in marks


async def measure(run: Run) -> None:
    """Make marks, restore each into a cluster of its own, and compare."""
    async with run.stack("pitr") as (mpg, _), run.cluster(mpg, "marked") as cluster:
        await until_backed_up(cluster)
        async with await psycopg.AsyncConnection.connect(cluster.uri(EndpointKind.DIRECT)) as connection:
            await connection.execute(_TABLES)
        rows = Rows(cluster.uri())
        marks = await _make_marks(run, cluster, rows, run.count(3, 20))
        kept = [await _restored(run, mpg, cluster, rows, mark) for mark in marks]
    exact = [each.marked and not each.missing and not each.late for each in kept]
    by_time = sum(mark.by_time for mark in marks)
    what = f"{sum(exact)} of {len(exact)} marks exact; {by_time} by time, {len(marks) - by_time} by position"
    what += f"; {rows.acknowledged} rows acknowledged in all"
    run.add(_row("acknowledged before the mark and not there", "rows", (each.missing for each in kept), what, worst=0))
    run.add(_row("begun after the mark and there", "rows", (each.late for each in kept), worst=0))
    run.add(_row("marks not there", "", (0 if each.marked else 1 for each in kept), worst=0))
    run.add(_row("a restore, to the operation's result", "s", (each.took_s for each in kept)))


async def _make_marks(run: Run, cluster: Product, rows: Rows, count: int) -> list[Mark]:
    """A third of them, a switchover, a third, the primary killed, the rest; written is before, between and after."""
    marks: list[Mark] = []
    async with rows.writing():
        for number in range(count):
            if number == count // 3:
                await (await cluster.mpg.switchover(cluster.name)).result()
            if number == 2 * count // 3:
                primary = (await cluster.now()).status.primary
                assert primary is not None
                await kill(run, primary.container)
                await asyncio.sleep(1)
            await cluster.await_whole(_BOUND_S)
            await asyncio.sleep(_BETWEEN_S)
            marks.append(await rows.mark(number))
        await asyncio.sleep(_BETWEEN_S)
    async with await cluster.connect_primary() as connection:
        await archive_all(connection)
    return marks


async def _restored(run: Run, mpg: MpgClient, cluster: Product, rows: Rows, mark: Mark) -> Kept:
    begun = time.perf_counter()
    at, lsn = (mark.at, None) if mark.by_time else (None, mark.lsn)
    operation = await mpg.restore_cluster(cluster.name, name=f"mark-{mark.number}", pitr_time=at, lsn=lsn)
    assert operation.request is not None
    try:
        await operation.result()
        took = time.perf_counter() - begun
        copy = await Product.found(mpg, operation.request.cluster_id)
        kept = Kept(*await rows.compare(copy.uri(), mark), took)
        say(f"mark {mark.number} by {'time' if mark.by_time else 'position'}: {kept}")
        return kept
    finally:
        await run.discard(mpg, operation.request.cluster_id)


def _row(name: str, unit: str, values: Iterable[float], note: str = "", **limits: float) -> Row:
    return Row(section=SECTION, name=name, unit=unit, values=tuple(values), note=note, targets=at_most(**limits))


async def until_backed_up(cluster: Product) -> None:
    """Return once the cluster's first backup is on record."""
    async with asyncio.timeout(_BOUND_S):
        while (await cluster.now()).status.backups.latest() is None:  # noqa: ASYNC110  the record does not tell
            await asyncio.sleep(0.1)


async def archive_all(connection: Connection) -> None:
    """Have the primary close its segment, and return when that is archived."""
    # In a segment without a record nothing is closed.
    await connection.execute("SELECT pg_logical_emit_message(true, 'bench', '')")
    row = await (await connection.execute("SELECT pg_walfile_name(pg_switch_wal())")).fetchone()
    assert row is not None
    query = f"SELECT FROM pg_stat_archiver WHERE last_archived_wal >= '{row[0]}'"
    await await_rows(connection, query.encode(), every_s=0.05, timeout_s=_BOUND_S)
