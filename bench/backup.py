"""What a full backup costs those who work meanwhile: pgbench before and after it, and while it is made."""

import asyncio
import os
import statistics
import time
from typing import NamedTuple

from psycopg.sql import SQL, Identifier, Literal

from bench import pgbench
from bench.pitr import until_backed_up
from bench.report import Row, Stat, Target
from bench.run import Product, Run
from bench.workspace import say
from starter.client.connection import EndpointKind

SECTION = "backup"
CLIENTS = 8
SCALE = 68
"""pgbench's scale for a gigabyte: 15 MB each."""
_ASIDE_S = 15
_SLOWER = 4
"""How many times as long a backup may take under load as without."""
_KEPT = 0.9


_SETTINGS = "BENCH_POSTGRES"
"""Variable with settings of the primary to measure with, such as ``wal_compression=off,commit_delay=10``: to compare
them with the product's own. Those that need a restart are not for this."""


class Cost(NamedTuple):
    """Transactions a second without a backup and with one; how long that took, in seconds; failed transactions.

    WAL is in MB a second: what a backup's checkpoint has written anew has to be sent, flushed and archived as well.
    """

    without: float
    beside: float
    took_s: float
    failed: int
    wal_without: float
    wal_beside: float


async def measure(run: Run) -> None:
    """Make full backups under load, one after the other."""
    async with run.stack("backup") as (mpg, _), run.cluster(mpg, "backed-up") as cluster:
        await until_backed_up(cluster)
        await pgbench.prepare(cluster.uri(EndpointKind.DIRECT), run.count(2, SCALE))
        await _apply_settings(run, cluster)
        alone_s = await _back_up(cluster)
        costs = [await _cost(cluster, alone_s) for _ in range(run.count(1, 5))]
    run.add(
        Row(
            section=SECTION,
            name=f"pgbench beside a full backup, {CLIENTS} clients",
            unit="tps",
            values=tuple(each.beside for each in costs),
            floor=tuple(each.without for each in costs),
            more_is_better=True,
            note="floor: without one, before and after it",
        )
    )
    run.add(
        Row(
            section=SECTION,
            name="share of throughput that a backup costs",
            unit="%",
            values=tuple(100 * (1 - each.beside / each.without) for each in costs),
            targets=(Target(stat=Stat.MEDIAN, limit=100 * (1 - _KEPT)),),
        )
    )
    run.add(
        Row(section=SECTION, name="a full backup under load", unit="s", values=tuple(each.took_s for each in costs))
    )
    run.add(
        Row(
            section=SECTION,
            name="WAL written beside a full backup",
            unit="MB/s",
            values=tuple(each.wal_beside for each in costs),
            floor=tuple(each.wal_without for each in costs),
            note="floor: without one, before it",
        )
    )
    failed = sum(each.failed for each in costs)
    run.add(Row(section=SECTION, name="failed transactions", unit="", values=(failed,)))
    say(f"median cost {100 * (1 - statistics.median(each.beside / each.without for each in costs)):.1f} %")


async def _apply_settings(run: Run, cluster: Product) -> None:
    for each in filter(None, os.environ.get(_SETTINGS, "").split(",")):
        name, _, value = each.partition("=")
        async with await cluster.connect_primary() as connection:
            await connection.execute(SQL("ALTER SYSTEM SET {} = {}").format(Identifier(name), Literal(value)))
            await connection.execute("SELECT pg_reload_conf()")
        run.remark(f"backup: measured with {name} = {value} on the primary.")


async def _written(cluster: Product) -> float:
    """Return how many MB of WAL were written until now."""
    async with await cluster.connect_primary() as connection:
        row = await (await connection.execute("SELECT (pg_current_wal_lsn() - '0/0')::float8 / 1e6")).fetchone()
    assert row is not None, "a SELECT without FROM has one row"
    return float(row[0])


async def _back_up(cluster: Product) -> float:
    begun = time.time()
    await (await cluster.mpg.create_backup(cluster.name, "full")).result()
    return time.time() - begun


async def _cost(cluster: Product, alone_s: float) -> Cost:
    seconds = 2 * _ASIDE_S + _SLOWER * alone_s
    async with pgbench.under_load(cluster.uri(), clients=CLIENTS, seconds=seconds) as load:
        begun, first = time.time(), await _written(cluster)
        await asyncio.sleep(_ASIDE_S)
        started, before = time.time(), await _written(cluster)
        took = await _back_up(cluster)
        ended, after = started + took, await _written(cluster)
        if (left := begun + seconds - ended) < _ASIDE_S / 2:
            raise RuntimeError(f"The backup took {took:.0f} s under load, {alone_s:.0f} s without: too few are left.")
        say(f"a backup took {took:.1f} s")
        result = await load.finish(since_s=begun)
    aside = (load.rate(begun, started) + load.rate(ended, ended + min(left - 1, _ASIDE_S))) / 2
    wal = (before - first) / (started - begun), (after - before) / took
    return Cost(aside, load.rate(started, ended), took, result.failed, *wal)
