"""What the orchestrator alone costs: operations whose activities answer at once, on different clusters at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from bench.memory import cpu_s
from bench.report import Row
from bench.run import Run, elapsed_ms
from bench.stub_cluster import start_clusters
from model.cluster import Role
from starter.client import MpgClient
from starter.client.operation import Operation
from starter.client.temporal import connect

SECTION = "orchestrator"

Start = Callable[[str, int], Awaitable[Operation]]


async def measure(run: Run) -> None:
    """One operation of one local activity, and one of a dozen steps on two task queues."""
    async with run.stack("stubs", worker_module="bench.stub_worker") as (mpg, settings):
        clusters = await start_clusters(await connect(settings), run.count(10, 100))
        await asyncio.gather(*(mpg.view(each) for each in clusters))

        async def create_user(cluster: str, number: int) -> Operation:
            return await mpg.create_user(cluster, f"user-{number}", Role.READER)

        async def switch_over(cluster: str, number: int) -> Operation:
            return await mpg.switchover(cluster)

        for concurrent in (1, 10, 100)[: 2 + (len(clusters) >= 100)]:
            users, switches = run.count(3, max(3, 200 // concurrent)), run.count(2, max(1, 50 // concurrent))
            for name, start, rounds in (("CreateUser", create_user, users), ("Switchover", switch_over, switches)):
                await measure_operations(run, mpg, name, start, clusters[:concurrent], rounds)


async def measure_operations(
    run: Run,
    mpg: MpgClient,
    name: str,
    start: Start,
    clusters: Sequence[str],
    rounds: int,
    section: str = SECTION,
) -> None:
    """Time operations: every cluster has one at a time, *rounds* in all."""
    latencies: list[float] = []

    async def work(cluster: str) -> None:
        for number in range(rounds):
            begun = time.perf_counter()
            await (await start(cluster, len(clusters) * 1000 + number)).result()
            latencies.append(elapsed_ms(begun))

    parts = [await run.pids(mpg.settings, worker=worker) for worker in (True, False)]
    used = [cpu_s(pids) for pids in parts]
    begun = time.perf_counter()
    await asyncio.gather(*(work(cluster) for cluster in clusters))
    rate = len(latencies) / (time.perf_counter() - begun)
    worker, temporal = (
        (cpu_s(pids) - before) * 1000 / len(latencies) for pids, before in zip(parts, used, strict=True)
    )
    note = f"CPU of each: worker {worker:.0f} ms, Temporal {temporal:.0f} ms"
    what = f"{name}, {len(clusters)} at a time"
    run.add(Row(section=section, name=what, unit="ms", values=tuple(latencies), note=note))
    run.add(Row(section=section, name=f"{what}: rate", unit="operations/s", values=(rate,), more_is_better=True))
