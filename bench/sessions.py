"""Switchover in session mode: every session is cut once and connects again."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

from bench import pgbench
from bench.floor_cluster import floor_cluster
from bench.floor_switchover import switch_over
from bench.report import Row
from bench.run import Run
from bench.session_clients import SessionsResult
from bench.workspace import REPOSITORY, say
from model.cluster import PoolMode
from starter.client import MpgClient

SECTION = "switchover"
CLIENTS = 8
_SECONDS = 8


async def measure_sessions(run: Run, mpg: MpgClient, count: int) -> None:
    """Alternate floor and product, each on a cluster in session mode."""
    name, mode = "sessions", PoolMode.SESSION
    async with run.cluster(mpg, name, mode) as cluster, floor_cluster(run.workspace, mode) as floor:

        async def product() -> None:
            await (await mpg.switchover(name)).result()

        async def script() -> None:
            await switch_over(floor)

        sides = ((cluster.uri(), product), (floor.uri(), script))
        for uri, _ in sides:
            await pgbench.prepare(uri, run.count(1, pgbench.SCALE))
        results: tuple[list[SessionsResult], list[SessionsResult]] = ([], [])
        for number in range(count):
            say(f"Switchover in session mode {number + 1}/{count}")
            for (uri, change), kept in zip(sides, results, strict=True):
                kept.append(await _under_sessions(uri, change, run.count(6, _SECONDS)))
    _show(run, *results)


def _show(run: Run, product: list[SessionsResult], floor: list[SessionsResult]) -> None:
    what = f"Switchover, session mode, {CLIENTS} sessions"
    waits, beside = (tuple(max((ms for _, ms in each.gaps), default=0) for each in side) for side in (product, floor))
    run.add(Row(section=SECTION, name=f"{what}: longest wait", unit="ms", values=waits, floor=beside))
    errors, beside = (tuple(each.errors for each in side) for side in (product, floor))
    run.add(Row(section=SECTION, name=f"{what}: errors, one a session expected", unit="", values=errors, floor=beside))


async def _under_sessions(uri: str, change: Callable[[], Awaitable[None]], seconds: int) -> SessionsResult:
    """Run *change* while sessions write; return what they met from its beginning on."""
    clients = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.session_clients", uri, str(CLIENTS), str(seconds),
        stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY,
    )  # fmt: skip
    try:
        await asyncio.sleep(2.5)
        begun = time.time()
        await change()
        said = (await asyncio.wait_for(clients.communicate(), seconds + 60))[0]
    finally:
        if clients.returncode is None:
            clients.kill()
    result = SessionsResult.model_validate_json(said)
    return result.model_copy(update={"gaps": tuple(gap for gap in result.gaps if gap[0] >= begun)})
