"""Postgres servers in containers of the node image, for tests of what SQL does, and the activities on them.

Servers log every statement, so that tests can look for what must not be there.
"""

import asyncio
import io
import os
import tarfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import docker
import psycopg
from docker.models.containers import Container
from docker.models.networks import Network as DockerNetwork
from psycopg.errors import InsufficientPrivilege

from activities.nodes.replication import ReplicationActivities
from activities.postgres.databases import DatabaseActivities
from activities.postgres.extensions import ExtensionActivities
from activities.postgres.queries import QueryActivities
from activities.postgres.role_system import RoleSystemActivities
from activities.postgres.roles import RoleActivities
from activities.postgres.sql import Connection, SqlSessions
from activities.postgres.statement_plans import PlanActivities
from activities.routing.pooled_sessions import PooledSessions
from activities.routing.pooler_files import pgbouncer_ini, pooler_limits, userlist
from model.cluster import (
    Address,
    ClusterSpec,
    Database,
    Endpoint,
    Node,
    NodePhase,
    NodeRole,
    Pooler,
    PoolerPhase,
    PoolMode,
    Role,
    User,
)
from model.effects import DatabaseInput, DropUserInput, EnableExtensionInput, SetUpRolesInput, Target, UserInput
from model.names import DEFAULT_DATABASE, DEFAULT_USER, POSTGRES_PORT, REPLICATOR, SUPERUSER
from model.plans import DEFAULT_PLANS, Resources
from model.secrets import derive_password
from model.tuning import postgres_settings

MASTER_KEY = b"k" * 32
CLUSTER_ID = "sqltests00000000"
LIMIT = 20
ANN, BOB, WILL, RITA = "ann", "bob", "will", "rita"
IMAGE = os.environ.get("MPG_TEST_NODE_IMAGE", "mpg-node:17")
CONF = "/var/lib/postgresql/conf"
_HBA = f"host replication {REPLICATOR} all scram-sha-256\nhost all all all scram-sha-256\n"


@dataclass
class Server:
    """One Postgres in a container."""

    container: Container
    address: str
    name: str
    passwords: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def target(self) -> Target:
        return Target(cluster_id=CLUSTER_ID, address=self.address)

    def password(self, user: str) -> str:
        return derive_password(MASTER_KEY, CLUSTER_ID, user, self.passwords.get(user, 1))

    async def connect(
        self, user: str = SUPERUSER, database: str = DEFAULT_DATABASE, through: Address | None = None
    ) -> Connection:
        """Connect as *user*, to the server itself or *through* a pooler."""
        return await psycopg.AsyncConnection.connect(
            host=through.host if through else self.address,
            port=through.port if through else POSTGRES_PORT,
            user=user,
            password=self.password(user),
            dbname=database,
            autocommit=True,
        )

    async def run(self, user: str, statement: str, database: str = DEFAULT_DATABASE) -> list[tuple[object, ...]]:
        """Run one statement as *user* in a session of its own."""
        async with await self.connect(user, database) as connection:
            cursor = await connection.execute(statement.encode())
            return await cursor.fetchall() if cursor.description else []

    def log(self) -> str:
        return self.container.logs().decode(errors="replace")

    def node(self, role: NodeRole) -> Node:
        return Node(
            name=self.name,
            role=role,
            phase=NodePhase.RUNNING,
            container=str(self.container.name),
            address=self.address,
            plan="basic",
            cpus=1,
            memory_mb=512,
        )


@dataclass
class Effects:
    """The activities, and short ways to call the ones that every test needs."""

    server: Server
    sql: SqlSessions

    def __post_init__(self) -> None:
        self.system = RoleSystemActivities(self.sql, MASTER_KEY)
        self.roles = RoleActivities(self.sql, MASTER_KEY)
        self.databases = DatabaseActivities(self.sql, PooledSessions(MASTER_KEY))
        self.extensions = ExtensionActivities(self.sql)
        self.queries = QueryActivities(self.sql)
        self.plans = PlanActivities(self.sql)
        self.replication = ReplicationActivities(self.sql)

    def user_input(self, name: str, role: Role, version: int = 1) -> UserInput:
        user = User(name=name, role=role, password_version=version)
        return UserInput(target=self.server.target, user=user, connection_limit=LIMIT)

    async def make_user(self, name: str, role: Role) -> str:
        await self.roles.create_user(self.user_input(name, role))
        return name

    async def enable(self, name: str, database: str, schema: str | None = None, *, create: bool = False) -> None:
        """Enable the extension *name*; with *create* its schema is made."""
        await self.extensions.enable_extension(
            EnableExtensionInput(
                target=self.server.target,
                database=database,
                extension=name,
                schema_name=schema,
                create_schema_if_needed=create,
            )
        )

    async def make_database(self, name: str) -> str:
        database = Database(name=name)
        await self.databases.create_database(DatabaseInput(target=self.server.target, database=database))
        return name


def start(
    network: DockerNetwork,
    name: str,
    command: list[str],
    files: dict[str, str],
    environment: dict[str, str],
    settings: dict[str, str],
    image: str = IMAGE,
) -> Server:
    client = docker.from_env()
    container = client.containers.create(
        image,
        command,
        name=f"{network.name}-{name}",
        network=str(network.name),
        environment=environment,
        labels={"mpg.test": "true"},
    )
    configuration = {f"conf/{path}": text for path, text in (files | _configuration(settings)).items()}
    container.put_archive("/var/lib/postgresql", _archive(configuration))
    container.start()
    return Server(container, _address(container, network), name)


def start_primary(network: DockerNetwork, name: str, image: str) -> Server:
    files = {"bootstrap-password": derive_password(MASTER_KEY, CLUSTER_ID, SUPERUSER)}
    return start(network, name, ["node", "init"], files, {}, {}, image)


@asynccontextmanager
async def effects_on(server: Server) -> AsyncGenerator[Effects]:
    """Lend the activities on *server*, set up as a creation does."""
    sql = SqlSessions(MASTER_KEY)
    made = Effects(server, sql)
    await await_answer(server)
    await made.system.set_up_roles(
        SetUpRolesInput(
            target=server.target,
            users=(User(name=DEFAULT_USER, role=Role.SCHEMA_ADMIN),),
            databases=(Database(name=DEFAULT_DATABASE),),
            connection_limit=LIMIT,
        )
    )
    yield made
    await sql.close()


def start_pooler(network: DockerNetwork, primary: Server, pool_mode: PoolMode) -> tuple[Container, Endpoint, Pooler]:
    """Start one PgBouncer with an address of its own, which stands for the endpoint's."""
    pooler = Pooler(
        name="pooler-1-1",
        container=f"{network.name}-pooler",
        generation=1,
        port=6441,
        peer_id=1,
        phase=PoolerPhase.RUNNING,
        pool_mode=pool_mode,
    )
    limits = pooler_limits(DEFAULT_PLANS["basic"], 0, 1)
    files = {
        "pgbouncer.ini": pgbouncer_ini(pooler, [pooler], limits, primary.address),
        "userlist.txt": userlist(CLUSTER_ID, MASTER_KEY),
    }
    container = docker.from_env().containers.create(
        IMAGE, ["pooler"], name=pooler.container, network=str(network.name), labels={"mpg.test": "true"}
    )
    container.put_archive("/etc/pgbouncer", _archive(files))
    container.start()
    address = _address(container, network)
    known = Address(host=address, port=pooler.port)
    return container, Endpoint(container="", address=address, pooled=known, direct=known, read_only=known), pooler


def _address(container: Container, network: DockerNetwork) -> str:
    container.reload()
    return container.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"]


def _configuration(extra: dict[str, str]) -> dict[str, str]:
    settings = postgres_settings(Resources(cpus=1, memory_mb=512)) | {
        "listen_addresses": "*",
        "log_statement": "all",
        "log_min_duration_statement": "0",
        "pg_stat_statements.track": "all",
        **extra,
    }
    lines = (f"{key} = '{value}'\n" for key, value in settings.items())
    return {"postgresql.conf": "".join(lines), "pg_hba.conf": _HBA}


def _archive(files: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content.encode()), 0o600
            tar.addfile(entry, io.BytesIO(content.encode()))
    return stream.getvalue()


async def await_answer(server: Server, timeout_s: float = 30) -> None:
    bound = time.monotonic() + timeout_s
    while True:
        try:
            await server.run(SUPERUSER, "SELECT 1", "postgres")
        except psycopg.OperationalError:
            if time.monotonic() > bound:
                raise AssertionError(f"Postgres did not answer:\n{server.log()[-2000:]}") from None
            await asyncio.sleep(0.05)
        else:
            return


OUTSIDE_TRANSACTIONS = ("CREATE DATABASE", "DROP DATABASE", "ALTER SYSTEM")


async def allowed(effects: Effects, user: str, statement: str, database: str = DEFAULT_DATABASE) -> bool:
    """Tell whether the user's rights let *statement* run; what can be in a transaction is rolled back."""
    async with await effects.server.connect(user, database) as connection:
        await connection.set_autocommit(statement.startswith(OUTSIDE_TRANSACTIONS))
        try:
            await connection.execute(statement.encode())
        except InsufficientPrivilege:
            return False
        finally:
            await connection.rollback()
        return True


async def drop(effects: Effects, name: str) -> None:
    await effects.roles.drop_user(DropUserInput(target=effects.server.target, username=name, role=Role.READER))


async def owner_of(effects: Effects, table: str, database: str = DEFAULT_DATABASE) -> str:
    query = f"SELECT tableowner::text FROM pg_tables WHERE tablename = '{table}'"
    return str((await effects.server.run("postgres", query, database))[0][0])


def cluster_spec(*users: User, databases: tuple[str, ...] = ()) -> ClusterSpec:
    """Return the spec of a cluster that these servers stand for, with *users* and *databases* beside the first ones."""
    return ClusterSpec(
        id=CLUSTER_ID,
        name="shop",
        org="personal",
        region="local",
        host="local",
        plan=DEFAULT_PLANS["basic"],
        users=(User(name=DEFAULT_USER, role=Role.SCHEMA_ADMIN), *users),
        databases=tuple(Database(name=name) for name in (DEFAULT_DATABASE, *databases)),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
