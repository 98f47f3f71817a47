"""Many idle clusters on one worker: memory, CPU, answers, history, and a worker that comes back."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Sequence

from temporalio.client import Client

from activities.heartbeat import WATCH_INTERVAL_S
from bench.memory import cpu_s, rss_mb
from bench.report import Row, Target, at_most
from bench.run import Run, elapsed_ms
from bench.stub_cluster import start_clusters
from bench.workspace import say
from model.errors import MpgError
from model.names import cluster_workflow_id
from model.settings import Settings
from starter.client import MpgClient
from starter.client.temporal import connect

SECTION = "scale"
_DAY_S = 86400
_QUERIES = 300
_REST_S = round(WATCH_INTERVAL_S)
"""In which each watch heartbeats once."""
_BOUND_S = 300
_OPERATION_S = 30


async def measure(run: Run) -> None:
    """Grow one stack from 10 clusters on."""
    sizes = {0: (10,), 1: (10, 100, 1000), 2: (10, 100, 1000, 5000)}[run.size]
    async with run.stack("scale", worker_module="bench.stub_worker") as (mpg, settings):
        client, clusters = await connect(settings), list[str]()
        for size in sizes:
            begun = time.perf_counter()
            clusters += await start_clusters(client, size - len(clusters))
            await _all_answer(mpg, clusters)
            say(f"scale: {size} clusters answer after {time.perf_counter() - begun:.1f} s")
            await _Sized(run, mpg, settings, client, clusters).measure()


class _Sized:
    """The measures at one number of clusters."""

    def __init__(self, run: Run, mpg: MpgClient, settings: Settings, client: Client, clusters: Sequence[str]) -> None:
        self.run, self.mpg, self.settings, self.client, self.clusters = run, mpg, settings, client, clusters

    async def measure(self) -> None:
        """Rest, then queries, then an operation, then a worker that is killed."""
        await self._at_rest()
        await self._queries()
        await self._operation()
        await self._restart()

    async def _at_rest(self) -> None:
        seconds = self.run.count(3, _REST_S)
        worker, temporal = (
            await self.run.pids(self.settings, worker=True),
            await self.run.pids(self.settings, worker=False),
        )
        events, used, both = await self._events(), cpu_s(worker), cpu_s([*worker, *temporal])
        await asyncio.sleep(seconds)
        used, both = (cpu_s(worker) - used) / seconds * 100, (cpu_s([*worker, *temporal]) - both) / seconds * 100
        added = await self._events() - events
        a_day = added / min(len(self.clusters), _SAMPLE) * _DAY_S / seconds
        thousand = len(self.clusters) == 1000
        self._row("worker, resident", "MB", [rss_mb(worker)])
        self._row("… and Temporal", "MB", [rss_mb([*worker, *temporal])], at_most(worst=1536) if thousand else ())
        self._row("worker's CPU at rest", "% of a core", [used])
        self._row("… and Temporal's", "% of a core", [both], at_most(worst=10) if thousand else ())
        self._row("history events a day and cluster", "events", [a_day])

    async def _queries(self) -> None:
        took: list[float] = []
        for _ in range(self.run.count(20, _QUERIES)):
            begun = time.perf_counter()
            await self.mpg.view(random.choice(self.clusters))
            took.append(elapsed_ms(begun))
        self._row("query", "ms", took, at_most(p95=50) if len(self.clusters) == 1000 else ())

    async def _operation(self) -> None:
        """A switchover, which works on the host's queue beside everything that watches there."""
        begun = time.perf_counter()
        operation = await self.mpg.switchover(random.choice(self.clusters))
        try:
            await asyncio.wait_for(operation.result(), _OPERATION_S)
        except TimeoutError:
            self.run.remark(f"With {len(self.clusters)} clusters a switchover had not ended after {_OPERATION_S} s.")
            await operation.cancel()
        else:
            self._row("a switchover with stub activities", "ms", [elapsed_ms(begun)])

    async def _restart(self) -> None:
        """Kill the worker; the supervisor starts another one."""
        for pid in await self.run.pids(self.settings, worker=True):
            os.kill(pid, signal.SIGKILL)
        begun = time.perf_counter()
        await _answers(self.mpg, self.clusters[0])
        first = time.perf_counter() - begun
        await _all_answer(self.mpg, self.clusters)
        self._row("killed worker until the first query is answered", "s", [first])
        self._row("… until every cluster answered", "s", [time.perf_counter() - begun])

    async def _events(self) -> int:
        handles = [self.client.get_workflow_handle(cluster_workflow_id(each)) for each in self.clusters[:_SAMPLE]]
        return sum([(await handle.describe()).history_length for handle in handles])

    def _row(self, name: str, unit: str, values: Sequence[float], targets: tuple[Target, ...] = ()) -> None:
        what = f"{len(self.clusters)} clusters: {name}"
        self.run.add(Row(section=SECTION, name=what, unit=unit, values=tuple(values), targets=targets))


_SAMPLE = 50
"""Clusters whose histories are looked at."""


async def _answers(mpg: MpgClient, cluster: str) -> None:
    async with asyncio.timeout(_BOUND_S):
        while True:
            try:
                await mpg.view(cluster)
            except MpgError:
                await asyncio.sleep(0.05)
            else:
                return


async def _all_answer(mpg: MpgClient, clusters: Sequence[str]) -> None:
    gate = asyncio.Semaphore(32)

    async def one(cluster: str) -> None:
        async with gate:
            await _answers(mpg, cluster)

    await asyncio.gather(*(one(cluster) for cluster in clusters))
