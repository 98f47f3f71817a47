"""A cluster on real Docker that no workflow knows: read from its containers, and entered with its key or a new one."""

import asyncio
import secrets
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.sql import SQL
from rig import Rig, TestCluster, cut_off, make_poolers, until

from activities.nodes.local_superuser import HBA_FILE, local_superuser
from activities.nodes.replication import ReplicationActivities
from activities.postgres.sql import SqlSessions
from activities.recovery.container_discovery import clusters_on, read_parts
from activities.recovery.platform_access import LOOK_FOR_S, PlatformAccessActivities
from model.adoption import EnsureAccessInput, KeyFit
from model.cluster import ClusterState, NodePhase, NodeRole, PoolerPhase, Tls
from model.effects import AwaitCaughtUpInput, SettleInput
from model.errors import NotFound, Refused
from model.plans import DEFAULT_PLANS
from model.rebuilding import rebuild

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


async def read(rig: Rig, cluster: TestCluster) -> ClusterState:
    parts = await read_parts(rig.docker, cluster.id, host="local", region="local")
    return rebuild(parts, DEFAULT_PLANS, name=None, now=datetime.now(UTC)).state


async def logs_in(cluster: TestCluster) -> None:
    for address in (cluster.endpoint.pooled, cluster.endpoint.direct):
        async with await psycopg.AsyncConnection.connect(cluster.conninfo(address)) as session:
            await session.execute("CREATE TEMPORARY TABLE written ON COMMIT DROP AS SELECT 1")


async def test_containers_tell_what_the_cluster_is(rig: Rig, cluster: TestCluster) -> None:
    status = (await read(rig, cluster)).status
    assert cluster.b is not None
    assert (status.network, status.endpoint) == (cluster.network, cluster.endpoint)
    # The endpoint of this cluster was made without the label that says whether TLS is offered.
    poolers = [each.model_copy(update={"tls": Tls.OFF}) for each in cluster.poolers]
    assert sorted(status.poolers, key=lambda each: each.name) == sorted(poolers, key=lambda each: each.name)
    seen = {"timeline": None, "lag_bytes": None}
    assert list(status.nodes) == [node.model_copy(update=seen) for node in (cluster.a, cluster.b)]
    assert cluster.id in {each.id for each in await clusters_on(rig.docker)}


async def test_cluster_without_containers_is_not_found(rig: Rig) -> None:
    with pytest.raises(NotFound):
        await read_parts(rig.docker, "0" * 16, host="local", region="local")


async def test_poolers_that_nobody_was_led_to_drain(rig: Rig, cluster: TestCluster) -> None:
    new = await make_poolers(
        rig, cluster.id, cluster.endpoint, cluster.image, cluster.a.address, generation=5, living=cluster.poolers
    )
    assert cluster.b is not None
    try:
        found = (await read(rig, cluster)).status.poolers
        assert {each.name for each in found if each.phase is PoolerPhase.DRAINING} == {each.name for each in new}
        ports = tuple(each.port for each in new)
        await rig.endpoints.set_routes(cluster.routes.model_copy(update={"pooler_ports": ports}))
        found = (await read(rig, cluster)).status.poolers
        assert {each.name for each in found if each.phase is PoolerPhase.RUNNING} == {each.name for each in new}
    finally:
        await rig.endpoints.set_routes(cluster.routes)
        for each in new:
            await rig.docker.remove(each.container, force=True)


async def test_paused_poolers_and_missing_rules_of_a_lost_operation_are_put_right(
    rig: Rig, cluster: TestCluster
) -> None:
    await cut_off(rig, cluster)
    state = await read(rig, cluster)
    await rig.observer.settle_cluster(SettleInput(state=state))
    await logs_in(cluster)


async def test_superuser_comes_in_without_a_password_and_the_door_is_closed_again(
    rig: Rig, cluster: TestCluster
) -> None:
    before = await rig.docker.get_file(cluster.a.container, HBA_FILE)
    async with local_superuser(rig.docker, cluster.a.container) as session:
        assert await session.run(SQL("SELECT current_user"), SQL("SELECT 2")) == ["postgres", "2"]
        assert await rig.docker.get_file(cluster.a.container, HBA_FILE) != before
    assert await rig.docker.get_file(cluster.a.container, HBA_FILE) == before

    async def closed() -> bool:
        async with rig.sql.use(cluster.target) as connection:
            cursor = await connection.execute("SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'peer'")
            return await cursor.fetchone() == (0,)

    await until(closed, what="the closed door")


async def test_another_key_is_refused_and_a_stopped_primary_is_stopped_again(rig: Rig, cluster: TestCluster) -> None:
    key = secrets.token_bytes(32)
    sql = SqlSessions(key)
    access = PlatformAccessActivities(rig.docker, sql, key)
    state = await read(rig, cluster)
    assert await access.look(state) is KeyFit.DOES_NOT_FIT
    for node in ("a", "b"):
        await rig.stop_node(cluster.id, node)
    stopped = await read(rig, cluster)
    assert stopped.status.primary is not None
    assert (stopped.status.primary.name, stopped.status.primary.phase) == ("a", NodePhase.STOPPED)
    with pytest.raises(Refused, match=f"does not fit cluster test \\({cluster.id}\\)"):
        await access.ensure_access(EnsureAccessInput(state=stopped))
    found = await rig.docker.inspect(cluster.a.container)
    assert found is not None
    assert not found.running
    ours = PlatformAccessActivities(rig.docker, rig.sql, rig.master_key)
    assert not (await ours.ensure_access(EnsureAccessInput(state=stopped))).renewed
    await rig.observer.settle_cluster(SettleInput(state=stopped))
    await logs_in(cluster)


async def test_probe_of_another_control_plane_is_seen_also_when_it_comes_late(rig: Rig, cluster: TestCluster) -> None:
    access = PlatformAccessActivities(rig.docker, rig.sql, rig.master_key)
    looking = asyncio.create_task(access.look(await read(rig, cluster)))
    await asyncio.sleep(LOOK_FOR_S / 2)
    async with await rig.sql.open(cluster.target) as probe:
        await probe.execute("SELECT 1")
        with pytest.raises(Refused, match="Another control plane is at work"):
            await looking


async def test_who_looks_takes_nobody_who_looks_for_a_control_plane(rig: Rig, cluster: TestCluster) -> None:
    access = PlatformAccessActivities(rig.docker, rig.sql, rig.master_key)
    state = await read(rig, cluster)
    assert await asyncio.gather(*(access.look(state) for _ in range(3))) == [KeyFit.FITS] * 3


async def test_new_key_lets_the_platform_in_everywhere_and_users_keep_their_passwords(
    rig: Rig, cluster: TestCluster
) -> None:
    """The last here: afterwards the cluster has another key than the rig."""
    key = secrets.token_bytes(32)
    sql = SqlSessions(key)
    access = PlatformAccessActivities(rig.docker, sql, key)
    arg = EnsureAccessInput(state=await read(rig, cluster), new_key=True)
    assert (await access.ensure_access(arg)).renewed
    assert not (await access.ensure_access(arg)).renewed
    assert await access.look(arg.state) is KeyFit.FITS
    await logs_in(cluster)
    other = Rig(rig.docker, rig.settings, key)
    assert cluster.b is not None
    await other.stop_node(cluster.id, "b")
    await other.observer.settle_cluster(SettleInput(state=await read(rig, cluster)))
    replica = (await read(rig, cluster)).status.replica
    assert replica is not None
    assert (replica.role, replica.phase) == (NodeRole.REPLICA, NodePhase.RUNNING)
    mark = AwaitCaughtUpInput(cluster_id=cluster.id, primary=cluster.a, replica=replica, timeout_s=30)
    assert (await ReplicationActivities(sql).await_caught_up(mark)).timeline == 1
    await other.sql.close()
    await sql.close()
