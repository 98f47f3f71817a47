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
    IMAGE,
    MASTER_KEY,
    RITA,
    WILL,
    Effects,
    Server,
    await_answer,
    effects_on,
    start,
    start_primary,
)

from model.cluster import Role
from model.names import REPLICATOR
from model.secrets import derive_password


@pytest.fixture(scope="session")
def sql_network() -> Generator[DockerNetwork]:
    client = docker.from_env()
    network = client.networks.create(f"sqltests-{uuid4().hex[:8]}", labels={"mpg.test": "true"})
    yield network
    network.remove()


@pytest.fixture(scope="session")
def primary_server(sql_network: DockerNetwork) -> Generator[Server]:
    server = start_primary(sql_network, "a", IMAGE)
    yield server
    server.container.remove(force=True, v=True)


@pytest.fixture(scope="session")
async def effects(primary_server: Server) -> AsyncGenerator[Effects]:
    """The activities on a primary that has the role system, the default user and the default database."""
    async with effects_on(primary_server) as made:
        yield made


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
