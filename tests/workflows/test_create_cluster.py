"""CreateCluster: names have one owner, and what can run side by side does."""

import asyncio

import pytest
from temporalio.client import WorkflowExecutionStatus

from model import effects
from model.cluster import ClusterPhase, ClusterState, NodeRole
from model.names import cluster_workflow_id, name_workflow_id
from model.operations import CreateClusterRequest, DestroyClusterRequest
from tests.workflows.bench import Bench, Handle, failure
from tests.workflows.samples import new_id
from tests.workflows.story import story
from tests.workflows.stubs import Stubs, hangs

BEFORE = [
    ("create_network", "ensure_node a"),
    ("create_network", "ensure_node b"),
    ("create_network", "create_endpoint"),
    ("ensure_node a", "set_up_roles"),
    ("create_endpoint", "create_poolers"),
    ("create_poolers", "set_routes pooled=6441+6442 direct=a read_only=a"),
    ("set_up_roles", "set_routes pooled=6441+6442 direct=a read_only=a"),
    ("set_up_roles", "await_caught_up"),
    ("ensure_node b", "await_caught_up"),
    ("await_caught_up", "set_synchronous"),
    ("set_synchronous", "commit node_is b replica plan=basic, in_sync name=b value=True"),
    ("set_routes pooled=6441+6442 direct=a read_only=a", "set_routes pooled=6441+6442 direct=a read_only=b"),
    ("set_routes pooled=6441+6442 direct=a read_only=b", "commit phase_is phase=ready"),
]


def new_request(name: str | None = None) -> CreateClusterRequest:
    cluster_id = new_id()
    return CreateClusterRequest(cluster_id=cluster_id, name=name or f"orders-{cluster_id}")


async def test_order_of_what_depends_on_each_other(bench: Bench, stubs: Stubs):
    handle = await bench.start(new_request())
    await handle.result()
    lines = await story(handle, stubs)

    def at(beginning: str) -> int:
        return next(index for index, line in enumerate(lines) if line.startswith(beginning))

    assert [(first, then) for first, then in BEFORE if at(first) >= at(then)] == []


async def test_endpoint_is_open_before_the_replica_has_its_copy(bench: Bench, stubs: Stubs):
    request, copying = new_request(), asyncio.Event()
    stubs.plan("ensure_node b replica clone plan=basic follows=a", hangs(stubs, copying))
    handle = await bench.start(request)
    await copying.wait()
    async with asyncio.timeout(10):
        while "set_routes pooled=6441+6442 direct=a read_only=a" not in stubs.texts(handle.id):
            await asyncio.sleep(0.01)
    stubs.released.set()
    await handle.result()


async def test_created_cluster_is_on_record_completely(bench: Bench):
    request = new_request()
    await bench.run(request)
    state = (await bench.free(request.cluster_id)).state
    assert (state.status.phase, state.spec.name, state.spec.host) == (ClusterPhase.READY, request.name, "local")
    assert {(n.name, n.role, n.in_sync) for n in state.status.nodes} == {
        ("a", NodeRole.PRIMARY, False),
        ("b", NodeRole.REPLICA, True),
    }
    assert len(state.status.current_poolers) == 2
    assert state.status.endpoint is not None


async def test_of_two_creations_with_one_name_exactly_one_wins(bench: Bench, stubs: Stubs):
    first = new_request()
    second = new_request(first.name)
    handles = await asyncio.gather(bench.start(first), bench.start(second))
    ends = await asyncio.gather(*(handle.result() for handle in handles), return_exceptions=True)
    losers = [handle for handle, end in zip(handles, ends, strict=True) if isinstance(end, Exception)]
    assert len(losers) == 1
    error, detail = await failure(losers[0])
    assert (error.type, detail.began) == ("AlreadyExists", False)
    assert error.message == f"Organization personal has a cluster '{first.name}' already."
    assert set(stubs.texts(losers[0].id)) == {"check_host basic"}


async def test_name_of_a_destroyed_cluster_is_free_at_once(bench: Bench):
    request = new_request()
    await bench.run(request)
    await bench.run(DestroyClusterRequest(cluster_id=request.cluster_id))
    assert (await bench.run(new_request(request.name))).changed


async def test_stale_claim_of_a_creation_that_was_lost_is_taken_over(bench: Bench, stubs: Stubs):
    request = new_request()
    claim = effects.NameClaim(org="personal", name=request.name, cluster_id=new_id(), operation_id="create-cluster/x/y")
    await bench.client.start_workflow(
        "ClusterName", claim, id=name_workflow_id("personal", request.name), task_queue="mpg"
    )
    assert (await bench.run(request)).changed


async def test_second_creation_with_an_id_in_use_leaves_the_first_its_name(bench: Bench):
    request = new_request()
    await bench.run(request)
    again = await bench.start(request)
    error, _ = await failure(again)
    assert error.type == "AlreadyExists"
    name = bench.client.get_workflow_handle(name_workflow_id("personal", request.name))
    assert (await name.describe()).status is WorkflowExecutionStatus.RUNNING
    other = await bench.start(request.model_copy(update={"name": f"{request.name}-x"}))
    error, _ = await failure(other)
    assert error.message == f"There is, or was, a cluster with id {request.cluster_id}."
    await see_name_go(bench, f"{request.name}-x")


async def see_name_go(bench: Bench, name: str) -> None:
    await asyncio.wait_for(bench.client.get_workflow_handle(name_workflow_id("personal", name)).result(), 10)


@pytest.mark.parametrize("at", ["create_network", "set_up_roles"])
async def test_terminated_creation_is_cleared_away_by_the_cluster(bench: Bench, stubs: Stubs, at: str):
    request, started = new_request(), asyncio.Event()
    stubs.plan(at, hangs(stubs, started))
    handle: Handle = await bench.start(request)
    await started.wait()
    cluster = bench.client.get_workflow_handle(cluster_workflow_id(request.cluster_id), result_type=ClusterState)
    await handle.terminate()
    assert (await cluster.result()).status.phase is ClusterPhase.ERROR
    assert stubs.texts(cluster.id) == ["remove_cluster"]
    await see_name_go(bench, request.name)
