"""A primary with the role system, and its standby, which is started when a test first asks for it."""

from collections.abc import AsyncGenerator, Generator
from uuid import uuid4

import docker
import pytest
from docker.models.networks import Network as DockerNetwork
from postgres_servers import (
    ANN,
    BOB,
    CLUSTER_ID,
    CONF,
    LIMIT,
    MASTER_KEY,
    RITA,
    WILL,
    Effects,
    Server,
    await_answer,
    start,
)

from activities.sql import SqlSessions
from model.cluster import Database, Role, User
from model.effects import SetUpRolesInput
from model.names import DEFAULT_DATABASE, DEFAULT_USER, REPLICATOR, SUPERUSER
from model.secrets import derive_password


@pytest.fixture(scope="session")
def sql_network() -> Generator[DockerNetwork]:
    client = docker.from_env()
    network = client.networks.create(f"sqltests-{uuid4().hex[:8]}", labels={"mpg.test": "true"})
    yield network
    network.remove()


@pytest.fixture(scope="session")
def primary_server(sql_network: DockerNetwork) -> Generator[Server]:
    files = {"bootstrap-password": derive_password(MASTER_KEY, CLUSTER_ID, SUPERUSER)}
    server = start(sql_network, "a", ["node", "init"], files, {}, {})
    yield server
    server.container.remove(force=True, v=True)


@pytest.fixture(scope="session")
async def effects(primary_server: Server) -> AsyncGenerator[Effects]:
    """The activities on a primary that has the role system, the default user and the default database."""
    sql = SqlSessions(MASTER_KEY)
    made = Effects(primary_server, sql)
    await await_answer(primary_server)
    await made.system.set_up_roles(
        SetUpRolesInput(
            target=primary_server.target,
            users=(User(name=DEFAULT_USER, role=Role.SCHEMA_ADMIN),),
            databases=(Database(name=DEFAULT_DATABASE),),
            connection_limit=LIMIT,
        )
    )
    yield made
    await sql.close()


@pytest.fixture(scope="session")
async def standby(sql_network: DockerNetwork, effects: Effects) -> AsyncGenerator[Server]:
    primary = effects.server
    files = {"pgpass": f"*:*:*:{REPLICATOR}:{derive_password(MASTER_KEY, CLUSTER_ID, REPLICATOR)}\n"}
    conninfo = f"host={primary.address} user={REPLICATOR} application_name=b passfile={CONF}/pgpass"
    environment = {"PRIMARY_HOST": primary.address, "PRIMARY_USER": REPLICATOR}
    server = start(sql_network, "b", ["node", "clone"], files, environment, {"primary_conninfo": conninfo})
    await await_answer(server)
    yield server
    server.container.remove(force=True, v=True)


@pytest.fixture(scope="session")
async def people(effects: Effects) -> Effects:
    """Two schema admins, a writer, a reader, and a table of the first admin's with a row in it."""
    for name, role in ((ANN, Role.SCHEMA_ADMIN), (BOB, Role.SCHEMA_ADMIN), (WILL, Role.WRITER), (RITA, Role.READER)):
        await effects.make_user(name, role)
    await effects.server.run(ANN, "CREATE TABLE notes (id serial PRIMARY KEY, text text)")
    await effects.server.run(ANN, "INSERT INTO notes (text) VALUES ('first')")
    return effects
