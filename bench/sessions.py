"""Operations in session mode: every session is cut once and connects again, so errors and waits are what counts."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from bench.floor_cluster import FloorCluster, floor_cluster
from bench.floor_switchover import switch_over
from bench.report import Row, at_most
from bench.run import Product, Run, Size
from bench.workspace import say
from bench.writers import Written, writing
from model.cluster import PoolMode
from starter.client import MpgClient
from starter.client.operation import Operation

SECTION = "switchover"
CLIENTS = 8
PLANS = ("starter", "basic")
_LEAD_S = _TAIL_S = 1.5

Start = Callable[[int], Awaitable[Operation]]


async def measure_sessions(run: Run, mpg: MpgClient, count: int) -> None:
    """Alternate floor and product, each on a cluster in session mode."""
    name, mode = "sessions", PoolMode.SESSION
    operations: dict[str, Start] = {
        "Switchover": lambda _: mpg.switchover(name),
        "ChangePlan": lambda number: mpg.change_plan(name, PLANS[number % 2]),
        "Restart": lambda _: mpg.restart(name),
    }
    async with run.cluster(mpg, name, mode) as cluster, floor_cluster(run.workspace, mode) as floor:
        bench = _InSessions(run, cluster, floor)
        for clients in (CLIENTS, 1, 32) if run.size is Size.FULL else (CLIENTS,):
            for what, start in operations.items():
                main = what == "Switchover" and clients == CLIENTS
                await bench.measure(what, start, clients, count if main else run.count(0, 2, 4))


class _InSessions:
    def __init__(self, run: Run, cluster: Product, floor: FloorCluster) -> None:
        self.run, self.cluster, self.floor = run, cluster, floor

    async def measure(self, what: str, start: Start, clients: int, count: int) -> None:
        """Run it *count* times beside the floor's switchover, which is the part that sessions notice."""
        product, floor = list[tuple[Written, float]](), list[tuple[Written, float]]()

        async def operation(number: int) -> None:
            await (await start(number)).result()

        async def script(_: int) -> None:
            await switch_over(self.floor)

        for number in range(count):
            say(f"{what} in session mode {number + 1}/{count}, {clients} sessions")
            for uri, change, kept in ((self.cluster.uri(), operation, product), (self.floor.uri(), script, floor)):
                async with writing((uri,), clients) as writers:
                    await asyncio.sleep(_LEAD_S)
                    begun = time.monotonic()
                    await change(number)
                    await asyncio.sleep(_TAIL_S)
                    kept.append(((await writers.finish())[0], begun))
        if count:
            self._show(f"{what}, session mode, {clients} sessions", product, floor)

    def _show(self, what: str, product: list[tuple[Written, float]], floor: list[tuple[Written, float]]) -> None:
        waits, beside = (tuple(each.longest_wait_ms(begun) for each, begun in side) for side in (product, floor))
        self._row(f"{what}: longest wait", "ms", waits, beside)
        errors, beside = (tuple(float(each.errors) for each, _ in side) for side in (product, floor))
        self._row(f"{what}: errors, one a session expected", "", errors, beside)
        lost, beside = (tuple(float(each.lost) for each, _ in side) for side in (product, floor))
        note = f"of {sum(each.acknowledged for each, _ in product)}"
        self._row(f"{what}: acknowledged rows lost", "", lost, beside, note, worst=0)

    def _row(
        self, name: str, unit: str, values: tuple[float, ...], floor: tuple[float, ...], note: str = "", **limits: float
    ) -> None:
        targets = at_most(**limits)
        self.run.add(Row(section=SECTION, name=name, unit=unit, values=values, floor=floor, targets=targets, note=note))
