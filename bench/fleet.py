"""Many real clusters on one machine: what each weighs when idle, and all primaries killed within one second."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Self, TypeVar

import psycopg

from bench.cluster_weight import Weight, weigh
from bench.gaps import longest_ms
from bench.memory import cpu_s, rss_mb
from bench.orchestrator import measure_operations
from bench.report import Row, at_most
from bench.run import Product, Run
from bench.workspace import Connection, in_thread, say
from bench.writers import Written, writing
from model.cluster import Node, Role
from model.settings import Settings
from starter.client import MpgClient
from starter.client.operation import Operation

T = TypeVar("T")

SECTION = "fleet"
_AT_ONCE = 3
"""Clusters made at a time: more only wait for each other's containers."""
_PAUSE_S = 0.05
"""Between the rows of a writer: twenty that write as fast as they can would be all that the machine does."""
_LEAD_S, _TAIL_S = 3, 2
_CREATE_S, _HEAL_S = 300, 600


async def measure(run: Run) -> None:
    """Weigh a few clusters; kill the primaries of more; with ``--full`` weigh the largest number."""
    weighed, killed, largest = run.count(3, 5), run.count(3, 20), run.count(3, 20, 30)
    async with run.stack("fleet") as (mpg, settings):
        fleet = _Fleet(run, mpg, settings)
        await fleet.grow(weighed)
        await fleet.weigh()
        await fleet.grow(killed)
        await fleet.kill()
        await fleet.operate()
        if largest > killed:
            await fleet.grow(largest)
            await fleet.weigh()
        await fleet.discard()


class _Fleet:
    def __init__(self, run: Run, mpg: MpgClient, settings: Settings) -> None:
        self.run, self.mpg, self.settings = run, mpg, settings
        self.clusters: list[Product] = []

    async def grow(self, size: int) -> None:
        """Have *size* clusters that are whole."""
        begun, names = time.monotonic(), [f"fleet-{number}" for number in range(len(self.clusters), size)]

        async def one(name: str) -> Product:
            await (await self.mpg.create_cluster(name)).result()
            return await Product.found(self.mpg, name)

        async with asyncio.timeout(_CREATE_S + len(names) * 30):
            self.clusters += await _some_at_once([partial(one, name) for name in names])
            for cluster in self.clusters:
                await cluster.await_whole(_HEAL_S)
        say(f"fleet: {len(names)} clusters made in {time.monotonic() - begun:.0f} s")

    async def discard(self) -> None:
        """Destroy them."""
        await _some_at_once([partial(self.run.discard, self.mpg, each.state.spec.id) for each in self.clusters])

    # --- idle ---------------------------------------------------------------------------------------------------------

    async def weigh(self) -> None:
        """Leave them alone and say what each of them needs, and what worker and Temporal need beside."""
        seconds = self.run.count(5, 60, 120)
        await asyncio.sleep(self.run.count(0, 15))  # what creation left to do is not idleness
        docker, parts = (
            self.run.workspace.docker,
            [await self.run.pids(self.settings, worker=it) for it in (True, False)],
        )
        states = [await cluster.now() for cluster in self.clusters]
        before = [await in_thread(weigh, docker, state) for state in states]
        used, begun = [cpu_s(pids) for pids in parts], time.monotonic()
        say(f"fleet: watching {len(self.clusters)} idle clusters for {seconds} s")
        await asyncio.sleep(seconds)
        took = time.monotonic() - begun
        used = [(cpu_s(pids) - earlier) / took * 100 for pids, earlier in zip(parts, used, strict=True)]
        after = [await in_thread(weigh, docker, state) for state in states]
        self._show_weight(before, after)
        for name, pids, share in zip(("worker", "Temporal"), parts, used, strict=True):
            self._row(f"{self._idle}: {name}, resident", "MB", [rss_mb(pids)])
            self._row(f"{self._idle}: {name}'s CPU", "% of a core", [share])

    @property
    def _idle(self) -> str:
        return f"{len(self.clusters)} clusters idle"

    def _show_weight(self, before: Sequence[Weight], after: Sequence[Weight]) -> None:
        self._row(f"{self._idle}: a cluster's containers, PSS", "MB", [each.containers_mb for each in after])
        self._row(f"{self._idle}: … and the engine's processes for it", "MB", [each.engine_mb for each in after])
        cpu = [
            (late.cpu_s - early.cpu_s) / (late.at_s - early.at_s) * 100
            for early, late in zip(before, after, strict=True)
        ]
        self._row(f"{self._idle}: a cluster's CPU", "% of a core", cpu)

    # --- loss ---------------------------------------------------------------------------------------------------------

    async def kill(self) -> None:
        """Kill every primary within a second while a writer writes to each cluster."""
        docker = self.run.workspace.docker
        losses = [await _Loss.before(docker, cluster) for cluster in self.clusters]
        async with writing([cluster.uri() for cluster in self.clusters], 1, pause_s=_PAUSE_S) as writers:
            await asyncio.sleep(_LEAD_S)
            begun = time.monotonic()
            for loss in losses:
                os.kill(loss.pid, signal.SIGKILL)
            say(f"fleet: {len(losses)} primaries killed within {(time.monotonic() - begun) * 1000:.0f} ms")
            await asyncio.gather(*(loss.heal(begun) for loss in losses))
            await asyncio.sleep(_TAIL_S)
            written = await writers.finish()
        self._show_kill(begun, written, losses)
        for loss in losses:
            await loss.check()

    def _show_kill(self, begun: float, written: Sequence[Written], losses: Sequence["_Loss"]) -> None:
        what = f"{len(self.clusters)} primaries killed at once"
        waits = [longest_ms(each.gaps_of_all, begun) for each in written]
        self._row(f"{what}: longest wait, of each cluster", "ms", waits)
        note = (
            f"of {sum(each.acknowledged for each in written)};"
            f" {sum(each.unknown for each in written)} more there whose writer met an error"
        )
        self._row(f"{what}: acknowledged rows lost", "", [each.lost for each in written], note, worst=0)
        self._row(f"{what}: clusters seen with two writable nodes", "", [sum(loss.two for loss in losses)], worst=0)
        self._row(f"{what}: until whole, of each cluster", "s", [loss.whole_s for loss in losses])

    # --- operations ---------------------------------------------------------------------------------------------------

    async def operate(self) -> None:
        """Operations with real activities on several clusters at a time, for the section on stubs to compare with."""
        ids = [cluster.state.spec.id for cluster in self.clusters]

        async def create_user(cluster: str, number: int) -> Operation:
            return await self.mpg.create_user(cluster, f"user-{number}", Role.READER)

        async def switch_over(cluster: str, number: int) -> Operation:
            return await self.mpg.switchover(cluster)

        for concurrent in dict.fromkeys(min(each, len(ids)) for each in (1, 10)):
            users, switches = self.run.count(2, max(3, 40 // concurrent)), self.run.count(1, max(1, 10 // concurrent))
            for name, start, rounds in (("CreateUser", create_user, users), ("Switchover", switch_over, switches)):
                await measure_operations(self.run, self.mpg, f"{name}, real", start, ids[:concurrent], rounds, SECTION)

    def _row(self, name: str, unit: str, values: Sequence[float], note: str = "", **limits: float) -> None:
        targets = at_most(**limits)
        self.run.add(Row(section=SECTION, name=name, unit=unit, values=tuple(values), targets=targets, note=note))


async def _some_at_once(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Return the results of *calls*, three at a time; the first failure cancels the rest."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await call()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(call)) for call in calls]
    return [task.result() for task in tasks]


class _Loss:
    """One cluster's primary, from before it is killed until the cluster is whole."""

    def __init__(self, cluster: Product, primary: Node, replica: Node, pid: int) -> None:
        self.cluster, self.primary, self.replica, self.pid = cluster, primary, replica, pid
        self.two, self.whole_s = False, 0.0

    @classmethod
    async def before(cls, docker: Any, cluster: Product) -> Self:
        """Look at a cluster that is whole."""
        status = (await cluster.now()).status
        assert status.primary is not None
        assert status.replica is not None
        container = await in_thread(docker.inspect_container, status.primary.container)
        return cls(cluster, status.primary, status.replica, int(container["State"]["Pid"]))

    async def heal(self, begun: float) -> None:
        """Return once the cluster is whole, with the other node as its primary or the same one again."""
        watch = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(_HEAL_S):
                await self._serves()
                await self.cluster.await_whole(_HEAL_S, every_s=1)
            self.whole_s = time.monotonic() - begun
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def check(self) -> None:
        """Raise ``RuntimeError`` unless exactly one node takes writes."""
        writable = [await self._writable(node) for node in (self.primary, self.replica)]
        if sum(writable) != 1:
            raise RuntimeError(f"Cluster {self.cluster.name} has {sum(writable)} writable nodes after it healed.")

    async def _serves(self) -> None:
        """Return once a node takes writes. The nodes are asked: the record is as it was, for a moment."""
        async with await self.cluster.connect(self.replica.address) as replica:
            while not await self._writable(self.primary):
                if await _takes_writes(replica):
                    return
                await asyncio.sleep(0.25)

    async def _watch(self) -> None:
        """See whether ever the node that was killed takes writes while the other one does."""
        while not self.two:
            # Asked again at the end, because the one may have ended before the other began.
            self.two = (
                await self._writable(self.primary)
                and await self._writable(self.replica)
                and await self._writable(self.primary)
            )
            await asyncio.sleep(0.2)

    async def _writable(self, node: Node) -> bool:
        """Tell whether *node* takes writes now; one that does not answer does not."""
        try:
            async with asyncio.timeout(3), await self.cluster.connect(node.address) as connection:
                return await _takes_writes(connection)
        except (psycopg.Error, TimeoutError):
            return False


async def _takes_writes(connection: Connection) -> bool:
    row = await (await connection.execute("SELECT NOT pg_is_in_recovery()")).fetchone()
    return bool(row and row[0])
