"""The floor's switchover: the product's sequence as one script (docs/operations/switchover.md says why each step).

CHECKPOINT twice; write the poolers' files; PAUSE; SIGINT to the old primary; its pg_control as proof; the replica has
replayed it; promotion; RELOAD; RESUME; then the old primary comes back as a standby.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from activities.nodes.files import node_files, standby_files
from activities.routing.pooler_console import Console
from activities.routing.rules import render_rules
from bench.containers import tar_of
from bench.floor_cluster import FloorCluster
from bench.workspace import Connection, await_rows, in_thread
from model import pg_control
from model.addresses import endpoint_address
from model.cluster import NodeRole, PoolMode
from model.effects import Bootstrap
from model.names import PGDATA, VOLUME_PATH

_BOUND_S = 30


class Switched(NamedTuple):
    """How long clients were held, the steps of it, and until the old primary streamed again; milliseconds."""

    held_ms: float
    steps_ms: dict[str, float]
    rejoined_ms: float


async def switch_over(cluster: FloorCluster, *, rebuild: bool = False) -> Switched:
    """Make the replica of *cluster* the primary; the old one gets a new container if told to *rebuild* it."""
    old, new = cluster.primary, cluster.replica
    async with opened(cluster) as (pausing, consoles, primary, replica, shell):
        for _ in range(2):
            await primary.execute("CHECKPOINT")
        await replica.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await replica.execute("SELECT pg_reload_conf()")
        await write_pooler_files(cluster, new)
        control = _control_file(cluster, old)
        pid = cluster.pid(old)
        clock = Clock()
        pauses = [asyncio.create_task(console.pause()) for console in pausing]
        # In session mode a pause ends with the last session: nobody waits for that.
        in_session = cluster.poolers[0].pool_mode is PoolMode.SESSION
        await asyncio.gather(*(() if in_session else pauses), lead(shell, cluster, None))
        clock.lap("pause")
        os.kill(pid, signal.SIGINT)
        ended = await _shut_down(control)
        clock.lap("shutdown")
        await until(replica, f"SELECT WHERE pg_last_wal_replay_lsn() > '{_lsn(ended.checkpoint)}'")
        clock.lap("replay")
        await replica.execute("SELECT pg_promote(wait => false)")
        await until(replica, "SELECT WHERE NOT pg_is_in_recovery()")
        clock.lap("promotion")
        await asyncio.gather(*(console.reload() for console in consoles))
        clock.lap("commit and reload")  # the product's name for it; there is no record to commit to here
        await asyncio.gather(*(console.resume() for console in consoles))
        clock.lap("resume")
        held = clock.total_ms
        for pause in pauses:
            pause.cancel()
        await lead(shell, cluster, cluster.address(new))
        cluster.primary, cluster.replica = new, old
        await rejoin(cluster, replica, rebuild=rebuild)
        return Switched(held, clock.steps_ms, clock.total_ms - held)


class Clock:
    """Milliseconds of each step, from its making on."""

    def __init__(self) -> None:
        self._begun = self._last = time.perf_counter()
        self.steps_ms: dict[str, float] = {}

    def lap(self, step: str) -> None:
        """End *step*."""
        now = time.perf_counter()
        self.steps_ms[step], self._last = (now - self._last) * 1000, now

    @property
    def total_ms(self) -> float:
        """All of it so far."""
        return (time.perf_counter() - self._begun) * 1000


@asynccontextmanager
async def opened(
    cluster: FloorCluster,
) -> AsyncGenerator[tuple[list[Console], list[Console], Connection, Connection, asyncio.subprocess.Process]]:
    """Lend consoles to pause with and others, both nodes, and a shell in the endpoint: nothing is opened meanwhile."""
    address = endpoint_address(cluster.network)
    async with AsyncExitStack() as stack:
        sets: list[list[Console]] = [[], []]
        for consoles in sets:
            for pooler in cluster.poolers:
                consoles.append(await Console.open(address, pooler.port, master_key=cluster.key, cluster_id=cluster.id))
                stack.push_async_callback(consoles[-1].close)
        primary = await stack.enter_async_context(await cluster.connect(cluster.primary))
        replica = await stack.enter_async_context(await cluster.connect(cluster.replica))
        yield sets[0], sets[1], primary, replica, await stack.enter_async_context(shell_of(cluster))


@asynccontextmanager
async def shell_of(cluster: FloorCluster) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Lend a shell in the endpoint: to start one takes longer than to change the rules."""
    shell = await asyncio.create_subprocess_exec(
        "docker", "exec", "-i", cluster.container("endpoint"), "sh",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await _say(shell, ":")
        yield shell
    finally:
        shell.kill()
        await shell.wait()


async def lead(shell: asyncio.subprocess.Process, cluster: FloorCluster, direct: str | None) -> None:
    """Lead new direct connections to the address *direct*; None refuses them."""
    await _say(shell, f"nft -f - <<'END'\n{render_rules(cluster.rules(direct=direct))}\nEND\n")


async def _say(shell: asyncio.subprocess.Process, command: str) -> None:
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{command}\necho done\n".encode())
    await asyncio.wait_for(shell.stdout.readline(), _BOUND_S)


async def write_pooler_files(cluster: FloorCluster, primary: str) -> None:
    """Write where the primary is; a RELOAD puts it in force."""
    archives = {pooler.name: tar_of(cluster.pooler_files(pooler, primary)) for pooler in cluster.poolers}
    put = cluster.docker.put_archive
    await asyncio.gather(*(in_thread(put, cluster.container(name), "/", archive) for name, archive in archives.items()))


def _control_file(cluster: FloorCluster, node: str) -> Path:
    volume = cluster.docker.inspect_volume(cluster.container(node))["Mountpoint"]
    return Path(volume, Path(PGDATA).relative_to(VOLUME_PATH), pg_control.PATH)


async def _shut_down(control: Path) -> pg_control.ControlData:
    deadline = time.monotonic() + _BOUND_S
    while not (found := _read(control)).shut_down:
        if time.monotonic() > deadline:
            raise TimeoutError(f"The old primary did not end within {_BOUND_S} s.")
        await asyncio.sleep(0.001)
    return found


def _read(control: Path) -> pg_control.ControlData:
    return pg_control.parse(control.read_bytes())


def _lsn(position: int) -> str:
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


async def until(connection: Connection, query: str) -> None:
    """Ask each millisecond until *query* has a row."""
    await await_rows(connection, query.encode(), every_s=0.001, timeout_s=_BOUND_S)


async def rejoin(cluster: FloorCluster, primary: Connection, *, crashed: bool = False, rebuild: bool = False) -> None:
    """Start the replica, which has ended; have commits wait for it once it has caught up.

    One that *crashed* as the primary is rewound first. With *rebuild* its container is made again on its volume.
    """
    name = cluster.replica
    spec = cluster.node_spec(name, role=NodeRole.REPLICA)
    files = node_files(spec, cluster.key, Bootstrap.KEEP)
    files |= cluster.rewind_files(cluster.primary) if crashed else standby_files()
    docker, container = cluster.docker, cluster.container(name)
    await in_thread(docker.wait, container)
    mark = await (await primary.execute("SELECT pg_current_wal_lsn()::text")).fetchone()
    assert mark is not None
    if rebuild:
        await in_thread(lambda: docker.remove_container(container, v=True))
        await cluster.make_node(name, files)
    else:
        await in_thread(docker.put_archive, container, "/", tar_of(files))
        await in_thread(docker.start, container)
    query = f"SELECT FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn >= '{mark[0]}'"
    await await_rows(primary, query.encode(), timeout_s=_BOUND_S)
    await cluster.set_synchronous(primary, name)
    await await_rows(primary, "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'")
