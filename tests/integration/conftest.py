"""Lends the activities, and clusters that are removed afterwards."""

import os
import secrets
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from rig import TEST_LABEL, Rig, TestCluster, make_cluster, new_cluster_id

from activities.engine.docker_engine import DockerEngine
from model.effects import RemoveClusterInput
from model.settings import Settings, load_settings

PARTS = 8
PORTS_EACH = 100


@pytest.fixture(scope="session")
def master_key() -> bytes:
    """Return a key of these tests' own."""
    return secrets.token_bytes(32)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return settings whose pools of addresses and ports are not those of a stack on the same machine.

    Nor those of another process of the same run: each pytest-xdist worker (``gw0``, ``gw1``, …) has a part.
    """
    part = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PARTS
    first = 31000 + part * PORTS_EACH
    return load_settings(
        home=tmp_path_factory.mktemp("home"),
        subnet_pool=f"10.217.{16 * part}.0/20",
        port_range=(first, first + PORTS_EACH - 1),
        allow_overcommit=True,
        allow_storage_overcommit=True,
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def docker() -> AsyncGenerator[DockerEngine]:
    """Lend an engine that labels what it makes as a test's."""
    engine = DockerEngine(extra_labels=TEST_LABEL)
    yield engine
    await engine.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rig(docker: DockerEngine, settings: Settings, master_key: bytes) -> AsyncGenerator[Rig]:
    """Lend the activities."""
    made = Rig(docker, settings, master_key)
    yield made
    await made.sql.close()


@pytest_asyncio.fixture
async def cluster_id(rig: Rig) -> AsyncGenerator[str]:
    """Return a new cluster's id; whatever carries it is removed afterwards."""
    made = new_cluster_id()
    yield made
    await rig.cleanup.remove_cluster(RemoveClusterInput(cluster_id=made))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(rig: Rig) -> AsyncGenerator[TestCluster]:
    """Lend a cluster of two nodes and two poolers in transaction mode, one for all tests of a module."""
    made = new_cluster_id()
    try:
        yield await make_cluster(rig, made)
    finally:
        await rig.cleanup.remove_cluster(RemoveClusterInput(cluster_id=made))
