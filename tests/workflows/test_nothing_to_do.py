"""Requests that find things as they should be, and requests that the cluster's state refuses."""

import pytest

from model.cluster import Durability, NodePhase, PoolMode, Role
from model.facts import NodeIs, apply
from model.operations import (
    ChangePlanRequest,
    DisableExtensionRequest,
    EnableExtensionRequest,
    GrowStorageRequest,
    OperationRequest,
    OptInRolesRequest,
    RestartRequest,
    SetDurabilityRequest,
    SetPoolModeRequest,
    SetUserRoleRequest,
    SwitchoverRequest,
)
from tests.workflows.bench import Bench, failure
from tests.workflows.samples import INSTALLED, ready_cluster, without_replica
from tests.workflows.stubs import Stubs

ID = "0123456789abcdef"
NO_CHANGE: list[OperationRequest] = [
    ChangePlanRequest(cluster_id=ID, plan="basic"),
    SetPoolModeRequest(cluster_id=ID, pool_mode=PoolMode.TRANSACTION),
    SetDurabilityRequest(cluster_id=ID, durability=Durability.SYNC),
    SetUserRoleRequest(cluster_id=ID, username="amy", role=Role.READER),
    OptInRolesRequest(cluster_id=ID),
    GrowStorageRequest(cluster_id=ID, storage_gb=10),
    GrowStorageRequest(cluster_id=ID, auto_grow_step_gb=0),
]


@pytest.mark.parametrize("request_", NO_CHANGE, ids=lambda request: request.operation)
async def test_what_is_so_already_is_done_without_touching_anything(
    bench: Bench, stubs: Stubs, request_: OperationRequest
):
    state = ready_cluster()
    await bench.cluster(state)
    result = await bench.run(request_.model_copy(update={"cluster_id": state.spec.id}))
    assert not result.changed
    assert "already" in result.message
    assert (await bench.free(state.spec.id)).state == state
    assert stubs.effects == []


async def test_extension_that_is_installed_cannot_be_enabled(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    request = EnableExtensionRequest(cluster_id=state.spec.id, database="shop", extension=INSTALLED)
    error, detail = await failure(await bench.start(request))
    assert (error.type, detail.began) == ("AlreadyExists", False)
    assert [call.text for call in stubs.effects] == ["read_extensions shop"]


async def test_extension_that_is_not_installed_cannot_be_disabled(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    request = DisableExtensionRequest(cluster_id=state.spec.id, database="shop", extension="hstore")
    error, detail = await failure(await bench.start(request))
    assert (error.type, detail.began) == ("NotFound", False)
    assert [call.text for call in stubs.effects] == ["read_extensions shop"]


@pytest.mark.parametrize("request_", [SwitchoverRequest(cluster_id=ID), ChangePlanRequest(cluster_id=ID, plan="scale")])
async def test_without_a_replica_nothing_is_switched(bench: Bench, stubs: Stubs, request_: OperationRequest):
    state = without_replica(ready_cluster())
    await bench.cluster(state)
    error, _ = await failure(await bench.start(request_.model_copy(update={"cluster_id": state.spec.id})))
    assert error.type == "Refused"
    assert stubs.effects == []


async def test_primary_without_a_running_replica_is_restarted_in_place(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    replica = state.status.replica
    assert replica is not None
    down = replica.model_copy(update={"phase": NodePhase.STOPPED})
    state = apply(state, [NodeIs(node=down)])
    await bench.cluster(state)
    await bench.run(RestartRequest(cluster_id=state.spec.id, node="a"))
    assert [call.text for call in stubs.effects] == ["restart_node a"]
