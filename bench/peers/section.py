"""Patroni beside this project, on one machine, under eight writers: a switchover, a postmaster killed, a node lost.

Each writer goes through the pooled address in transaction mode, one row at a time, connects again after an error, and
numbers its rows, so that a lost one is found. Commits wait for the standby in both. A wait is the longest gap between
two acknowledged rows of any one writer.

A lost node ends agent, Postgres and pooler of Patroni's leader at once. Its address stays and refuses connections,
which is kind to Patroni: where it vanishes, HAProxy waits, or hangs (settings.py). This project has no agent on a node
and its poolers are elsewhere: it loses the primary's container, with the address. The host lives, so that end is proven
rather than waited for; Patroni waits for its ``ttl`` anyway.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple

import psycopg

from bench.failover import kill
from bench.gaps import ended_ms
from bench.peers.cluster import PatroniCluster, patroni_cluster
from bench.peers.image import peers_image
from bench.peers.settings import SETTINGS, Setting
from bench.report import Row
from bench.run import Product, Run
from bench.workspace import say
from bench.writers import Written, writing
from starter.client import MpgClient

SECTION = "peers"
CLIENTS = 8
_LEAD_S = 1.5
_AGAIN_S = 150
_WHOLE_S = 120
_ROWS = "SELECT client, max(n) FROM bench_written GROUP BY client"


class Event(StrEnum):
    """What happens to a cluster."""

    SWITCHOVER = "switchover"
    POSTMASTER = "postmaster killed"
    NODE = "node lost"


class Met(NamedTuple):
    """What writers met in one event, and when it began (monotonic clock)."""

    written: Written
    at_s: float

    @property
    def wait_s(self) -> float:
        """The longest wait of any writer."""
        return self.written.longest_wait_ms(self.at_s) / 1000

    @property
    def writable_s(self) -> float:
        """From the event until some writer's row was acknowledged again, after the longest time without any."""
        return ended_ms(self.written.gaps_of_all, self.at_s) / 1000


async def measure(run: Run) -> None:
    """Take each event of Patroni in turn with the product's, with each of the settings."""
    async with (
        peers_image(run.workspace) as image,
        run.stack(SECTION) as (mpg, _),
        run.cluster(mpg, SECTION) as product,
    ):
        for setting in SETTINGS:
            say(f"peers: make a cluster of Patroni, {setting.name}")
            async with patroni_cluster(run.workspace, image, setting) as patroni:
                for event in Event:
                    await _beside(run, event, setting, patroni, _Ours(run, mpg, product))


class _Ours(NamedTuple):
    run: Run
    mpg: MpgClient
    cluster: Product

    async def meet(self, event: Event) -> Met:
        await self.cluster.await_whole(_WHOLE_S)
        return await _under_writers(self.cluster.uri(), self._switch_over if event is Event.SWITCHOVER else self._lose)

    async def _switch_over(self) -> float:
        at = time.monotonic()
        await (await self.mpg.switchover(self.cluster.name)).result()
        return at

    async def _lose(self) -> float:
        primary = (await self.cluster.now()).status.primary
        assert primary is not None
        return await kill(self.run, primary.container)


async def _beside(run: Run, event: Event, setting: Setting, patroni: PatroniCluster, ours: _Ours) -> None:
    """Take *event* some times. A postmaster killed is a node lost to this project, so it is taken there only."""
    theirs, own = list[Met](), list[Met]()
    count = run.count(1, 3, 10)
    for number in range(count):
        say(f"{event} {number + 1}/{count}, Patroni, {setting.name}")
        theirs.append(await _meet_patroni(event, patroni))
        if event is not Event.POSTMASTER:
            own.append(await ours.meet(event))
    _show(run, f"{event}, Patroni: {setting.name}", own, theirs)


async def _meet_patroni(event: Event, patroni: PatroniCluster) -> Met:
    await patroni.await_whole()
    match event:
        case Event.SWITCHOVER:
            return await _under_writers(patroni.uri, patroni.switch_over)
        case Event.POSTMASTER:
            return await _under_writers(patroni.uri, patroni.kill_postmaster)
        case Event.NODE:
            met = await _under_writers(patroni.uri, patroni.lose_node)
            await patroni.start_lost_node()
            return met


async def _under_writers(uri: str, happen: Callable[[], Awaitable[float]]) -> Met:
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
        await connection.execute("DROP TABLE IF EXISTS bench_written, bench_counted")
    async with writing((uri,), CLIENTS) as writers:
        await asyncio.sleep(_LEAD_S)
        at = await happen()
        await asyncio.sleep(1)  # backends of a dead postmaster may answer for a moment
        await _await_writers(uri)
        return Met((await writers.finish())[0], at)


async def _await_writers(uri: str) -> None:
    """Return once every writer has written since the first answer. Raises ``TimeoutError``."""
    before: dict[int, int] | None = None
    async with asyncio.timeout(_AGAIN_S):
        while True:
            with suppress(psycopg.OperationalError):
                async with await psycopg.AsyncConnection.connect(uri, connect_timeout=5) as connection:
                    now = dict(await (await connection.execute(_ROWS)).fetchall())
                before = now if before is None else before
                if len(before) == CLIENTS and all(now[client] > n for client, n in before.items()):
                    return
            await asyncio.sleep(0.1)


def _show(run: Run, what: str, own: list[Met], theirs: list[Met]) -> None:
    def row(name: str, unit: str, figure: Callable[[Met], float], note: str = "") -> None:
        values, floor = (tuple(figure(each) for each in side) for side in (own, theirs))
        run.add(Row(section=SECTION, name=f"{what}: {name}", unit=unit, values=values, floor=floor, note=note))

    acknowledged = [sum(each.written.acknowledged for each in side) for side in (own, theirs)]
    row("longest wait", "s", lambda each: each.wait_s, f"Patroni's n {len(theirs)}")
    row("until somebody writes again", "s", lambda each: each.writable_s)
    row("errors of all writers", "", lambda each: each.written.errors)
    lost = f"of {acknowledged[0]} and {acknowledged[1]}"
    row("acknowledged rows lost", "", lambda each: each.written.lost, lost)
