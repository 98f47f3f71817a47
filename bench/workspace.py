"""Where a run works: a state directory, ports and addresses of its own, labels on all it makes, and its end."""

import asyncio
import contextlib
import ipaddress
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import docker
import psycopg
from docker.errors import APIError
from docker.utils import kwargs_from_env
from psycopg import AsyncConnection
from psycopg.abc import Query
from psycopg.rows import TupleRow

from model.cluster import Network
from model.settings import Settings, load_settings

T = TypeVar("T")
Connection = AsyncConnection[TupleRow]

REPOSITORY = Path(__file__).resolve().parent.parent
PORTS = (24000, 25999)
SUBNETS = "10.214.0.0/16"
FLOOR_SUBNETS = "10.215.0.0/16"
LABEL = "mpg.bench"
_THREADS = ThreadPoolExecutor(16, thread_name_prefix="bench")


class Workspace:
    """What the sections of one run share. Everything made with its labels is removed at the end."""

    def __init__(self, home: Path) -> None:
        """Use *home*, an empty directory with a short path (unix sockets go below it)."""
        self.home = home
        self.labels = {"mpg.test": "true", LABEL: home.name}
        self.docker: Any = docker.APIClient(version="auto", timeout=120, max_pool_size=16, **_engine())
        self.cpus = os.cpu_count() or 1
        self._ports = iter(range(*PORTS))
        self.image = self.settings("image").node_image_for(17)

    def settings(self, name: str, **overrides: Any) -> Settings:
        """Return settings for a stack called *name*: its own state directory, free ports, our labels."""
        ours: dict[str, Any] = {
            "home": self.home / name,
            "temporal_port": self.free_port(),
            "temporal_ui_port": self.free_port(),
            "api_port": self.free_port(),
            "prometheus_port": 0,
            "port_range": (PORTS[1] + 1, PORTS[1] + 1000),
            "subnet_pool": SUBNETS,
            "extra_labels": self.labels,
            "allow_overcommit": True,
            "allow_storage_overcommit": True,
        }
        return load_settings(**ours | overrides)

    def free_port(self) -> int:
        """Return a port of loopback that nobody listens on and that was not returned before."""
        for port in self._ports:
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
        raise RuntimeError(f"No port of {PORTS[0]}–{PORTS[1]} is free.")

    def free_network(self, name: str) -> Network:
        """Return a network on addresses that no network of the engine has."""
        taken = [
            ipaddress.ip_network(entry["Subnet"])
            for network in self.docker.networks()
            for entry in network["IPAM"]["Config"] or []
        ]
        for subnet in ipaddress.IPv4Network(FLOOR_SUBNETS).subnets(new_prefix=28):
            if not any(subnet.version == other.version and subnet.overlaps(other) for other in taken):
                return Network(name=name, subnet=str(subnet), gateway=str(subnet[1]))
        raise RuntimeError(f"No network of {FLOOR_SUBNETS} is free.")

    async def remove(self, prefix: str = "") -> None:
        """Remove every container, volume and network of ours whose name begins with *prefix*."""
        await in_thread(self._remove, prefix)

    def _remove(self, prefix: str) -> None:
        ours = {"label": f"{LABEL}={self.home.name}"}
        for container in self.docker.containers(all=True, filters=ours):
            if container["Names"] and container["Names"][0].lstrip("/").startswith(prefix):
                _quietly(self.docker.remove_container, container["Id"], force=True, v=True)
        for volume in self.docker.volumes(filters=ours)["Volumes"] or []:
            if volume["Name"].startswith(prefix):
                _quietly(self.docker.remove_volume, volume["Name"])
        for network in self.docker.networks(filters=ours):
            if network["Name"].startswith(prefix):
                _quietly(self.docker.remove_network, network["Id"])


@asynccontextmanager
async def open_workspace() -> AsyncGenerator[Workspace]:
    """Lend a workspace; afterwards nothing is left of it."""
    os.environ["PYTHONPATH"] = str(REPOSITORY)  # for worker processes, whose directory is elsewhere
    home = Path(tempfile.mkdtemp(prefix="mpgb-"))
    workspace = Workspace(home)
    try:
        yield workspace
    finally:
        await workspace.remove()
        shutil.rmtree(home, ignore_errors=True)


async def first_query(uri: str, *, timeout_s: float = 60) -> None:
    """Return as soon as a new connection to *uri* answers ``SELECT 1``."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(uri, connect_timeout=2) as connection:
                await connection.execute("SELECT 1")
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.01)


async def await_rows(connection: Connection, query: Query, *, every_s: float = 0.005, timeout_s: float = 60) -> None:
    """Return as soon as *query* has a row, asking every *every_s* seconds. Raises ``TimeoutError``."""
    async with asyncio.timeout(timeout_s):
        while not (await connection.execute(query)).rowcount:  # noqa: ASYNC110  Postgres signals nothing
            await asyncio.sleep(every_s)


async def await_streaming(connection: Connection) -> None:
    """Return as soon as a standby streams from *connection*'s node. A base backup streams too, and is none."""
    await await_rows(
        connection,
        "SELECT FROM pg_stat_replication WHERE state = 'streaming' AND application_name <> 'pg_basebackup'",
    )


async def await_port(port: int, *, timeout_s: float = 10) -> None:
    """Return as soon as somebody listens on *port* of loopback."""
    async with asyncio.timeout(timeout_s):
        while True:
            with contextlib.suppress(OSError):
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                return
            await asyncio.sleep(0.02)


async def in_thread(call: Callable[..., T], *arguments: Any) -> T:
    """Run *call*, which blocks, beside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, lambda: call(*arguments))


def say(text: str) -> None:
    """Tell on stderr how far the bench is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _engine() -> dict[str, Any]:
    return dict(kwargs_from_env())


def _quietly(call: Callable[..., object], *arguments: object, **options: object) -> None:
    with contextlib.suppress(APIError):
        call(*arguments, **options)
