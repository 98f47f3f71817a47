"""AdoptCluster: a record that was lost begins again, and nothing that the cluster is made of is removed for it."""

import asyncio

import pytest

from model import effects
from model.adoption import AdoptionReading, Catalog, FoundCluster, FoundClusters
from model.cluster import UNKNOWN_PASSWORD, ClusterPhase, ClusterState, Database, NodePhase, Role, User
from model.facts import NodeIs, apply
from model.names import cluster_workflow_id, name_workflow_id
from model.operations import (
    AdoptClusterRequest,
    CreateClusterRequest,
    FindClustersRequest,
    OperationOutcome,
    RotatePasswordRequest,
)
from model.storage import AutoGrow
from tests.workflows import golden
from tests.workflows.bench import Bench, failure, until
from tests.workflows.samples import as_labelled, backed_up, new_id, ready_cluster, request_of
from tests.workflows.stubs import Stubs, fails, fails_times, hangs

REMOVES = ("remove_", "drop_", "create_", "ensure_node", "fence_node", "switch_primary", "fail_over")


def unknown_password(name: str) -> User:
    return User(name=name, role=Role.WRITER, password_version=UNKNOWN_PASSWORD)


@pytest.mark.parametrize("way", ["fails", "is cancelled"])
def test_no_way_to_end_makes_or_removes_anything(way: str):
    sections = golden.read("adopt-cluster")
    assert any(title.startswith(way) for title in sections)
    lines = [line.removeprefix("cluster: ") for section in sections.values() for line in section]
    assert [line for line in lines if line.startswith(REMOVES)] == []


async def test_record_is_what_containers_and_postgres_tell(bench: Bench):
    state = ready_cluster()
    replica = state.status.replica
    assert replica is not None
    await bench.run(request_of("adopt-cluster", state))
    seen = NodeIs(node=replica.model_copy(update={"lag_bytes": 0}))
    assert (await bench.free(state.spec.id)).state == apply(state, [seen])
    name = bench.client.get_workflow_handle(name_workflow_id("personal", state.spec.name))
    assert await name.query("cluster_id", result_type=str) == state.spec.id


@pytest.mark.parametrize(("noted_gb", "has_gb"), [(None, 10), (50, 50), (5, 10)])
async def test_storage_that_a_cluster_has_grown_to_is_read_from_postgres(
    bench: Bench, stubs: Stubs, noted_gb: int | None, has_gb: int
):
    state, growth = ready_cluster(), AutoGrow(step_gb=5, max_gb=100)
    stubs.answers["read_catalog"] = Catalog(
        users=state.spec.users,
        databases=state.spec.databases,
        legacy_roles=False,
        storage_gb=noted_gb,
        auto_grow=growth,
    )
    await bench.run(request_of("adopt-cluster", state))
    spec = (await bench.free(state.spec.id)).state.spec
    assert (spec.storage_gb, spec.auto_grow) == (has_gb, growth)


async def test_nothing_is_on_record_before_all_is_known(bench: Bench, stubs: Stubs):
    state, reading = ready_cluster(), asyncio.Event()
    stubs.plan("read_catalog of a", hangs(stubs, reading))
    handle = await bench.start(request_of("adopt-cluster", state))
    await reading.wait()
    found = [each async for each in bench.client.list_workflows(f"WorkflowId = 'cluster/{state.spec.id}'")]
    assert found == []
    stubs.released.set()
    await handle.result()


async def test_known_cluster_is_left_alone(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    stubs.answers["read_cluster"] = AdoptionReading(state=state, known=True)
    result = await bench.run(request_of("adopt-cluster", state))
    assert (result.changed, result.message) == (False, f"Cluster {state.spec.name} is known here already.")
    assert [call.text for call in stubs.effects] == ["read_cluster"]


async def test_known_cluster_with_another_key_is_given_the_new_one_and_forgets_passwords(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    stubs.answers["read_cluster"] = AdoptionReading(state=state, known=True, other_key=True)
    users = tuple(unknown_password(user.name) for user in state.spec.users)
    stubs.answers["read_catalog"] = Catalog(users=users, databases=(), legacy_roles=False)
    handle = await bench.start(AdoptClusterRequest(cluster_id=state.spec.id, new_key=True))
    assert f"Cluster {state.spec.name} has this stack's master key" in (await handle.result()).message
    commit = "commit " + ", ".join(f"user_is {user.name}" for user in users)
    assert stubs.texts(handle.id) == ["read_cluster", "ensure_access with a new key", "read_catalog of a", commit]
    now = (await bench.free(state.spec.id)).state
    assert [user.password_known for user in now.spec.users] == [False] * len(users)
    assert [user.role for user in now.spec.users] == [user.role for user in state.spec.users]
    assert now.spec.databases == state.spec.databases


async def test_renewal_that_was_cut_off_before_passwords_were_read_is_completed(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    stubs.answers["read_cluster"] = AdoptionReading(state=state, known=True, other_key=False)
    users = tuple(unknown_password(user.name) for user in state.spec.users)
    stubs.answers["read_catalog"] = Catalog(users=users, databases=(), legacy_roles=False)
    request = AdoptClusterRequest(cluster_id=state.spec.id, new_key=True)
    assert (await bench.run(request)).changed
    assert "ensure_access with a new key" not in [call.text for call in stubs.effects]
    assert not any(user.password_known for user in (await bench.free(state.spec.id)).state.spec.users)
    assert not (await bench.run(request)).changed


async def test_known_cluster_that_is_given_a_new_key_archives_beside_what_the_former_one_encrypted(
    bench: Bench, stubs: Stubs
):
    state = backed_up(ready_cluster())
    await bench.cluster(state)
    stubs.answers["read_cluster"] = AdoptionReading(state=state, known=True, other_key=True, stack_key="new")
    request = AdoptClusterRequest(cluster_id=state.spec.id, new_key=True)
    assert (await bench.run(request)).changed
    now = (await bench.free(state.spec.id)).state
    assert now.spec.backups is not None
    assert now.spec.backups.repository.key_id == "new"
    assert now.status.backups.last == (), "its watch begins a first backup there"
    stubs.answers["read_cluster"] = AdoptionReading(state=now, known=True, other_key=False, stack_key="new")
    assert not (await bench.run(request)).changed


async def test_known_cluster_with_another_key_is_left_alone_unless_it_is_to_have_the_new_one(
    bench: Bench, stubs: Stubs
):
    state = ready_cluster()
    await bench.cluster(state)
    stubs.answers["read_cluster"] = AdoptionReading(state=state, known=True, other_key=True)
    assert not (await bench.run(AdoptClusterRequest(cluster_id=state.spec.id))).changed


async def test_name_of_another_cluster_refuses_it_and_stays_with_that(bench: Bench, stubs: Stubs):
    taken = CreateClusterRequest(cluster_id=new_id(), name="orders-taken")
    await bench.run(taken)
    stubs.calls.clear()
    cluster_id = new_id()
    handle = await bench.start(AdoptClusterRequest(cluster_id=cluster_id, name=taken.name))
    error, detail = await failure(handle)
    assert (error.type, detail.began) == ("AlreadyExists", False)
    assert error.message == f"Organization personal has a cluster '{taken.name}' already."
    assert stubs.texts(handle.id) == ["read_cluster"]
    assert (await bench.run(AdoptClusterRequest(cluster_id=cluster_id, name="orders-other"))).changed
    assert (await bench.free(cluster_id)).state.spec.name == "orders-other"


async def test_cluster_whose_workflow_was_terminated_is_on_record_again_under_its_name(bench: Bench):
    request = CreateClusterRequest(cluster_id=new_id(), name=f"orders-{new_id()}")
    await bench.run(request)
    await bench.client.get_workflow_handle(cluster_workflow_id(request.cluster_id)).terminate()
    assert (await bench.run(AdoptClusterRequest(cluster_id=request.cluster_id, name=request.name))).changed
    assert (await bench.free(request.cluster_id)).state.spec.name == request.name


async def test_terminated_adoption_leaves_the_cluster_and_can_be_repeated(bench: Bench, stubs: Stubs):
    state, started = ready_cluster(), asyncio.Event()
    stubs.plan("settle_cluster", hangs(stubs, started))
    handle = await bench.start(request_of("adopt-cluster", state))
    await started.wait()
    await handle.terminate()
    stubs.released.set()
    assert (await bench.run(request_of("adopt-cluster", state))).changed
    assert "remove_cluster" not in [call.text for call in stubs.effects]


async def test_adoption_terminated_on_record_is_settled_by_the_cluster(bench: Bench, stubs: Stubs):
    state, started = ready_cluster(), asyncio.Event()
    stubs.plan("await_caught_up b behind a for 600s", hangs(stubs, started))
    handle = await bench.start(request_of("adopt-cluster", state))
    await started.wait()
    await handle.terminate()
    view = await bench.free(state.spec.id)
    assert view.state.status.phase is ClusterPhase.READY
    assert "remove_cluster" not in [call.text for call in stubs.effects]


async def test_steps_are_tried_again(bench: Bench, stubs: Stubs):
    for effect in ("ensure_access", "settle_cluster", "read_catalog of a"):
        stubs.plan(effect, fails_times(2))
    assert (await bench.run(request_of("adopt-cluster", ready_cluster()))).changed


async def test_commits_do_not_wait_for_a_replica_that_does_not_run(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    replica = state.status.replica
    assert replica is not None
    down = replica.model_copy(update={"phase": NodePhase.STOPPED, "in_sync": False})
    stubs.answers["settle_cluster"] = effects.Observation(facts=(NodeIs(node=down),))
    handle = await bench.start(request_of("adopt-cluster", state))
    await handle.result()
    assert "set_synchronous on=a standby=None" in stubs.texts(handle.id)

    async def repaired() -> bool:
        recorded = (await bench.view(state.spec.id)).state.status.replica
        return recorded is not None and recorded.phase is NodePhase.RUNNING and recorded.in_sync

    await until(repaired)


async def test_what_nobody_knows_is_said_and_is_on_record_as_not_known(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    stubs.answers["read_cluster"] = AdoptionReading(state=as_labelled(state.spec.id), notes=("It is older.",))
    stubs.answers["read_catalog"] = Catalog(
        users=(User(name="fly-user", role=Role.SCHEMA_ADMIN), unknown_password("amy")),
        databases=(Database(name="fly-db"),),
        legacy_roles=True,
    )
    result = await bench.run(AdoptClusterRequest(cluster_id=state.spec.id, new_key=True))
    assert result.message == (
        f"Cluster {state.spec.name} is on record again, with 2 users and 1 database. Not known here are the passwords "
        "of amy: they are in force as before, and to show one it has to be rotated. It is older."
    )
    spec = (await bench.free(state.spec.id)).state.spec
    assert (spec.legacy_roles, [user.password_known for user in spec.users]) == (True, [True, False])
    assert "ensure_access with a new key" in [call.text for call in stubs.effects]


async def cluster_with_unknown_password(bench: Bench) -> ClusterState:
    state = ready_cluster()
    users = (*state.spec.users, unknown_password("eve"))
    state = state.model_copy(update={"spec": state.spec.model_copy(update={"users": users})})
    await bench.cluster(state)
    return state


async def test_rotation_of_a_password_that_is_not_known_begins_at_the_first_version(bench: Bench):
    state = await cluster_with_unknown_password(bench)
    await bench.run(RotatePasswordRequest(cluster_id=state.spec.id, username="eve"))
    user = (await bench.free(state.spec.id)).state.spec.user("eve")
    assert user is not None
    assert user.password_version == 1


async def test_rotation_of_a_password_that_is_not_known_is_never_undone(bench: Bench, stubs: Stubs):
    state = await cluster_with_unknown_password(bench)
    stubs.plan("set_password eve version=1", fails())
    handle = await bench.start(RotatePasswordRequest(cluster_id=state.spec.id, username="eve"))
    _, detail = await failure(handle)
    assert detail.outcome is OperationOutcome.FAILED
    assert stubs.texts(handle.id) == ["set_password eve version=1"]
    started = asyncio.Event()
    stubs.plan("set_password eve version=1", hangs(stubs, started), 2)
    again = await bench.start(RotatePasswordRequest(cluster_id=state.spec.id, username="eve"))
    await started.wait()
    await again.cancel()
    await asyncio.sleep(1.5)  # by then a local activity has heard of it
    stubs.released.set()
    assert (await again.result()).changed


async def test_finding_answers_what_the_host_has(bench: Bench, stubs: Stubs):
    found = FoundClusters(clusters=(FoundCluster(id=new_id(), name="orders", org="personal", known=False),))
    stubs.answers["find_clusters"] = found
    answer = await bench.client.execute_workflow(
        FindClustersRequest.workflow,
        FindClustersRequest(),
        id=f"find-clusters/{new_id()}",
        task_queue="mpg",
        result_type=FoundClusters,
    )
    assert answer == found
