"""A cluster on real Docker after an operation that did not complete: seen as it is, and put back in service."""

import subprocess
from datetime import UTC, datetime

import psycopg
import pytest
from rig import PLAN, Rig, TestCluster, cut_off, make_cluster, make_poolers

from activities.engine.docker_types import File
from activities.nodes.files import FORMER_DATA
from activities.nodes.replication import ReplicationActivities, waits_for_standby
from activities.postgres.storage_notes import StorageNoteActivities, read_notes
from activities.routing.access_file import read_access
from model.cluster import (
    ClusterPhase,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    Durability,
    NodePhase,
    PoolerPhase,
    PoolMode,
)
from model.effects import (
    NoteDurabilityInput,
    NoteStorageInput,
    ObserveInput,
    SetSynchronousInput,
    SettleInput,
    Target,
)
from model.errors import NeedsOperator
from model.facts import InSync, NodeIs, apply
from model.storage import AutoGrow

pytestmark = pytest.mark.integration


def _state(cluster: TestCluster) -> ClusterState:
    assert cluster.b is not None
    spec = ClusterSpec(
        id=cluster.id,
        name="test",
        org="personal",
        region="local",
        host="local",
        plan=PLAN,
        pool_mode=PoolMode.TRANSACTION,
        created_at=datetime.now(UTC),
    )
    status = ClusterStatus(
        phase=ClusterPhase.UPDATING,
        network=cluster.network,
        endpoint=cluster.endpoint,
        nodes=(cluster.a, cluster.b),
        poolers=cluster.poolers,
    )
    return ClusterState(spec=spec, status=status)


async def _settle(rig: Rig, state: ClusterState) -> ClusterState:
    return apply(state, (await rig.observer.settle_cluster(SettleInput(state=state))).facts)


async def _promote_b(rig: Rig, cluster: TestCluster) -> None:
    """Stop the primary and promote the replica, and record nothing."""
    assert cluster.b is not None
    await rig.stop_node(cluster.id, "a")
    async with rig.sql.use(Target.of(cluster.id, cluster.b)) as connection:
        await connection.execute("SELECT pg_promote()")


async def _writes(cluster: TestCluster) -> None:
    for address in (cluster.endpoint.pooled, cluster.endpoint.direct):
        async with await psycopg.AsyncConnection.connect(cluster.conninfo(address)) as connection:
            await connection.execute("CREATE TEMPORARY TABLE written ON COMMIT DROP AS SELECT 1")


async def test_healthy_cluster_is_left_as_it_is(rig: Rig, cluster: TestCluster) -> None:
    state = _state(cluster)
    containers = await rig.docker.list_containers({"mpg.cluster": cluster.id})
    settled = await _settle(rig, state)
    assert [node.role for node in settled.status.nodes] == [node.role for node in state.status.nodes]
    assert settled.status.poolers == state.status.poolers
    assert {c.id for c in await rig.docker.list_containers({"mpg.cluster": cluster.id})} == {c.id for c in containers}
    await _writes(cluster)


async def test_change_of_durability_that_was_cut_off_leaves_no_commit_waiting(rig: Rig, cluster: TestCluster) -> None:
    """Of an async cluster nobody watches whether its replica acknowledges."""
    state = _state(cluster)
    state = state.model_copy(update={"spec": state.spec.model_copy(update={"durability": Durability.ASYNC})})
    replication, standby = ReplicationActivities(rig.sql), "b"
    await replication.set_synchronous(SetSynchronousInput(target=cluster.target, standby=standby))
    await rig.durability.note_durability(
        NoteDurabilityInput(cluster_id=cluster.id, endpoint=cluster.endpoint, durability=Durability.SYNC)
    )
    noted = await read_access(rig.docker, cluster.endpoint.container)
    assert noted is not None
    assert noted.durability is Durability.SYNC
    await _settle(rig, state)
    async with rig.sql.use(cluster.target) as connection:
        assert not await waits_for_standby(connection)
    noted = await read_access(rig.docker, cluster.endpoint.container)
    assert noted is not None
    assert noted.durability is Durability.ASYNC


async def test_growth_that_was_cut_off_is_noted_as_it_is_on_record(rig: Rig, cluster: TestCluster) -> None:
    """An adoption goes by the note. It settles too, after no operation, before it has read that."""
    state = _state(cluster)
    grown = state.spec.storage_gb + 1
    note = NoteStorageInput(target=cluster.target, storage_gb=grown, auto_grow=AutoGrow(step_gb=1, max_gb=99))
    await StorageNoteActivities(rig.sql).note_storage(note)
    await _settle(rig, state)
    async with rig.sql.use(cluster.target) as connection:
        assert await read_notes(connection) == (grown, note.auto_grow)
    await rig.observer.settle_cluster(SettleInput(state=state, ended=("grow-storage/testing/1",)))
    async with rig.sql.use(cluster.target) as connection:
        assert await read_notes(connection) == (state.spec.storage_gb, None)


async def test_stopped_primary_held_poolers_and_missing_rules_are_put_right(rig: Rig, cluster: TestCluster) -> None:
    state = _state(cluster)
    await cut_off(rig, cluster)
    await rig.stop_node(cluster.id, "a")
    settled = await _settle(rig, state)
    assert settled.status.primary is not None
    assert (settled.status.primary.name, settled.status.primary.phase) == ("a", NodePhase.RUNNING)
    await _writes(cluster)


async def test_what_a_copy_took_the_place_of_goes_once_the_record_says_that_the_copy_is_in_sync(
    rig: Rig, cluster: TestCluster
) -> None:
    state = _state(cluster)
    assert cluster.b is not None
    left = f"{FORMER_DATA}/PG_VERSION"
    await rig.docker.put_files(cluster.b.container, {left: File(content=b"17")})
    await _settle(rig, state)
    assert await rig.docker.path_exists(cluster.b.container, left)
    await _settle(rig, apply(state, [InSync(name="b", value=True)]))
    assert not await rig.docker.path_exists(cluster.b.container, FORMER_DATA)


async def test_endpoint_that_was_stopped_comes_back_with_its_poolers(rig: Rig, cluster: TestCluster) -> None:
    await rig.docker.stop(cluster.endpoint.container, signal="SIGTERM")
    await _settle(rig, _state(cluster))
    await _writes(cluster)


async def test_poolers_that_the_record_does_not_name_drain(rig: Rig, cluster: TestCluster) -> None:
    new = await make_poolers(
        rig, cluster.id, cluster.endpoint, cluster.image, cluster.a.address, generation=7, living=cluster.poolers
    )
    settled = await _settle(rig, _state(cluster))
    assert {p.name for p in settled.status.poolers if p.phase is PoolerPhase.DRAINING} == {p.name for p in new}
    await _writes(cluster)
    for pooler in new:
        await rig.docker.remove(pooler.container, force=True)
    assert (await _settle(rig, settled)).status.poolers == cluster.poolers


async def test_observing_a_stopped_replica_takes_its_sync_away(rig: Rig, cluster: TestCluster) -> None:
    state = _state(cluster)
    assert cluster.b is not None
    in_sync = cluster.b.model_copy(update={"in_sync": True})
    state = state.model_copy(update={"status": state.status.model_copy(update={"nodes": (cluster.a, in_sync)})})
    await rig.stop_node(cluster.id, "b")
    seen = apply(state, (await rig.observer.observe_cluster(ObserveInput(state=state))).facts)
    replica = seen.status.replica
    assert replica is not None
    assert (replica.phase, replica.in_sync) == (NodePhase.STOPPED, False)
    settled = await _settle(rig, state)
    assert settled.status.replica is not None
    assert settled.status.replica.phase is NodePhase.RUNNING


async def test_promotion_that_was_not_recorded_is_accepted_and_the_old_primary_follows(
    rig: Rig, cluster_id: str
) -> None:
    cluster = await make_cluster(rig, cluster_id)
    await _promote_b(rig, cluster)
    settled = await _settle(rig, _state(cluster))
    primary, replica = settled.status.primary, settled.status.replica
    assert primary is not None
    assert replica is not None
    assert (primary.name, primary.timeline, replica.name, replica.phase) == ("b", 2, "a", NodePhase.RUNNING)
    await _writes(cluster)


async def test_two_primaries_are_given_to_the_operator_untouched(rig: Rig, cluster_id: str) -> None:
    cluster = await make_cluster(rig, cluster_id)
    await _promote_b(rig, cluster)
    subprocess.run(["docker", "start", cluster.a.container], check=True, capture_output=True)  # noqa: ASYNC221
    with pytest.raises(NeedsOperator, match="both take writes"):
        await _settle(rig, _state(cluster))


async def test_node_that_was_made_on_another_plan_than_on_record_is_recorded_as_made(
    rig: Rig, cluster: TestCluster
) -> None:
    assert cluster.b is not None
    recorded = cluster.b.model_copy(update={"plan": "former", "cpus": 1, "memory_mb": 1})
    state = apply(_state(cluster), [NodeIs(node=recorded)])
    seen = apply(state, (await rig.observer.observe_cluster(ObserveInput(state=state))).facts).status.node("b")
    assert seen is not None
    assert (seen.plan, seen.cpus, seen.memory_mb) == (cluster.b.plan, cluster.b.cpus, cluster.b.memory_mb)
