"""What a full backup costs those who work meanwhile: pgbench before and after it, and while it is made."""

import asyncio
import statistics
import time
from typing import NamedTuple

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


class Cost(NamedTuple):
    """Transactions a second without a backup and with one; how long that took, in seconds; failed transactions."""

    without: float
    beside: float
    took_s: float
    failed: int


async def measure(run: Run) -> None:
    """Make full backups under load, one after the other."""
    async with run.stack("backup") as (mpg, _), run.cluster(mpg, "backed-up") as cluster:
        await until_backed_up(cluster)
        await pgbench.prepare(cluster.uri(EndpointKind.DIRECT), run.count(2, SCALE))
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
    failed = sum(each.failed for each in costs)
    run.add(Row(section=SECTION, name="failed transactions", unit="", values=(failed,)))
    say(f"median cost {100 * (1 - statistics.median(each.beside / each.without for each in costs)):.1f} %")


async def _back_up(cluster: Product) -> float:
    begun = time.time()
    await (await cluster.mpg.create_backup(cluster.name, "full")).result()
    return time.time() - begun


async def _cost(cluster: Product, alone_s: float) -> Cost:
    seconds = 2 * _ASIDE_S + _SLOWER * alone_s
    async with pgbench.under_load(cluster.uri(), clients=CLIENTS, seconds=seconds) as load:
        begun = time.time()
        await asyncio.sleep(_ASIDE_S)
        started = time.time()
        took = await _back_up(cluster)
        ended = started + took
        if (left := begun + seconds - ended) < _ASIDE_S / 2:
            raise RuntimeError(f"The backup took {took:.0f} s under load, {alone_s:.0f} s without: too few are left.")
        say(f"a backup took {took:.1f} s")
        result = await load.finish(since_s=begun)
    aside = (load.rate(begun, started) + load.rate(ended, ended + min(left - 1, _ASIDE_S))) / 2
    return Cost(aside, load.rate(started, ended), took, result.failed)
