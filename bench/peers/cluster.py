"""A cluster of Patroni's: etcd, two nodes with an agent, Postgres and PgBouncer each, and HAProxy, a container each."""

import asyncio
import http.client
import os
import secrets
import signal
import time
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Network
from typing import Any

import psycopg
from psycopg import sql

from activities.engine.docker_calls import network_arguments
from activities.engine.docker_types import ContainerSpec, File, Mount, PublishedPort
from bench.containers import make_container
from bench.peers import settings
from bench.peers.members import Member, is_whole, leader, parse_members, postmaster, processes_of_node
from bench.peers.settings import Setting
from bench.workspace import Workspace, first_query, in_thread
from model.addresses import endpoint_address, node_address
from model.names import NODES, VOLUME_PATH

_CONFIG = "/etc/patroni.json"
_POSTGRES_ID = 5432
# The shell outlives them: a node whose processes are ended keeps its address, where connections are then refused.
_NODE = f"pgbouncer /etc/pgbouncer/pgbouncer.ini & /opt/patroni/bin/patroni {_CONFIG} & wait; exec sleep infinity"
_WHOLE_S = 240


class PatroniCluster:
    """Two nodes under Patroni, commits waiting for the standby. Its containers have no limits of CPU and memory."""

    def __init__(self, workspace: Workspace, image: str, setting: Setting) -> None:
        """Choose names, addresses and passwords; nothing is made yet."""
        self.id = secrets.token_hex(4)
        self._space, self._image, self._setting = workspace, image, setting
        self._docker: Any = workspace.docker
        self._network = workspace.free_network(f"mpgbench-{self.id}")
        self._etcd = str(IPv4Network(self._network.subnet)[10])
        self._nodes = {node: node_address(self._network, node) for node in NODES}
        self._passwords = {
            user: secrets.token_hex(8) for user in (settings.SUPERUSER, settings.REPLICATOR, settings.USER)
        }
        self._port = workspace.free_port()
        self._lost: str | None = None

    @property
    def uri(self) -> str:
        """How clients connect: through HAProxy and the primary's PgBouncer."""
        return (
            f"postgresql://{settings.USER}:{self._passwords[settings.USER]}@127.0.0.1:{self._port}/{settings.DATABASE}"
        )

    def container(self, name: str) -> str:
        """Name of a container, and of a node's volume."""
        return f"mpgbench-{self.id}-{name}"

    async def create(self) -> None:
        """Make it and return when it is whole."""
        network = self._network
        arguments = network_arguments(network.name, network.subnet, network.gateway, self._space.labels)
        await in_thread(lambda: self._docker.create_network(**arguments))
        await self._make("etcd", self._etcd, f"exec etcd --data-dir /tmp/etcd {self._etcd_urls()}", {})
        await asyncio.gather(*(self._make_node(node) for node in self._nodes))
        await self._make_haproxy()
        await self._make_database(await self._await_leader())
        await self.await_whole()

    async def await_whole(self) -> None:
        """Return once a standby is in sync and clients are led to the primary. Raises ``TimeoutError``."""
        async with asyncio.timeout(_WHOLE_S):
            while not is_whole(await self._members()):  # noqa: ASYNC110  Patroni signals nothing
                await asyncio.sleep(0.2)
        await first_query(self.uri)

    async def switch_over(self) -> float:
        """Have ``patronictl`` switch over; return when that began (monotonic clock). Raises ``RuntimeError``."""
        node = self.container((await self._await_leader()).name)
        at = time.monotonic()
        said = await in_thread(self._patronictl_switchover, node)
        if said:
            raise RuntimeError(f"patronictl did not switch over: {said.strip().splitlines()[-1]}")
        return at

    async def kill_postmaster(self) -> float:
        """Kill the primary's postmaster; return when that was (monotonic clock)."""
        processes = await self._processes((await self._await_leader()).name)
        at = time.monotonic()
        os.kill(postmaster(processes), signal.SIGKILL)
        return at

    async def lose_node(self) -> float:
        """Kill every process of the primary's node; return when that was (monotonic clock)."""
        self._lost = (await self._await_leader()).name
        processes = await self._processes(self._lost)
        at = time.monotonic()
        for pid in processes_of_node(processes):
            with suppress(ProcessLookupError):  # a backend whose client left
                os.kill(pid, signal.SIGKILL)
        return at

    async def start_lost_node(self) -> None:
        """Start what :meth:`lose_node` ended."""
        assert self._lost is not None
        await in_thread(lambda: self._docker.restart(self.container(str(self._lost)), timeout=0))

    async def _processes(self, node: str) -> list[list[str]]:
        return (await in_thread(lambda: self._docker.top(self.container(node), "-o pid,args")))["Processes"]

    # --- what it is made of ---------------------------------------------------------------------------------------

    async def _make_node(self, node: str) -> None:
        await in_thread(lambda: self._docker.create_volume(self.container(node), labels=self._space.labels))
        address, setting = self._nodes[node], self._setting
        userlist = f'"{settings.USER}" "{self._passwords[settings.USER]}"\n'
        files = {
            _CONFIG: settings.patroni_json(node, address, self._etcd, setting, self._passwords),
            "/etc/pgbouncer/pgbouncer.ini": settings.pgbouncer_ini(setting),
            "/etc/pgbouncer/userlist.txt": userlist,
        }
        mounts = (Mount(volume=self.container(node), path=VOLUME_PATH),)
        await self._make(node, address, _NODE, files, mounts=mounts)

    async def _make_haproxy(self) -> None:
        path = "/etc/haproxy/haproxy.cfg"
        port = PublishedPort(container_port=settings.HAPROXY_PORT, address="127.0.0.1", port=self._port)
        files = {path: settings.haproxy_cfg(self._nodes, self._setting)}
        address = endpoint_address(self._network)
        await self._make("haproxy", address, f"exec haproxy -db -f {path}", files, ports=(port,))

    async def _make(self, name: str, address: str, script: str, files: dict[str, str], **more: Any) -> None:
        spec = ContainerSpec(
            name=self.container(name),
            image=self._image,
            command=("tini", "--", "bash", "-c", script),
            labels=self._space.labels,
            network=self._network.name,
            address=address,
            shm_mb=256,
            **more,
        )
        contents = {
            path: File(content=text.encode(), mode=0o600, uid=_POSTGRES_ID, gid=_POSTGRES_ID)
            for path, text in files.items()
        }
        await in_thread(lambda: make_container(self._docker, spec, contents))

    def _etcd_urls(self) -> str:
        here = f"http://{self._etcd}:{settings.ETCD_PORT}"
        return f"--listen-client-urls {here} --advertise-client-urls {here}"

    async def _make_database(self, primary: Member) -> None:
        connection = await psycopg.AsyncConnection.connect(
            host=self._nodes[primary.name],
            user=settings.SUPERUSER,
            password=self._passwords[settings.SUPERUSER],
            dbname="postgres",
            autocommit=True,
        )
        role, password = sql.Identifier(settings.USER), sql.Literal(self._passwords[settings.USER])
        async with connection:
            await connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
            database = sql.Identifier(settings.DATABASE)
            await connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))

    # --- asking Patroni -------------------------------------------------------------------------------------------

    async def _await_leader(self) -> Member:
        async with asyncio.timeout(_WHOLE_S):
            while (found := leader(await self._members())) is None:  # noqa: ASYNC110  as above
                await asyncio.sleep(0.2)
        return found

    async def _members(self) -> tuple[Member, ...]:
        """Return the members as the first agent that answers knows them; none while none answers."""
        for address in self._nodes.values():
            try:
                return parse_members(await in_thread(_get, f"http://{address}:{settings.REST_PORT}/cluster"))
            except (OSError, http.client.HTTPException, ValueError):
                continue
        return ()

    def _patronictl_switchover(self, container: str) -> str:
        """Return what it said where it failed."""
        command = ["/opt/patroni/bin/patronictl", "-c", _CONFIG, "switchover", "--force"]
        made = self._docker.exec_create(container, command)
        said = self._docker.exec_start(made).decode(errors="replace")
        return said if self._docker.exec_inspect(made)["ExitCode"] else ""


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=2) as answer:
        return answer.read().decode()


@asynccontextmanager
async def patroni_cluster(workspace: Workspace, image: str, setting: Setting) -> AsyncGenerator[PatroniCluster]:
    """Lend a cluster that is whole, and remove it afterwards."""
    cluster = PatroniCluster(workspace, image, setting)
    try:
        await cluster.create()
        yield cluster
    finally:
        await workspace.remove(f"mpgbench-{cluster.id}")
