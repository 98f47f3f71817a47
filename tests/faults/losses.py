"""What the tests of losses do to a cluster, and what has to be so afterwards."""

import asyncio
import contextlib
import signal
import struct
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, LiteralString

import docker
import psycopg
from live_cluster import LiveCluster, Load, load
from rig import until

from model.cluster import Address, ClusterPhase, Node, NodeRole
from model.names import PGDATA
from model.operations import WITHOUT_TURN
from starter.quickstart.counting_writer import TABLE
from tests.faults.invariants import Eyes, violations

WHOLE_S = 120.0
SAMPLE_S = 0.05
ANSWER_S = 1.0
ASK_AGAIN_S = 0.5
PROTOCOL_3 = 196608
KILLED = 128 + signal.SIGKILL


class Injury:
    """One cluster, and what can be done to it."""

    def __init__(self, cluster: LiveCluster, eyes: Eyes) -> None:
        """Hurt *cluster*; look at it through *eyes*."""
        self.cluster = cluster
        self._eyes = eyes
        self._engine: docker.DockerClient = eyes.engine

    async def run(self, container: str, command: str, *, may_end: bool = False) -> None:
        """Run a shell *command* as root in a running *container*, which *may_end* meanwhile."""
        found = await asyncio.to_thread(self._engine.containers.get, container)
        ended: Any = await asyncio.to_thread(found.exec_run, ["sh", "-c", command], user="root")
        assert ended.exit_code in ({0, KILLED} if may_end else {0}), (ended.exit_code, ended.output.decode())

    async def lose_data(self, node: Node) -> None:
        """Remove the data directory of a node that runs. The node may be fenced before the last file is gone."""
        # Postgres still writes: a directory may have a new file when it is to go.
        command = f"for try in 1 2 3 4 5 6 7 8; do rm -rf {PGDATA} && exit 0; done; exit 1"
        await self.run(node.container, command, may_end=True)

    async def need_wal(self, node: Node) -> None:
        """Have a node begin one WAL file after the other until it cannot: Postgres then ends itself."""
        write: LiteralString = "SELECT pg_logical_emit_message(false, 'mpg', repeat('x', 1000)), pg_switch_wal()"
        for _ in range(1000):
            try:
                await self.cluster.ask(node, write)
            except psycopg.Error:
                return
        raise AssertionError(f"{node.name} has room for 1000 WAL files")

    async def cut_network(self, node: Node) -> None:
        """Take a node off its network; it runs on."""
        network = (await self.cluster.state()).status.network
        assert network is not None
        found = await asyncio.to_thread(self._engine.networks.get, network.name)
        await asyncio.to_thread(found.disconnect, node.container, force=True)

    async def address(self, container: str) -> list[str]:
        """Return the addresses of *container* in its networks."""
        networks = (await self.cluster.attributes(container))["NetworkSettings"]["Networks"]
        return [each["IPAddress"] for each in networks.values()]

    async def signal_process(self, node: Node, name: str, pid: object) -> None:
        """Send a signal to one process of a node, by its id in there."""
        await self.run(node.container, f"kill -{name} {pid}")

    async def runs(self, container: str) -> bool:
        """Tell whether *container* runs."""
        return bool((await self.cluster.attributes(container))["State"]["Running"])

    async def operations(self) -> list[str]:
        """Return the ids of all that ran, or runs, on the cluster but for what may begin by itself: backups, drills."""
        found = await self.cluster.mpg.operations(self.cluster.name)
        return [each.id for each in found if each.type not in WITHOUT_TURN]

    async def signal(self, container: str, name: str) -> None:
        found = await asyncio.to_thread(self._engine.containers.get, container)
        await asyncio.to_thread(found.kill, signal=name)

    async def remove(self, container: str) -> None:
        found = await asyncio.to_thread(self._engine.containers.get, container)
        await asyncio.to_thread(found.remove, force=True, v=True)

    @asynccontextmanager
    async def deaths(self, container: str) -> AsyncGenerator[list[float]]:
        """Lend a list to which is added when *container* dies, by the engine's events, in seconds since 1970.

        They are followed: the engine keeps its last 256 only, which with other tests on it is less than a minute.
        """
        times: list[float] = []
        filters: dict[str, Any] = {"container": container, "event": "die"}
        events: Any = await asyncio.to_thread(self._engine.api.events, filters=filters, decode=True)

        def follow() -> None:
            for event in events:
                times.append(event["timeNano"] / 1e9)

        following = asyncio.create_task(asyncio.to_thread(follow))
        try:
            yield times
        finally:
            events.close()
            await following

    async def until_phase(self, phase: ClusterPhase) -> None:
        async def met() -> bool:
            return (await self.cluster.state()).status.phase is phase

        await until(met, timeout_s=WHOLE_S, what=f"{phase}")

    async def until_degraded(self) -> str:
        """Return what the cluster says of what does not come back, as soon as it does."""

        async def met() -> bool:
            return any(each.type == "Degraded" for each in (await self.cluster.state()).status.conditions)

        await until(met, timeout_s=WHOLE_S, what="the condition Degraded")
        return await self.said("Degraded")

    async def said(self, condition: str) -> str:
        """Return what the cluster says by its condition of this type, which is set."""
        conditions = (await self.cluster.state()).status.conditions
        return next(each.message for each in conditions if each.type == condition)

    async def until_whole(self) -> None:
        """Return when nothing is wrong with the cluster: among much else one node takes writes, the other follows."""
        deadline = time.monotonic() + WHOLE_S
        while found := await violations(self._eyes, self.cluster.name):
            if time.monotonic() > deadline:
                view = await self.cluster.mpg.view(self.cluster.name)
                raise AssertionError(f"{found}: {view.model_dump_json(indent=1)}")
            await asyncio.sleep(0.2)
        assert (await self.cluster.state()).status.conditions == ()

    @asynccontextmanager
    async def suffered(self, *, writers: int = 4) -> AsyncGenerator[Load]:
        """Have clients write while the block hurts the cluster; afterwards it is whole, and no row is lost.

        At no moment did both nodes take writes.
        """
        sampler = Sampler(self.cluster)
        async with load(self.cluster, writers=writers) as clients, sampler.running():
            yield clients
            await clients.goes_on()
            await self.until_whole()
        assert sampler.both == []
        assert await clients.nothing_lost()

    async def first_row_after(self, moment: float) -> float:
        """When the first row was written after *moment*, by the clock of the node that took it."""
        async with await self.cluster.session() as session:
            query = f"SELECT min(written_at) FROM {TABLE} WHERE written_at > %s"
            row = await (await session.execute(query.encode(), [datetime.fromtimestamp(moment, UTC)])).fetchone()
        assert row is not None
        return row[0].timestamp()


@asynccontextmanager
async def half_open_logins(address: Address, number: int) -> AsyncGenerator[None]:
    """Keep *number* clients there that ask to be let in and never send a password; refused, they ask again."""
    asks_in = b"user\0app\0database\0fly-db\0\0"
    packet = struct.pack("!II", len(asks_in) + 8, PROTOCOL_3) + asks_in

    async def one() -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(address.host, address.port)
                try:
                    writer.write(packet)
                    await reader.read()
                finally:
                    writer.close()
            await asyncio.sleep(ASK_AGAIN_S)

    tasks = [asyncio.create_task(one()) for _ in range(number)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Sampler:
    """Asks both nodes all the time whether they take writes."""

    def __init__(self, cluster: LiveCluster) -> None:
        """Ask the nodes of *cluster*; nothing is asked yet."""
        self._cluster = cluster
        self.seen = 0
        """How often at least one of them did."""
        self.both: list[str] = []
        """When both did."""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        nodes = (await self._cluster.state()).status.nodes
        task = asyncio.create_task(self._run(nodes))
        try:
            await self._has_seen()
            yield
            await self._has_seen()
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _has_seen(self) -> None:
        """Return when a node was seen to take writes from now on: one that never answers would never be caught."""
        before = self.seen

        async def met() -> bool:
            return self.seen > before

        await until(met, timeout_s=WHOLE_S, what="a node that takes writes")

    async def _run(self, nodes: tuple[Node, ...]) -> None:
        while True:
            writing = await asyncio.gather(*(self._writes(node) for node in nodes))
            self.seen += any(writing)
            if sum(writing) > 1 and all(await asyncio.gather(*(self._writes(node) for node in nodes))):
                # Twice: one may have answered just before its end, the other just after its promotion.
                self.both.append(datetime.now(UTC).isoformat())
            await asyncio.sleep(SAMPLE_S)

    async def _writes(self, node: Node) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):  # An address that nobody has is silent for longer.
                return (await self._cluster.ask(node, "SELECT NOT pg_is_in_recovery()"))[0][0]
        except (psycopg.Error, TimeoutError):
            return False


def names(nodes: tuple[Node, Node]) -> list[str]:
    """Return the names of a pair, the primary's first."""
    assert nodes[0].role is NodeRole.PRIMARY
    return [node.name for node in nodes]
