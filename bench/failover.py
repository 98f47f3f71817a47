"""The primary is lost under eight writers, by SIGKILL and by freezing it; beside a failover as a script.

The writers go through the pooled endpoint in transaction mode, connect again after an error, and number their rows,
so that a lost one is found. Commits wait for the replica (``sync``). A wait is the longest gap between two
acknowledged rows of one writer.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from bench.floor_cluster import FloorCluster, floor_cluster
from bench.floor_failover import failing_over
from bench.gaps import ended_ms
from bench.report import Row, at_most
from bench.run import Product, Run
from bench.workspace import Connection, await_rows, in_thread, say
from bench.writers import Written, writing
from model.operations import FailoverRequest

SECTION = "failover"
CLIENTS = 8
_LEAD_S, _TAIL_S = 1.5, 1.5
_BOUND_S = 120
_IN_SYNC = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"


class Lost(NamedTuple):
    """One loss: what writers met, when it happened (monotonic clock), when two nodes were in sync again, its steps."""

    written: Written
    at_s: float
    in_sync_s: float
    steps_ms: dict[str, float]

    @property
    def wait_ms(self) -> float:
        """The longest wait of any writer."""
        return self.written.longest_wait_ms(self.at_s)

    @property
    def writable_ms(self) -> float:
        """From the loss until some writer's row was acknowledged again."""
        return ended_ms(self.written.gaps_of_all, self.at_s)


async def measure(run: Run) -> None:
    """Kill floor's and product's primary in turn; then freeze the product's."""
    killed, floor, frozen = list[Lost](), list[Lost](), list[Lost]()
    async with (
        run.stack("failover") as (mpg, _),
        run.cluster(mpg, "failover") as cluster,
        floor_cluster(run.workspace) as script,
    ):
        count = run.count(2, 10, 20)
        for number in range(count):
            say(f"primary killed {number + 1}/{count}")
            floor.append(await _lose_floor(script))
            killed.append(await _lose(run, cluster, kill))
        for number in range(run.count(1, 3)):
            say(f"primary frozen {number + 1}")
            frozen.append(await _lose(run, cluster, _freeze))
    _show(run, f"primary killed, {CLIENTS} writers", killed, floor, median=600, worst=2000)
    _show(run, f"primary frozen, {CLIENTS} writers", frozen, [], worst=8000)


async def _lose(run: Run, cluster: Product, lose: Callable[[Run, str], Awaitable[float]]) -> Lost:
    """Lose the product's primary; what heals is the product."""
    await cluster.await_whole(_BOUND_S)
    status = (await cluster.now()).status
    assert status.primary is not None
    assert status.replica is not None
    async with writing((cluster.uri(),), CLIENTS) as writers:
        await asyncio.sleep(_LEAD_S)
        at = await lose(run, status.primary.container)
        async with await cluster.connect(status.replica.address) as connection:
            in_sync = await _in_sync_again(connection)
        await asyncio.sleep(_TAIL_S)
        written = (await writers.finish())[0]
    return Lost(written, at, in_sync, await _steps_of_last(cluster))


async def _steps_of_last(cluster: Product) -> dict[str, float]:
    """Return what the cluster's last failover took; nothing where it promoted nothing."""
    found = await cluster.mpg.operations(cluster.name, limit=10)
    last = next((each for each in found if each.type == FailoverRequest.operation), None)
    made = await cluster.mpg.operation(last.id).takeovers() if last else []
    return made[0].steps_ms if made else {}


async def _lose_floor(cluster: FloorCluster) -> Lost:
    """Lose the floor's primary while its script waits for that."""
    async with writing((cluster.uri(),), CLIENTS) as writers, failing_over(cluster) as script:
        await asyncio.sleep(_LEAD_S)
        pid, at = cluster.pid(cluster.primary), time.monotonic()
        os.kill(pid, signal.SIGKILL)
        done = await script
        steps_ms = {"until its end is seen": (done.seen_s - at) * 1000} | done.steps_ms
        in_sync = time.monotonic()
        await asyncio.sleep(_TAIL_S)
        return Lost((await writers.finish())[0], at, in_sync, steps_ms)


async def _in_sync_again(connection: Connection) -> float:
    await await_rows(connection, "SELECT WHERE NOT pg_is_in_recovery()", every_s=0.02, timeout_s=_BOUND_S)
    await await_rows(connection, _IN_SYNC, every_s=0.02, timeout_s=_BOUND_S)
    return time.monotonic()


async def kill(run: Run, container: str) -> float:
    """End the first process of *container*, a node's postmaster, as a crash would; return when (monotonic clock).

    Docker is not told before.
    """
    pid = (await in_thread(run.workspace.docker.inspect_container, container))["State"]["Pid"]
    at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    return at


async def _freeze(run: Run, container: str) -> float:
    """Stop every process of the node at once: its sockets stay open, and connections are still accepted."""
    at = time.monotonic()
    await in_thread(run.workspace.docker.pause, container)
    return at


def _show(run: Run, what: str, product: list[Lost], floor: list[Lost], **limits: float) -> None:
    def row(
        name: str,
        unit: str,
        figure: Callable[[Lost], float | None],
        note: str = "",
        targets: dict[str, float] | None = None,
    ) -> None:
        run.add(
            Row(
                section=SECTION,
                name=f"{what}: {name}",
                unit=unit,
                values=_known(figure(each) for each in product),
                floor=_known(figure(each) for each in floor),
                targets=at_most(**(targets or {})),
                note=note,
            )
        )

    acknowledged, unknown = (
        sum(each.written.acknowledged for each in product),
        sum(each.written.unknown for each in product),
    )
    row("longest wait", "ms", lambda each: each.wait_ms, targets=limits)
    for step in dict.fromkeys(step for each in (*product, *floor) for step in each.steps_ms):
        row(f"… {step}", "ms", lambda each, step=step: each.steps_ms.get(step))
    row("until somebody writes again", "ms", lambda each: each.writable_ms)
    row("errors, one a writer expected", "", lambda each: each.written.errors)
    row(
        "acknowledged rows lost",
        "",
        lambda each: each.written.lost,
        f"of {acknowledged}; {unknown} more there whose writer met an error",
        {"worst": 0},
    )
    row("until the old node is in sync again", "s", lambda each: each.in_sync_s - each.at_s)


def _known(figures: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(figure for figure in figures if figure is not None)
