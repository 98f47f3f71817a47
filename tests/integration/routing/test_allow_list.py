"""Who may come in, on real Docker: from another container, whose address the endpoint sees, and from this host."""

import contextlib
import subprocess
from collections.abc import AsyncGenerator

import psycopg
import pytest
import pytest_asyncio
from rig import Rig, TestCluster, network_address, until

from activities.routing.access_file import read_access
from activities.routing.allow_list import refused_by
from model.effects import SetAllowListInput

pytestmark = pytest.mark.integration
STRANGER = 12


@pytest_asyncio.fixture(autouse=True)
async def open_again(rig: Rig, cluster: TestCluster) -> AsyncGenerator[None]:
    """Let everybody in afterwards."""
    yield
    await _allow(rig, cluster)


async def _allow(rig: Rig, cluster: TestCluster, *networks: str) -> None:
    await rig.allow_lists.set_allow_list(
        SetAllowListInput(cluster_id=cluster.id, endpoint=cluster.endpoint, network=cluster.network, networks=networks)
    )


def _stranger_gets_in(cluster: TestCluster, port: int) -> bool:
    """Tell whether a client in a container of its own, with an address of its own, is let in."""
    address = network_address(cluster.network, STRANGER)
    asked = f"host={cluster.endpoint.address} port={port} user=tester dbname=testing connect_timeout=5"
    command = ["docker", "run", "--rm", "--label", f"mpg.cluster={cluster.id}", "--network", cluster.network.name]
    command += ["--ip", address, "--env", f"PGPASSWORD={cluster.password}", "--entrypoint", "psql", cluster.image]
    return subprocess.run([*command, asked, "-c", "SELECT 1"], capture_output=True).returncode == 0


async def _host_gets_in(cluster: TestCluster) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        async with await psycopg.AsyncConnection.connect(cluster.conninfo(cluster.endpoint.pooled)):
            return True
    return False


async def test_only_networks_on_the_list_come_in_and_who_was_refused_is_named(rig: Rig, cluster: TestCluster) -> None:
    stranger = network_address(cluster.network, STRANGER)
    assert _stranger_gets_in(cluster, 6432)
    session = await psycopg.AsyncConnection.connect(cluster.conninfo(cluster.endpoint.pooled), autocommit=True)
    async with session:
        await _allow(rig, cluster, "192.0.2.0/24")
        assert not await _host_gets_in(cluster)
        assert not any(_stranger_gets_in(cluster, port) for port in (6432, 5432, 5433))
        await session.execute("SELECT 1")
        refused = await refused_by(rig.docker, cluster.endpoint.container)
        assert set(refused) == {stranger, cluster.network.gateway}
        assert refused[stranger] >= 3

        # What routes is loaded again at each switchover; the list is apart from it, and stays.
        await rig.endpoints.set_routes(cluster.routes)
        assert not await _host_gets_in(cluster)
        await _allow(rig, cluster, f"{stranger}/32")
        assert _stranger_gets_in(cluster, 5432)
        assert not await _host_gets_in(cluster)
        # From this host everybody has the gateway's address, for which loopback stands.
        await _allow(rig, cluster, "127.0.0.1/32")
        assert await _host_gets_in(cluster)
        assert not _stranger_gets_in(cluster, 6432)
        access = await read_access(rig.docker, cluster.endpoint.container)
        assert access is not None
        assert access.allow_list == ("127.0.0.1/32",)
        await session.execute("SELECT 1")

    # Poolers are in the endpoint's namespace, which is another one after this: `cluster` is of this module alone.
    await rig.docker.stop(cluster.endpoint.container, signal="SIGKILL")
    await rig.docker.start(cluster.endpoint.container)

    async def direct_takes_the_host() -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            async with await psycopg.AsyncConnection.connect(cluster.conninfo(cluster.endpoint.direct)):
                return True
        return False

    await until(direct_takes_the_host, what="the endpoint after its restart")
    assert not _stranger_gets_in(cluster, 5432)
