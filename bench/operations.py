"""Operations under load: failed transactions, the longest wait of any client, and how long clients were held.

The floor is the same as a script on a cluster of its own (bench/floor_*.py). Both run under the same load in turn, so
that noise hits both.
"""

import itertools
import math
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from bench import pgbench
from bench.floor_cluster import FloorCluster, floor_cluster
from bench.floor_pool_mode import remove_poolers, set_pool_mode
from bench.floor_rolling import roll
from bench.floor_switchover import Switched, switch_over
from bench.pgbench import LoadResult, under_load
from bench.probe import Met, probing
from bench.report import Row, Target, at_most
from bench.run import Product, Run, Size
from bench.sessions import PLANS, measure_sessions
from bench.workspace import say
from model.cluster import Pooler, PoolMode
from model.plans import DEFAULT_PLANS
from starter.client.connection import EndpointKind
from starter.client.operation import Operation

SECTION = "switchover"
_LEAD_S, _TAIL_S = 2.0, 1.5
_ATTEMPTS = 3
_UNNOTICED_MS = 50
"""How much longer than with nothing changed a wait may be in a change that holds nobody."""

Start = Callable[[int], Awaitable[Operation]]
Script = Callable[[int], Awaitable[Switched | None]]


@dataclass
class Seen:
    """What several runs of one operation under one load showed, product and floor."""

    product: list[LoadResult] = field(default_factory=list[LoadResult])
    floor: list[LoadResult] = field(default_factory=list[LoadResult])
    held_ms: list[float] = field(default_factory=list[float])
    floor_held_ms: list[float] = field(default_factory=list[float])
    steps: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    floor_steps: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    seconds: list[float] = field(default_factory=list[float])
    floor_seconds: list[float] = field(default_factory=list[float])
    reads: list[Met] = field(default_factory=list[Met])


async def measure(run: Run) -> None:
    """Measure every operation at 8 clients; with ``--full`` also at 1 and 32, simple and prepared, in fewer runs."""
    async with AsyncExitStack() as stack:
        mpg, _ = await stack.enter_async_context(run.stack("switch"))
        cluster = await stack.enter_async_context(run.cluster(mpg, "switch"))
        floor = await stack.enter_async_context(floor_cluster(run.workspace))
        for uri in (cluster.uri(), floor.uri()):
            await pgbench.prepare(uri, run.count(1, pgbench.SCALE))
        bench = _UnderLoad(run, cluster, floor)
        await bench.baseline()
        for clients, protocol, main in _loads(run):
            await bench.switchover(clients, protocol, run.count(1, 20, 20 if main else 5))
            await bench.change_plan(clients, protocol, run.count(1, 20, 20 if main else 3))
            await bench.set_pool_mode(clients, protocol, run.count(2, 6, 6 if main else 2))
            await bench.restart(clients, protocol, run.count(1, 5, 5 if main else 2))
        await measure_sessions(run, mpg, run.count(1, 6))


def _loads(run: Run) -> list[tuple[int, str, bool]]:
    """Clients and protocol of each load, and whether it is the one that the targets are about."""
    main = (8, "simple", True)
    if run.size is not Size.FULL:
        return [main]
    loads = [(clients, protocol, False) for clients in (1, 8, 32) for protocol in ("simple", "prepared")]
    return [main, *(load for load in loads if load[:2] != main[:2])]


class _UnderLoad:
    """The operations on one cluster beside the floor's."""

    def __init__(self, run: Run, cluster: Product, floor: FloorCluster) -> None:
        self.run, self.cluster, self.floor = run, cluster, floor
        self._seconds: dict[str, float] = {}
        self._numbers: dict[str, Iterator[int]] = defaultdict(itertools.count)
        self._unnoticed: tuple[Target, ...] = ()
        self._unnoticed_read: tuple[Target, ...] = ()

    async def baseline(self) -> None:
        """The longest waits while nothing is changed: what SetPoolMode and reads are held against."""
        product, floor, reads = list[LoadResult](), list[LoadResult](), list[float]()
        for _ in range(self.run.count(1, 5)):
            for uri, kept in ((self.cluster.uri(), product), (self.floor.uri(), floor)):
                read_only = self.cluster.uri(EndpointKind.READ_ONLY)
                async with (
                    under_load(uri, clients=8, seconds=self.run.count(3, 6)) as load,
                    probing(read_only, reconnect=False) as probe,
                ):
                    kept.append(await load.finish(since_s=0))
                reads.append(probe.met.longest_ms)
        waits, beside = ([each.longest_wait_ms for each in side] for side in (product, floor))
        self._row("nothing changed, 8 clients: longest wait", waits, beside, note=f"{product[-1].tps:.0f} tps")
        self._row("nothing changed, 8 clients: longest read-only query", reads, [])
        # Over the median: one run with a hiccup of the machine would make a bound that nothing misses.
        self._unnoticed = at_most(worst=round(median(waits) + _UNNOTICED_MS))
        self._unnoticed_read = at_most(worst=round(median(reads) + _UNNOTICED_MS))

    async def switchover(self, clients: int, protocol: str, count: int) -> None:
        """Switchover beside the floor's."""
        targets = at_most(median=200, worst=500, ratio=1.5)
        seen = await self._repeat(
            "Switchover",
            lambda _: self.cluster.mpg.switchover(self.cluster.name),
            lambda _: switch_over(self.floor),
            clients,
            protocol,
            count,
        )
        self._show(f"Switchover, {clients} clients, {protocol}", seen, targets, clients)

    async def change_plan(self, clients: int, protocol: str, count: int) -> None:
        """ChangePlan between two plans, beside the floor's."""
        targets = at_most(median=200, worst=500, ratio=1.5)
        seen = await self._repeat(
            "ChangePlan",
            lambda number: self.cluster.mpg.change_plan(self.cluster.name, PLANS[number % 2]),
            lambda number: roll(self.floor, DEFAULT_PLANS[PLANS[number % 2]]),
            clients,
            protocol,
            count,
        )
        self._show(f"ChangePlan, {clients} clients, {protocol}", seen, targets, clients)

    async def restart(self, clients: int, protocol: str, count: int) -> None:
        """Restart of both nodes in turn, beside the floor's."""
        seen = await self._repeat(
            "Restart",
            lambda _: self.cluster.mpg.restart(self.cluster.name),
            lambda _: roll(self.floor),
            clients,
            protocol,
            count,
        )
        self._show(f"Restart, {clients} clients, {protocol}", seen, (), clients)

    async def set_pool_mode(self, clients: int, protocol: str, count: int) -> None:
        """SetPoolMode there and back while sessions stay and others connect anew all the time."""
        modes, floor_modes = (itertools.cycle((PoolMode.SESSION, PoolMode.TRANSACTION)) for _ in range(2))
        retired: list[Pooler] = []

        async def script(_: int) -> None:
            await remove_poolers(self.floor, retired)
            retired[:] = await set_pool_mode(self.floor, next(floor_modes))

        async with probing(self.cluster.uri(), reconnect=True) as probe:
            seen = await self._repeat(
                "SetPoolMode",
                lambda _: self.cluster.mpg.set_pool_mode(self.cluster.name, next(modes)),
                script,
                clients,
                protocol,
                count,
            )
        self._show(f"SetPoolMode, {clients} clients, {protocol}", seen, self._unnoticed, clients)
        if count:
            await (await self.cluster.mpg.set_pool_mode(self.cluster.name, PoolMode.TRANSACTION)).result()
            if self.floor.poolers[0].pool_mode is not PoolMode.TRANSACTION:
                await script(0)
            await remove_poolers(self.floor, retired)
            note = f"{probe.met.errors} of {probe.met.asked} failed"
            self._row(f"SetPoolMode, {clients} clients: longest new connection", [probe.met.longest_ms], [], note=note)

    async def _repeat(self, name: str, start: Start, script: Script, clients: int, protocol: str, count: int) -> Seen:
        seen = Seen()
        sides = (partial(self._floor_once, seen, name, script), partial(self._product_once, seen, name, start))
        for number in range(count):
            say(f"{name} {number + 1}/{count}, {clients} clients, {protocol}")
            for once in sides:
                for attempt in range(_ATTEMPTS):
                    if await once(clients, protocol):
                        break
                    say(f"{name} outlived its load, attempt {attempt + 1}")
        return seen

    def _load_s(self, name: str) -> int:
        """How long a load has to be for an operation that takes as long as it took before."""
        return math.ceil(_LEAD_S + _TAIL_S + 1.25 * self._seconds.get(name, 6))

    def _lasted(self, name: str, took: float, seconds: int) -> bool:
        """Note how long an operation took; tell whether its load of *seconds* lasted until its end."""
        self._seconds[name] = max(took, self._seconds.get(name, 0) * 0.8)
        return took + _LEAD_S <= seconds

    async def _floor_once(self, seen: Seen, name: str, script: Script, clients: int, protocol: str) -> bool:
        """Run the script once under load; False, with nothing kept, when the load ended before it."""
        key = f"{name}, script"
        seconds = self._load_s(key)
        async with under_load(self.floor.uri(), clients=clients, seconds=seconds, protocol=protocol) as load:
            begun = time.time()
            switched = await script(next(self._numbers[key]))
            took = time.time() - begun
            result = await load.finish(since_s=begun)
        if not self._lasted(key, took, seconds):
            return False
        seen.floor.append(result)
        seen.floor_seconds.append(took)
        if switched is not None:
            seen.floor_held_ms.append(switched.held_ms)
            seen.floor_steps.append(switched.steps_ms)
        return True

    async def _product_once(self, seen: Seen, name: str, start: Start, clients: int, protocol: str) -> bool:
        """Run it once under load; False, with nothing kept, when the load ended before the operation."""
        seconds = self._load_s(name)
        read_only = self.cluster.uri(EndpointKind.READ_ONLY)
        async with under_load(self.cluster.uri(), clients=clients, seconds=seconds, protocol=protocol) as load:
            async with probing(read_only, reconnect=False) as reads:
                begun = time.time()
                operation = await start(next(self._numbers[name]))
                await operation.result()
                took = time.time() - begun
            result = await load.finish(since_s=begun)
        if not self._lasted(name, took, seconds):
            return False
        seen.product.append(result)
        seen.seconds.append(took)
        seen.reads.append(reads.met)
        if made := await operation.takeovers():
            seen.held_ms.append(made[0].held_ms)
            seen.steps.append(made[0].steps_ms)
        return True

    # --- rows -----------------------------------------------------------------------------------------------------

    def _show(self, name: str, seen: Seen, targets: tuple[Target, ...], clients: int) -> None:
        if not seen.product:
            return
        main = clients == 8  # what the targets are about, and the baseline
        waits, floor = ([each.longest_wait_ms for each in side] for side in (seen.product, seen.floor))
        self._row(f"{name}: longest wait", waits, floor, targets if main else ())
        self._row(
            f"{name}: failed transactions",
            [each.failed for each in seen.product],
            [each.failed for each in seen.floor],
            at_most(worst=0),
            unit="",
            note=f"of {sum(each.transactions for each in seen.product)}; {sum(e.lost for e in seen.product)} rows lost",
        )
        errors, asked = sum(each.errors for each in seen.reads), sum(each.asked for each in seen.reads)
        longest = [each.longest_ms for each in seen.reads]
        ended = sum(each.ended for each in seen.reads)
        note = f"{errors} of {asked} failed" + (f"; {ended} sessions ended with their node" if ended else "")
        unnoticed = self._unnoticed_read if main else ()
        self._row(f"{name}: longest read-only query", longest, [], unnoticed, note=note)
        if seen.held_ms:
            self._row(f"{name}: PAUSE to RESUME", seen.held_ms, seen.floor_held_ms)
        if name.startswith("Switchover"):  # the others stall in the same steps
            self._show_steps(name, seen)
        self._row(f"{name}: the whole operation", seen.seconds, seen.floor_seconds, unit="s")

    def _show_steps(self, name: str, seen: Seen) -> None:
        for step in dict.fromkeys(step for steps in seen.steps for step in steps):
            mine, theirs = ([steps[step] for steps in side if step in steps] for side in (seen.steps, seen.floor_steps))
            self._row(f"{name}: … {step}", mine, theirs)

    def _row(
        self,
        name: str,
        values: list[float] | list[int],
        floor: list[float] | list[int],
        targets: tuple[Target, ...] = (),
        *,
        unit: str = "ms",
        note: str = "",
    ) -> None:
        row = Row(
            section=SECTION, name=name, unit=unit, values=tuple(values), floor=tuple(floor), targets=targets, note=note
        )
        self.run.add(row)
