"""What a cluster's users and containers cannot reach: tried on one that runs, with another one beside it."""

import subprocess
from collections.abc import AsyncGenerator
from typing import LiteralString

import psycopg
import pytest
import pytest_asyncio
from psycopg import errors
from psycopg.conninfo import make_conninfo
from rig import Rig, TestCluster, make_cluster, new_cluster_id

from activities.engine.docker_types import BECOMES_ANOTHER, CONFIG_DIR, ContainerSpec, File, Mount
from activities.routing.pooler_files import SOCKETS_PATH
from model.effects import RemoveClusterInput
from model.names import POOLER_USER, REPLICATOR, SUPERUSER, node_container, sockets_volume
from model.secrets import derive_password

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other(rig: Rig) -> AsyncGenerator[TestCluster]:
    """Lend another cluster, with one node."""
    made = new_cluster_id()
    try:
        yield await make_cluster(rig, made, replica=False)
    finally:
        await rig.cleanup.remove_cluster(RemoveClusterInput(cluster_id=made))


def _exec(container: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", "exec", container, *command], capture_output=True, text=True)


def _docker(*command: str) -> list[str]:
    return subprocess.run(["docker", *command], check=True, capture_output=True, text=True).stdout.split()


def _inspect(container: str) -> list[str]:
    """Return capabilities dropped, bounds on processes and memory, count of ports, privilege, root, named volumes."""
    asked = "{{json .CapDrop}} {{.PidsLimit}} {{.Memory}} {{len .PortBindings}} {{.Privileged}} {{.ReadonlyRootfs}}"
    volumes = "{{range .Mounts}}{{.Source}} {{end}}"
    template = f"{{{{with .HostConfig}}}}{asked} {volumes}{{{{end}}}}"
    return _docker("inspect", "-f", template, container)


def _containers(cluster: TestCluster) -> list[str]:
    return [node_container(cluster.id, "a"), *(pooler.container for pooler in cluster.poolers)]


def test_containers_do_not_reach_another_clusters_network(cluster: TestCluster, other: TestCluster) -> None:
    served = [(other.a.address, 5432), (other.endpoint.address, 5432), (other.endpoint.address, 6432)]
    for container in (*_containers(cluster), cluster.endpoint.container):
        own = cluster.a.address if container != node_container(cluster.id, "a") else cluster.endpoint.address
        assert _exec(container, "pg_isready", "-h", own, "-t", "3").returncode == 0
        for address, port in served:
            assert _exec(container, "pg_isready", "-h", address, "-p", str(port), "-t", "1").returncode == 2


async def test_each_container_has_what_it_needs_and_no_more(rig: Rig, cluster: TestCluster) -> None:
    for container in (*_containers(cluster), cluster.endpoint.container):
        found = await rig.docker.inspect(container)
        assert found is not None
        dropped, pids, memory, ports, privileged, read_only, *mounts = _inspect(container)
        assert dropped == '["ALL"]'
        assert 0 < int(pids) <= 1024
        assert int(memory) > 0
        assert int(ports) == (3 if container == cluster.endpoint.container else 0)
        assert privileged == "false"
        assert read_only == "true"
        assert mounts or container == cluster.endpoint.container
        assert all(cluster.id in name for name in mounts)
        said = _exec(container, "cat", "/proc/1/status").stdout
        status = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
        assert status["NoNewPrivs"] == "1"
        effective = int(status["CapEff"], 16)
        if container == cluster.endpoint.container:
            assert effective == 1 << 12, "NET_ADMIN"
        else:
            assert status["Uid"].split() == ["5432"] * 4
            assert effective == 0
            assert int(status["CapBnd"], 16).bit_count() == len(BECOMES_ANOTHER)


async def test_root_filesystem_of_each_kind_of_container_is_read_only(rig: Rig, cluster: TestCluster) -> None:
    for container in (*_containers(cluster), cluster.endpoint.container):
        for path in ("/usr/local/bin/x", "/etc/x", "/root/x", "/x", "/var/lib/x", "/var/log/x"):
            tried = _exec(container, "touch", path)
            assert tried.returncode != 0
            assert "Read-only file system" in tried.stderr, f"{container}: {path}: {tried.stderr}"
        assert _exec(container, "sh", "-c", "touch /tmp/x && rm /tmp/x").returncode == 0
        program = "cp /usr/bin/true /tmp/y && /tmp/y; code=$?; rm /tmp/y; exit $code"
        assert _exec(container, "sh", "-c", program).returncode == 126, "what is written there cannot be run"


async def test_what_a_container_has_of_its_own_goes_with_it(rig: Rig, cluster: TestCluster) -> None:
    name, kept = f"own-{cluster.id}", sockets_volume(cluster.id)
    mounts = (Mount(volume=kept, path=SOCKETS_PATH),)
    await rig.docker.create(
        ContainerSpec(name=name, image=cluster.image, command=("true",), labels={}, mounts=mounts, own=(CONFIG_DIR,))
    )
    await rig.docker.put_files(name, {f"{CONFIG_DIR}/x": File.private("y")})
    assert await rig.docker.get_file(name, f"{CONFIG_DIR}/x") == b"y"
    [own] = set(_docker("inspect", "-f", "{{range .Mounts}}{{.Name}} {{end}}", name)) - {kept}
    assert own in _docker("volume", "ls", "-q")
    await rig.docker.remove(name)
    assert own not in (found := _docker("volume", "ls", "-q"))
    assert kept in found


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "COPY pg_class TO '/tmp/x'",
        "SELECT pg_read_file('/var/lib/postgresql/conf/pgpass')",
        "SELECT pg_read_file('/var/lib/postgresql/conf/server.key')",
        "SELECT pg_ls_dir('/')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT rolpassword FROM pg_authid",
        "ALTER SYSTEM SET ssl = off",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "CREATE ROLE mallory SUPERUSER",
        "CREATE EXTENSION dblink",
        "CREATE EXTENSION postgres_fdw",
        "CREATE EXTENSION file_fdw",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'getpid'",
        "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1' PUBLICATION p",
        "SELECT pg_promote()",
        "SELECT pg_reload_conf()",
        "SELECT pg_create_physical_replication_slot('x')",
    ],
)
async def test_user_reaches_neither_files_nor_programs_nor_other_servers(
    cluster: TestCluster, statement: LiteralString
) -> None:
    async with await psycopg.AsyncConnection.connect(
        cluster.conninfo(cluster.endpoint.direct), autocommit=True
    ) as connection:
        with pytest.raises(errors.InsufficientPrivilege):
            await connection.execute(statement)


async def test_platforms_roles_are_refused_at_the_endpoint_even_with_their_passwords(
    rig: Rig, cluster: TestCluster
) -> None:
    for address in (cluster.endpoint.pooled, cluster.endpoint.direct, cluster.endpoint.read_only):
        for user in (SUPERUSER, REPLICATOR):
            password = derive_password(rig.master_key, cluster.id, user)
            conninfo = make_conninfo(cluster.conninfo(address, user=user), password=password)
            with pytest.raises(psycopg.OperationalError):
                await psycopg.AsyncConnection.connect(conninfo)
    # The poolers' role comes from the endpoint's address, as they do: what it may is to look up a verifier, no more.
    password = derive_password(rig.master_key, cluster.id, POOLER_USER)
    conninfo = make_conninfo(cluster.conninfo(cluster.endpoint.direct, user=POOLER_USER), password=password)
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        for statement in ("SELECT rolpassword FROM pg_authid", "CREATE TABLE public.x (y int)"):
            with pytest.raises(errors.InsufficientPrivilege):
                await connection.execute(statement)


async def test_superuser_is_not_let_in_from_a_container_of_the_cluster(rig: Rig, cluster: TestCluster) -> None:
    password = derive_password(rig.master_key, cluster.id, SUPERUSER)
    assert cluster.b is not None
    for container in (cluster.poolers[0].container, cluster.b.container):
        tried = _exec(
            container,
            "env",
            f"PGPASSWORD={password}",
            "psql",
            "-h",
            cluster.a.address,
            "-U",
            SUPERUSER,
            "-c",
            "SELECT 1",
        )
        assert tried.returncode != 0
        assert "pg_hba.conf rejects connection" in tried.stderr
