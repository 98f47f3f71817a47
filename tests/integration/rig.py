"""A cluster on real Docker, made by calling the activities directly."""

import asyncio
import ipaddress
import secrets
import string
import time
from collections.abc import Awaitable, Callable

from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier, Literal

from activities.engine.cleanup import CleanupActivities
from activities.engine.disk_promises import DiskPromises
from activities.engine.docker_engine import DockerEngine
from activities.engine.hosts import HostActivities
from activities.fencing import OperationFences
from activities.nodes.lifecycle import NodeActivities
from activities.nodes.repository_conf import RepositoryKeys
from activities.postgres.sql import SqlSessions
from activities.postgres.statements import put_platform_role, user_lookup
from activities.recovery.cluster_recovery import RecoveryActivities
from activities.routing.allow_list import AllowListActivities
from activities.routing.durability_note import DurabilityActivities
from activities.routing.endpoint import EndpointActivities
from activities.routing.pooler_console import Console
from activities.routing.poolers import PoolerActivities
from activities.routing.tls import TlsActivities
from activities.takeover_lock import TakeoverLocks
from model.authority import Authority
from model.base import Record
from model.cluster import Address, Endpoint, Network, Node, NodeRole, Pooler, PoolMode, Tls
from model.disk import Promise
from model.effects import (
    Bootstrap,
    CheckHostInput,
    ClusterKey,
    CreateEndpointInput,
    CreatePoolersInput,
    EnsureNodeInput,
    NodeSpec,
    RouteInput,
    Target,
)
from model.names import POOLER_USER, node_container
from model.plans import DEFAULT_PLANS, Plan, Resources
from model.secrets import derive_password, scram_verifier
from model.settings import Settings

TEST_LABEL = {"mpg.test": "true"}
"""On everything that tests make, so that what a killed run left can be found."""
USER = "tester"
DATABASE = "testing"
PLAN = DEFAULT_PLANS["basic"].model_copy(update={"memory_mb": 512})


def new_cluster_id() -> str:
    """Return a cluster id that no other test has."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(16))


class Promised(DiskPromises):
    """The promises to these clusters, and to no others: those of the rig are on no record."""

    def __init__(self, *promises: Promise) -> None:
        self._promises = list(promises)

    async def all(self) -> list[Promise]:
        return self._promises

    def note(self, promise: Promise) -> None:
        self._promises.append(promise)


class Rig:
    """The activities and what they work with."""

    def __init__(self, docker: DockerEngine, settings: Settings, master_key: bytes) -> None:
        self.docker = docker
        self.settings = settings
        self.master_key = master_key
        self.sql = SqlSessions(master_key)
        self.hosts = HostActivities(docker, settings, master_key, Promised())
        self.endpoints = EndpointActivities(docker, settings)
        self.keys = RepositoryKeys.of(settings, master_key)
        self.authority = Authority(settings)
        self.nodes = NodeActivities(docker, self.sql, self.keys, self.authority)
        self.poolers = PoolerActivities(docker, master_key, settings.pooler_drain_seconds, self.authority)
        self.allow_lists = AllowListActivities(docker)
        self.durability = DurabilityActivities(docker)
        self.tls = TlsActivities(docker, master_key, self.authority)
        self.cleanup = CleanupActivities(docker, OperationFences(settings.fences_dir))
        fences, takeovers = OperationFences(settings.fences_dir), TakeoverLocks(settings.fences_dir)
        self.observer = RecoveryActivities(docker, self.sql, self.keys, fences, takeovers, self.authority)

    async def stop_node(self, cluster_id: str, name: str) -> None:
        """Stop a node cleanly; its container stays."""
        await self.docker.stop(node_container(cluster_id, name))


class TestCluster(Record):
    """What a cluster made for tests is."""

    __test__ = False
    id: str
    network: Network
    endpoint: Endpoint
    a: Node
    b: Node | None
    poolers: tuple[Pooler, ...]
    image: str
    password: str

    @property
    def target(self) -> Target:
        """Node ``a``, the primary at first."""
        return Target.of(self.id, self.a)

    @property
    def routes(self) -> RouteInput:
        """How its creation leads clients."""
        return RouteInput(
            cluster_id=self.id,
            pooler_ports=tuple(pooler.port for pooler in self.poolers),
            direct=self.a.address,
            read_only=self.b.address if self.b else None,
        )

    def conninfo(self, address: Address, user: str = USER, database: str = DATABASE) -> str:
        """Return how a client connects at *address*."""
        return make_conninfo(
            host=address.host,
            port=address.port,
            user=user,
            password=self.password,
            dbname=database,
            connect_timeout=5,
        )


def node_spec(
    cluster_id: str,
    network: Network,
    image: str,
    name: str = "a",
    *,
    follows: str | None = None,
    plan: Plan = PLAN,
    tls: Tls = Tls.OFFERED,
) -> NodeSpec:
    """Return the spec of a node; with *follows* a replica of that address."""
    return NodeSpec(
        cluster_id=cluster_id,
        cluster_name="test",
        name=name,
        role=NodeRole.PRIMARY if follows is None else NodeRole.REPLICA,
        plan=plan.name,
        resources=Resources(cpus=min(plan.cpus, 2), memory_mb=plan.memory_mb),
        image=image,
        network=network,
        primary_address=follows,
        tls=tls,
    )


async def make_cluster(rig: Rig, cluster_id: str, *, replica: bool = True, tls: Tls = Tls.OFFERED) -> TestCluster:
    """Make a cluster as its creation does: containers in parallel, the replica's base backup beside the roles."""
    check = await rig.hosts.check_host(CheckHostInput(plan="basic", pg_major_version=17))
    network = await rig.endpoints.create_network(ClusterKey(cluster_id=cluster_id))
    a = node_spec(cluster_id, network, check.image, tls=tls)
    b = node_spec(cluster_id, network, check.image, "b", follows=network_address(network, 3), tls=tls)

    async def front() -> tuple[Endpoint, tuple[Pooler, ...]]:
        endpoint = await rig.endpoints.create_endpoint(
            CreateEndpointInput(cluster_id=cluster_id, cluster_name="test", network=network, image=check.image)
        )
        return endpoint, await make_poolers(
            rig, cluster_id, endpoint, check.image, network_address(network, 3), tls=tls
        )

    async def back() -> Node:
        node = await rig.nodes.ensure_node(EnsureNodeInput(spec=a, bootstrap=Bootstrap.INIT))
        await make_roles(rig, Target.of(cluster_id, node))
        return node

    async def standby() -> Node | None:
        return await rig.nodes.ensure_node(EnsureNodeInput(spec=b, bootstrap=Bootstrap.CLONE)) if replica else None

    (endpoint, poolers), node_a, node_b = await asyncio.gather(front(), back(), standby())
    made = TestCluster(
        id=cluster_id,
        network=network,
        endpoint=endpoint,
        a=node_a,
        b=node_b,
        poolers=poolers,
        image=check.image,
        password=derive_password(rig.master_key, cluster_id, USER),
    )
    await rig.endpoints.set_routes(made.routes)
    return made


async def make_poolers(
    rig: Rig,
    cluster_id: str,
    endpoint: Endpoint,
    image: str,
    primary_address: str,
    *,
    generation: int = 1,
    pool_mode: PoolMode = PoolMode.TRANSACTION,
    living: tuple[Pooler, ...] = (),
    tls: Tls = Tls.OFFERED,
) -> tuple[Pooler, ...]:
    """Make a generation of poolers."""
    made = await rig.poolers.create_poolers(
        CreatePoolersInput(
            cluster_id=cluster_id,
            cluster_name="test",
            endpoint=endpoint,
            image=image,
            generation=generation,
            pool_mode=pool_mode,
            plan=PLAN,
            primary_address=primary_address,
            living=living,
            tls=tls,
        )
    )
    return made.poolers


async def make_roles(rig: Rig, target: Target) -> None:
    """Make a user, a database, and what PgBouncer looks users up by: the least that a client needs."""
    async with rig.sql.use(target) as connection:
        verifier = scram_verifier(rig.master_key, target.cluster_id, POOLER_USER)
        await connection.execute(put_platform_role(POOLER_USER, verifier, exists=False))
        password = scram_verifier(rig.master_key, target.cluster_id, USER)
        make_user = SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(Identifier(USER), Literal(password))
        await connection.execute(make_user)
        await connection.execute(SQL("CREATE DATABASE {} OWNER {}").format(Identifier(DATABASE), Identifier(USER)))
    async with rig.sql.use(target, DATABASE) as connection:
        await connection.execute(user_lookup())


async def cut_off(rig: Rig, cluster: TestCluster) -> None:
    """Have every pooler hold its clients, and no rule lead to it: as an operation that was lost leaves them."""
    for pooler in cluster.poolers:
        console = await Console.open(
            cluster.endpoint.address, pooler.port, master_key=rig.master_key, cluster_id=cluster.id
        )
        await console.pause()
        await console.close()
    await rig.endpoints.set_routes(RouteInput(cluster_id=cluster.id, pooler_ports=(), direct=None, read_only=None))


def network_address(network: Network, number: int) -> str:
    """Return the *number*-th address of a network."""
    return str(ipaddress.ip_network(network.subnet)[number])


async def until(condition: Callable[[], Awaitable[bool]], *, timeout_s: float = 15, what: str = "it") -> None:
    """Return when *condition* holds; fail after *timeout_s* seconds."""
    end = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < end, f"{what} did not happen in {timeout_s} s"
        await asyncio.sleep(0.05)
