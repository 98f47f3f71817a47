"""The floor's cluster: the same containers, files and SQL as the product's, made by a script as fast as it goes."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from activities.engine.docker_calls import network_arguments
from activities.engine.docker_types import ContainerSpec, File, Mount, PublishedPort
from activities.nodes.archiving import node_repository_files
from activities.nodes.files import CONF_DIR, node_files
from activities.nodes.repository_conf import RepositoryKeys, repository_environment
from activities.postgres import statements
from activities.postgres.databases import put_database
from activities.postgres.roles import put_user
from activities.routing.pooler_files import limits_by_pooler, pooler_files
from activities.routing.rules import RULES_FILE, Rules, render_rules
from bench.containers import make_container
from bench.floor_scripts import CLONE, INIT, REWIND, REWIND_FILE, RUN
from bench.workspace import Connection, Workspace, await_rows, await_streaming, first_query, in_thread
from model.addresses import endpoint_address, node_address
from model.backups import Repository, RepositoryKind
from model.cluster import NodeRole, Pooler, PoolMode, Role, User
from model.effects import Bootstrap, NodeSpec
from model.names import (
    DEFAULT_DATABASE,
    DEFAULT_USER,
    NODES,
    POOLER_USER,
    REPLICATOR,
    REPOSITORY_PATH,
    SUPERUSER,
    VOLUME_PATH,
)
from model.plans import DEFAULT_PLANS, Plan, Resources
from model.poolers import plan_generation
from model.secrets import derive_password, key_id, scram_verifier
from model.tuning import connection_limit
from starter.client.submission import new_cluster_id

PLAN = DEFAULT_PLANS["basic"]


class FloorCluster:
    """Two nodes, an endpoint and two poolers, on plan ``basic`` at first. Commits wait for the replica.

    WAL is archived, as the product's is; a fast shutdown waits for that, as it does by itself.
    """

    def __init__(self, workspace: Workspace, pool_mode: PoolMode = PoolMode.TRANSACTION) -> None:
        """Choose names and addresses; nothing is made yet."""
        self.id = new_cluster_id()
        self.key = secrets.token_bytes(32)
        self.space = workspace
        self.docker: Any = workspace.docker
        self.network = workspace.free_network(f"mpgbench-{self.id}")
        self.poolers: tuple[Pooler, ...] = plan_generation(self.id, 1, pool_mode, ())
        self.pooled_port, self.direct_port = workspace.free_port(), workspace.free_port()
        self.primary, self.replica = NODES
        self.plan: Plan = PLAN
        self.first_query_s = self.streaming_s = 0.0
        self._roles_are_there, self._way_in_is_there = asyncio.Event(), asyncio.Event()

    # --- creation -------------------------------------------------------------------------------------------------

    async def create(self) -> None:
        """Make it; sets ``first_query_s`` and ``streaming_s``, counted from nothing."""
        begun = time.perf_counter()
        arguments = network_arguments(self.network.name, self.network.subnet, self.network.gateway, self.space.labels)
        await self._call(lambda docker: docker.create_network(**arguments))
        await self._call(lambda docker: docker.create_volume(self.container("backups"), labels=self.space.labels))
        await asyncio.gather(
            self._make_primary(begun), self._make_node(self.replica), self._make_way_in(), self._await_query(begun)
        )

    async def _make_primary(self, begun: float) -> None:
        await self._make_node(self.primary)
        async with await self.connect(self.primary, wait_s=30) as connection:
            await self._set_up_roles(connection)
            self._roles_are_there.set()
            await await_streaming(connection)
            self.streaming_s = time.perf_counter() - begun
            await self.set_synchronous(connection, self.replica)

    async def _make_node(self, name: str) -> None:
        await self._call(lambda docker: docker.create_volume(self.container(name), labels=self.space.labels))
        bootstrap = Bootstrap.INIT if name == NODES[0] else Bootstrap.CLONE
        spec = self.node_spec(name)
        archiving = node_repository_files(spec, RepositoryKeys(master_key=self.key), CONF_DIR)
        await self.make_node(name, node_files(spec, self.key, bootstrap) | archiving)

    async def make_node(self, name: str, files: Mapping[str, File]) -> None:
        """Make and start the container of a node on its volume, with the cluster's plan."""
        spec = self.node_spec(name)
        container = ContainerSpec(
            name=self.container(name),
            image=spec.image,
            command=("bash", "-c", REWIND + (INIT if name == NODES[0] else CLONE) + RUN),
            labels=self.space.labels,
            environment={"PRIMARY_HOST": spec.primary_address or "", **repository_environment(self.id, CONF_DIR)},
            network=self.network.name,
            address=self.address(name),
            mounts=(
                Mount(volume=self.container(name), path=VOLUME_PATH),
                Mount(volume=self.container("backups"), path=REPOSITORY_PATH),
            ),
            memory_mb=spec.resources.memory_mb,
            cpus=spec.resources.cpus,
            shm_mb=256,
            stop_signal="SIGINT",
        )
        await self._make(container, files)

    async def _make_way_in(self) -> None:
        rules = render_rules(self.rules(direct=self.address(self.primary)))
        endpoint = ContainerSpec(
            name=self.container("endpoint"),
            image=self.space.image,
            command=("endpoint",),
            labels=self.space.labels,
            network=self.network.name,
            address=endpoint_address(self.network),
            ports=(
                PublishedPort(container_port=6432, address="127.0.0.1", port=self.pooled_port),
                PublishedPort(container_port=5432, address="127.0.0.1", port=self.direct_port),
            ),
            capabilities=("NET_ADMIN",),
            sysctls={"net.ipv4.ip_forward": "1"},
        )
        await self._make(endpoint, {RULES_FILE: File(content=rules.encode())}, root=True)
        await asyncio.gather(*(self.make_pooler(pooler) for pooler in self.poolers))
        self._way_in_is_there.set()

    async def make_pooler(self, pooler: Pooler) -> None:
        """Make and start a pooler in the endpoint's network namespace."""
        container = ContainerSpec(
            name=self.container(pooler.name),
            image=self.space.image,
            command=("pooler",),
            labels=self.space.labels,
            join=self.container("endpoint"),
        )
        await self._make(container, self.pooler_files(pooler, self.primary))

    async def _make(self, container: ContainerSpec, files: Mapping[str, File], *, root: bool = False) -> None:
        await self._call(lambda docker: make_container(docker, container, files, root=root))

    async def _await_query(self, begun: float) -> None:
        # A query before that would make PgBouncer hold back its next attempt for server_login_retry.
        await asyncio.gather(self._roles_are_there.wait(), self._way_in_is_there.wait())
        await first_query(self.uri())
        self.first_query_s = time.perf_counter() - begun

    async def _set_up_roles(self, connection: Connection) -> None:
        def verifier(role: str) -> str:
            return scram_verifier(self.key, self.id, role)

        platform = [
            statements.put_platform_role(role, verifier(role), exists=False) for role in (REPLICATOR, POOLER_USER)
        ]
        groups = [statements.create_group(role) for role in Role]
        await connection.execute(statements.script(*platform, *groups, statements.CLOSE_PLATFORM_DATABASES))
        async with await self.connect(self.primary, database="template1") as template:
            await template.execute(statements.prepare_database())
        await await_rows(
            connection, "SELECT WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'template1')"
        )
        user = User(name=DEFAULT_USER, role=Role.SCHEMA_ADMIN)
        async with connection.transaction():
            await put_user(connection, user, connection_limit(PLAN), verifier(DEFAULT_USER))
        await put_database(connection, DEFAULT_DATABASE)

    # --- what it is made of ---------------------------------------------------------------------------------------

    def container(self, name: str) -> str:
        """Name of a container, and of a node's volume."""
        return f"mpgbench-{self.id}-{name}"

    def address(self, node: str) -> str:
        """Address of *node* in the network."""
        return node_address(self.network, node)

    def pid(self, node: str) -> int:
        """Process id of *node*'s postmaster, as this machine numbers it."""
        return int(self.docker.inspect_container(self.container(node))["State"]["Pid"])

    def node_spec(self, name: str, *, role: NodeRole | None = None) -> NodeSpec:
        """What a node is made from; the other one is whom it follows."""
        is_primary = name == self.primary if role is None else role is NodeRole.PRIMARY
        other = next(node for node in NODES if node != name)
        return NodeSpec(
            cluster_id=self.id,
            cluster_name="floor",
            name=name,
            role=NodeRole.PRIMARY if is_primary else NodeRole.REPLICA,
            plan=self.plan.name,
            resources=Resources(cpus=min(self.plan.cpus, self.space.cpus), memory_mb=self.plan.memory_mb),
            image=self.space.image,
            network=self.network,
            primary_address=None if is_primary else self.address(other),
            repository=Repository(kind=RepositoryKind.VOLUME, key_id=key_id(self.key)),
        )

    def rules(self, *, direct: str | None) -> Rules:
        """The endpoint's rules."""
        ports = tuple(pooler.port for pooler in self.poolers)
        return Rules(pooler_ports=ports, direct=direct, gateway=self.network.gateway)

    def pooler_files(self, pooler: Pooler, primary: str) -> dict[str, File]:
        """The files of a pooler that leads to *primary*."""
        limits = limits_by_pooler(self.plan, self.poolers)[pooler.name]
        return pooler_files(self.id, pooler, self.poolers, limits, self.address(primary), self.key)

    def uri(self, *, pooled: bool = True) -> str:
        """How clients connect."""
        password = derive_password(self.key, self.id, DEFAULT_USER)
        port = self.pooled_port if pooled else self.direct_port
        return f"postgresql://{DEFAULT_USER}:{password}@127.0.0.1:{port}/{DEFAULT_DATABASE}"

    async def connect(self, node: str, *, database: str = "postgres", wait_s: float = 0) -> Connection:
        """Connect to *node* as superuser, trying for *wait_s* seconds."""
        deadline = time.monotonic() + wait_s
        while True:
            try:
                return await psycopg.AsyncConnection.connect(
                    host=self.address(node),
                    user=SUPERUSER,
                    password=derive_password(self.key, self.id, SUPERUSER),
                    dbname=database,
                    autocommit=True,
                    connect_timeout=3,
                )
            except psycopg.OperationalError:
                if time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(0.01)

    def rewind_files(self, source: str) -> dict[str, File]:
        """What a node's volume needs so that its next start rewinds it to the node *source* first."""
        return {REWIND_FILE: File(content=self.address(source).encode())}

    async def set_synchronous(self, connection: Connection, standby: str) -> None:
        """Make commits on *connection*'s node wait for *standby*."""
        await connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 ({standby})'".encode())
        await connection.execute("SELECT pg_reload_conf()")

    async def _call(self, call: Callable[[Any], Any]) -> Any:
        return await in_thread(call, self.docker)


@asynccontextmanager
async def floor_cluster(
    workspace: Workspace, pool_mode: PoolMode = PoolMode.TRANSACTION
) -> AsyncGenerator[FloorCluster]:
    """Lend a floor's cluster and remove it afterwards."""
    cluster = FloorCluster(workspace, pool_mode)
    try:
        await cluster.create()
        yield cluster
    finally:
        await workspace.remove(f"mpgbench-{cluster.id}")
