"""TLS on real Docker: on a cluster made before there was any, then required, renewed, and taken back."""

import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import psycopg
import pytest
import pytest_asyncio
from psycopg.conninfo import make_conninfo
from rig import PLAN, Rig, TestCluster, make_cluster, new_cluster_id, until

from activities.nodes.tls import CERTIFICATE_FILE
from activities.routing import pooler_files
from activities.routing.access_file import read_access
from activities.watching.certificate_watch import CertificateWatch
from model.authority import Authority
from model.cluster import (
    Address,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    ClusterView,
    Node,
    PoolerPhase,
    Tls,
)
from model.effects import RemoveClusterInput, SetTlsInput
from model.settings import load_settings

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plain(rig: Rig) -> AsyncGenerator[TestCluster]:
    """Lend a cluster as it was made before there was TLS."""
    made = new_cluster_id()
    try:
        yield await make_cluster(rig, made, tls=Tls.OFF)
    finally:
        await rig.cleanup.remove_cluster(RemoveClusterInput(cluster_id=made))


async def _set(rig: Rig, cluster: TestCluster, tls: Tls) -> None:
    await rig.tls.set_tls(
        SetTlsInput(
            cluster_id=cluster.id,
            cluster_name="test",
            tls=tls,
            network=cluster.network,
            nodes=_nodes(cluster),
            endpoint=cluster.endpoint,
            poolers=cluster.poolers,
            plan=PLAN,
            primary_address=cluster.a.address,
            backups=False,
        )
    )


def _nodes(cluster: TestCluster) -> tuple[Node, ...]:
    assert cluster.b is not None
    return cluster.a, cluster.b


def _addresses(cluster: TestCluster) -> tuple[Address, ...]:
    return cluster.endpoint.pooled, cluster.endpoint.direct, cluster.endpoint.read_only


async def _is_encrypted(cluster: TestCluster, address: Address, **options: str) -> bool:
    """Connect and tell whether the connection is encrypted. Raises what psycopg raises."""
    conninfo = make_conninfo(cluster.conninfo(address), **options)
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        await connection.execute("SELECT 1")
        return connection.pgconn.ssl_in_use


async def _refuses(cluster: TestCluster, address: Address, **options: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        await _is_encrypted(cluster, address, **options)
        return False
    return True


async def _takes_what_it_is_asked_for(rig: Rig, cluster: TestCluster) -> bool:
    """Tell whether each address takes all kinds of connections: a reload is in force a moment after the signal."""
    full = {"sslmode": "verify-full", "sslrootcert": str(rig.settings.ca_file)}
    try:
        return all(
            [
                await _is_encrypted(cluster, address, sslmode="require")
                and await _is_encrypted(cluster, address, **full)
                and not await _is_encrypted(cluster, address, sslmode="disable")
                for address in _addresses(cluster)
            ]
        )
    except psycopg.OperationalError:
        return False


async def test_tls_is_offered_then_required_then_offered_again_and_no_session_ends(
    rig: Rig, plain: TestCluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        sessions: list[psycopg.AsyncConnection] = []
        for address in _addresses(plain):
            assert await _refuses(plain, address, sslmode="require")
            session = await psycopg.AsyncConnection.connect(plain.conninfo(address), autocommit=True)
            sessions.append(await stack.enter_async_context(session))

        await _set(rig, plain, Tls.OFFERED)
        await until(lambda: _takes_what_it_is_asked_for(rig, plain), what="TLS on all addresses")
        other = Authority(load_settings(home=tmp_path_factory.mktemp("other")))
        assert other.is_due(await rig.docker.get_file(plain.a.container, CERTIFICATE_FILE))
        stranger = str(tmp_path_factory.getbasetemp() / "other0" / "ca.crt")
        for address in _addresses(plain):
            assert await _refuses(plain, address, sslmode="verify-full", sslrootcert=stranger)

        await _set(rig, plain, Tls.REQUIRED)

        async def plain_is_refused() -> bool:
            return all([await _refuses(plain, address, sslmode="disable") for address in _addresses(plain)])

        await until(plain_is_refused, what="plain connections refused")
        for address in _addresses(plain):
            assert await _is_encrypted(plain, address, sslmode="require")
        access = await read_access(rig.docker, plain.endpoint.container)
        assert access is not None
        assert access.tls is Tls.REQUIRED
        # The platform's own connections go on: to a node, and to the console of a pooler.
        async with rig.sql.use(plain.target, fresh=True) as connection:
            await connection.execute("SELECT 1")

        await _set(rig, plain, Tls.OFFERED)
        await until(lambda: _takes_what_it_is_asked_for(rig, plain), what="plain connections taken again")
        for session in sessions:
            await session.execute("SELECT 1")


async def test_certificates_are_renewed_before_they_end_and_no_session_notices(rig: Rig, cluster: TestCluster) -> None:
    files = {node.container: CERTIFICATE_FILE for node in _nodes(cluster)}
    files |= {pooler.container: pooler_files.CERTIFICATE_FILE for pooler in cluster.poolers}
    before = {name: await rig.docker.get_file(name, path) for name, path in files.items()}
    # For this authority all that was issued is of other names, and due.
    authority = Authority(rig.settings.model_copy(update={"tls_names": ("db.example.org",)}))
    async with contextlib.AsyncExitStack() as stack:
        sessions: list[psycopg.AsyncConnection] = []
        for address in _addresses(cluster):
            conninfo = make_conninfo(cluster.conninfo(address), sslmode="require")
            session = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
            sessions.append(await stack.enter_async_context(session))

        async def view() -> ClusterView:
            return _view(cluster)

        watch = CertificateWatch(rig.docker, authority, view)
        await watch.look()
        renewed = {name: await rig.docker.get_file(name, path) for name, path in files.items()}
        assert all(renewed[name] != before[name] for name in files)
        full = {"sslmode": "verify-full", "sslrootcert": str(rig.settings.ca_file), "hostaddr": "127.0.0.1"}

        async def serve_the_new_ones() -> bool:
            # The new name is in the new certificates only.
            named = [address.model_copy(update={"host": "db.example.org"}) for address in _addresses(cluster)]
            with contextlib.suppress(psycopg.OperationalError):
                return all([await _is_encrypted(cluster, address, **full) for address in named])
            return False

        await until(serve_the_new_ones, what="the new certificates in use")
        for session in sessions:
            await session.execute("SELECT 1")
        await watch.look()
        assert renewed == {name: await rig.docker.get_file(name, path) for name, path in files.items()}
    async with rig.sql.use(cluster.target) as connection:
        cursor = await connection.execute(
            "SELECT s.ssl FROM pg_stat_replication r JOIN pg_stat_ssl s USING (pid) WHERE r.application_name = 'b'"
        )
        assert await cursor.fetchall() == [(True,)]


def _view(cluster: TestCluster) -> ClusterView:
    spec = ClusterSpec(
        id=cluster.id,
        name="test",
        org="personal",
        region="local",
        host="local",
        plan=PLAN,
        tls=Tls.OFFERED,
        created_at=datetime.now(UTC),
    )
    status = ClusterStatus(network=cluster.network, endpoint=cluster.endpoint, nodes=_nodes(cluster))
    status = status.model_copy(update={"poolers": cluster.poolers})
    assert all(pooler.phase is PoolerPhase.RUNNING for pooler in cluster.poolers)
    return ClusterView(state=ClusterState(spec=spec, status=status))
