"""A cluster's turns: who gets them, how they end, and what is kept across continue-as-new."""

import asyncio
from datetime import UTC, datetime

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import WorkflowAlreadyStartedError

from model.cluster import ClusterPhase, PoolerPhase, PoolMode, Role
from model.effects import CommitInput
from model.errors import NeedsOperator, Refused
from model.facts import UserGone
from model.names import cluster_workflow_id
from model.operations import (
    ChangePlanRequest,
    Commit,
    CreateUserRequest,
    DestroyClusterRequest,
    OperationOutcome,
    RestartRequest,
    RotatePasswordRequest,
    SetPoolModeRequest,
    SwitchoverRequest,
    TurnRequest,
)
from tests.workflows.bench import Bench, Handle, failure, until
from tests.workflows.samples import new_id, ready_cluster
from tests.workflows.stubs import Call, Stubs, fails, fails_times, hangs


async def test_turns_are_granted_first_come_first_served(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    cluster = await bench.cluster(state)
    started = asyncio.Event()
    stubs.plan("create_user u0 reader", hangs(stubs, started))
    names = [f"u{number}" for number in range(5)]
    handles = []
    for waiting, name in enumerate(names):
        handles.append(await bench.start(CreateUserRequest(cluster_id=state.spec.id, username=name, role=Role.READER)))

        async def waits(number: int = waiting) -> bool:
            return (await bench.view(state.spec.id)).waiting == number

        await until(waits)
    assert (await bench.view(state.spec.id)).state.status.phase is ClusterPhase.UPDATING
    stubs.released.set()
    await asyncio.gather(*(handle.result() for handle in handles))
    asked = {handle.id for handle in handles}
    found = [call.text for call in stubs.effects if call.workflow_id in asked]
    assert found == [f"create_user {name} reader" for name in names]
    assert [user.name for user in (await bench.free(state.spec.id)).state.spec.users][2:] == names
    await cluster.terminate()


async def queued(handle: Handle) -> bool:
    """Whether the operation has its place in the queue and waits for the signal, its request no longer open."""
    events = [event async for event in handle.fetch_history_events()]
    return any(event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED for event in events)


@pytest.mark.parametrize("end", ["terminated", "cancelled while it waits"])
async def test_operation_that_ends_while_it_waits_is_passed_over(bench: Bench, stubs: Stubs, end: str):
    state = ready_cluster()
    await bench.cluster(state)
    started = asyncio.Event()
    stubs.plan("set_password amy version=2", hangs(stubs, started))
    first = await bench.start(RotatePasswordRequest(cluster_id=state.spec.id, username="amy"))
    await started.wait()
    second = await bench.start(RotatePasswordRequest(cluster_id=state.spec.id, username="fly-user"))
    third = await bench.start(RotatePasswordRequest(cluster_id=state.spec.id, username="amy"))
    await until(lambda: queued(second))
    await (second.terminate() if end == "terminated" else second.cancel())
    with pytest.raises(WorkflowFailureError):
        await second.result()
    stubs.released.set()
    await first.result()
    await third.result()
    versions = {user.name: user.password_version for user in (await bench.free(state.spec.id)).state.spec.users}
    assert versions == {"fly-user": 1, "amy": 3}


async def test_terminated_holder_frees_the_turn_and_the_cluster_settles(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    started = asyncio.Event()
    stubs.plan("restart_node b", hangs(stubs, started))
    holder = await bench.start(RestartRequest(cluster_id=state.spec.id, node="b"))
    await started.wait()
    await holder.terminate("by an operator")
    view = await bench.free(state.spec.id)
    assert stubs.texts(cluster_workflow_id(state.spec.id))[0] == "settle_cluster"
    replica = view.state.status.replica
    assert replica is not None
    assert replica.in_sync
    await bench.run(RotatePasswordRequest(cluster_id=state.spec.id, username="amy"))


async def test_rejected_operation_touches_nothing_and_needs_no_settling(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    request = CreateUserRequest(cluster_id=state.spec.id, username="amy", role=Role.READER)
    error, detail = await failure(await bench.start(request))
    assert (error.type, error.message) == (
        "AlreadyExists",
        f"Cluster {state.spec.name} has a user 'amy' already.",
    )
    assert not detail.began
    assert (await bench.free(state.spec.id)).state == state
    assert stubs.calls == []


async def test_same_request_id_starts_nothing_more(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    request = RotatePasswordRequest(cluster_id=state.spec.id, username="amy")
    started = asyncio.Event()
    stubs.plan("set_password amy version=2", hangs(stubs, started))
    first = await bench.start(request, request_id="once")
    await started.wait()
    with pytest.raises(WorkflowAlreadyStartedError):
        await bench.start(request, request_id="once")
    stubs.released.set()
    await first.result()
    assert len(stubs.effects) == 1


async def test_turn_asked_for_twice_is_granted_once(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    cluster = await bench.cluster(state)
    started = asyncio.Event()
    stubs.plan("set_password amy version=2", hangs(stubs, started))
    handle = await bench.start(RotatePasswordRequest(cluster_id=state.spec.id, username="amy"))
    await started.wait()
    again = TurnRequest(
        operation_id=handle.id, run_id=handle.first_execution_run_id or "", type="x", requested_at=datetime.now(UTC)
    )
    await cluster.signal("request_turn", again)
    assert (await bench.view(state.spec.id)).waiting == 0
    stubs.released.set()
    await handle.result()
    await bench.free(state.spec.id)


async def test_commit_of_a_stranger_is_ignored(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    cluster = await bench.cluster(state)
    started = asyncio.Event()
    stubs.plan("set_password amy version=2", hangs(stubs, started))
    handle = await bench.start(RotatePasswordRequest(cluster_id=state.spec.id, username="amy"))
    await started.wait()
    await cluster.signal("commit", Commit(operation_id="delete-user/x/y", facts=(UserGone(name="amy"),)))
    assert (await bench.view(state.spec.id)).state.spec.user("amy") is not None
    stubs.released.set()
    await handle.result()


@pytest.mark.parametrize("destroyed_before", [True, False])
async def test_operation_on_no_cluster_is_not_found(bench: Bench, stubs: Stubs, destroyed_before: bool):
    state = ready_cluster()
    if destroyed_before:
        cluster = await bench.cluster(state)
        await bench.run(DestroyClusterRequest(cluster_id=state.spec.id))
        await cluster.result()
    error, _ = await failure(await bench.start(SwitchoverRequest(cluster_id=state.spec.id)))
    assert error.type == "NotFound"
    assert error.message == f"There is no cluster {state.spec.id}, or it was destroyed."


async def test_those_who_wait_hear_that_the_cluster_was_destroyed(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    started = asyncio.Event()
    stubs.plan("remove_cluster", hangs(stubs, started))
    first = await bench.start(DestroyClusterRequest(cluster_id=state.spec.id))
    await started.wait()
    second = await bench.start(DestroyClusterRequest(cluster_id=state.spec.id))
    other = await bench.start(SwitchoverRequest(cluster_id=state.spec.id))

    async def both_wait() -> bool:
        return (await bench.view(state.spec.id)).waiting == 2

    await until(both_wait)
    stubs.released.set()
    assert (await first.result()).changed
    assert not (await second.result()).changed
    error, _ = await failure(other)
    assert (error.type, error.message) == ("NotFound", f"Cluster {state.spec.name} ({state.spec.id}) was destroyed.")


async def test_effect_that_fails_a_few_times_is_tried_again(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    stubs.plan("restart_node b", fails_times(2))
    await bench.run(RestartRequest(cluster_id=state.spec.id, node="b"))
    assert [call.text for call in stubs.calls].count("restart_node b") == 3


async def test_cancellation_waits_for_compensation(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    undoing = asyncio.Event()
    stubs.plan("create_poolers generation=2 session", fails())
    stubs.plan("remove_poolers pooler-2-1 pooler-2-2", hangs(stubs, undoing))
    handle = await bench.start(SetPoolModeRequest(cluster_id=state.spec.id, pool_mode=PoolMode.SESSION))
    await undoing.wait()
    await handle.cancel()
    await asyncio.sleep(0.3)  # long enough for the cancellation to have gone wrong
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    stubs.released.set()
    _, detail = await failure(handle)
    assert detail.outcome is OperationOutcome.ROLLED_BACK


async def test_compensation_that_fails_leaves_the_rest_to_the_cluster(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    stubs.plan("set_routes pooled=6443+6444 direct=a read_only=b", fails())
    stubs.plan("set_routes pooled=6441+6442 direct=a read_only=b", fails())
    handle = await bench.start(SetPoolModeRequest(cluster_id=state.spec.id, pool_mode=PoolMode.SESSION))
    _, detail = await failure(handle)
    assert detail.outcome is OperationOutcome.FAILED
    await bench.free(state.spec.id)
    assert stubs.texts(handle.id)[-1] == "remove_poolers pooler-2-1 pooler-2-2"
    assert stubs.texts(cluster_workflow_id(state.spec.id))[0] == "settle_cluster"


async def test_cluster_that_cannot_be_settled_needs_an_operator_until_it_can(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    stubs.plan("drop_user amy", fails())
    error = NeedsOperator("Both nodes are lost; restore the cluster from a backup.")
    stubs.plan("settle_cluster", fails(error))
    await bench.run(RotatePasswordRequest(cluster_id=state.spec.id, username="amy"))
    handle = await bench.start(RestartRequest(cluster_id=state.spec.id, node="b"))
    await handle.result()
    stubs.plan("restart_node b", fails(Refused("No.")), 2)
    await failure(await bench.start(RestartRequest(cluster_id=state.spec.id, node="b")))
    status = (await bench.free(state.spec.id)).state.status
    assert status.phase is ClusterPhase.NEEDS_OPERATOR
    assert error.message in status.conditions[0].message
    await bench.run(RotatePasswordRequest(cluster_id=state.spec.id, username="amy"))
    status = (await bench.free(state.spec.id)).state.status
    assert (status.phase, status.conditions) == (ClusterPhase.READY, ())


async def test_destruction_that_cannot_be_finished_needs_an_operator_and_can_be_repeated(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    cluster = await bench.cluster(state)
    stubs.plan("remove_cluster", fails(), 1)
    stubs.plan("remove_cluster", fails(), 2)
    await failure(await bench.start(DestroyClusterRequest(cluster_id=state.spec.id)))
    view = await bench.free(state.spec.id)
    assert view.state.status.phase is ClusterPhase.NEEDS_OPERATOR
    await bench.run(DestroyClusterRequest(cluster_id=state.spec.id))
    assert (await cluster.result()).status.phase is ClusterPhase.DESTROYED


async def test_continue_as_new_keeps_state_queue_and_draining(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    cluster = await bench.cluster(state)
    draining = asyncio.Event()
    for occurrence in range(1, 9):  # again after each continue-as-new
        stubs.plan("drain_poolers pooler-1-1", hangs(stubs, draining), occurrence)
    await bench.run(SetPoolModeRequest(cluster_id=state.spec.id, pool_mode=PoolMode.SESSION))
    await asyncio.wait_for(draining.wait(), 10)
    request = RotatePasswordRequest(cluster_id=state.spec.id, username="amy")
    handles = [await bench.start(request) for _ in range(12)]
    await asyncio.gather(*(handle.result() for handle in handles))
    view = await bench.free(state.spec.id)
    user = view.state.spec.user("amy")
    assert user is not None
    assert user.password_version == 13
    now = await bench.client.get_workflow_handle(cluster.id).describe()
    assert now.run_id != cluster.first_execution_run_id
    assert {p.name: p.phase for p in view.state.status.poolers if p.generation == 1} == {
        "pooler-1-1": PoolerPhase.DRAINING
    }
    stubs.released.set()

    async def drained() -> bool:
        return all(pooler.generation == 2 for pooler in (await bench.view(state.spec.id)).state.status.poolers)

    await until(drained)


async def test_unknown_cluster_id_is_not_taken_for_a_known_one(bench: Bench):
    error, detail = await failure(await bench.start(DestroyClusterRequest(cluster_id=new_id())))
    assert (error.type, detail.began) == ("NotFound", False)


async def test_terminated_change_of_plan_is_taken_back_by_the_cluster(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    started = asyncio.Event()
    stubs.plan("switch_primary to=b", hangs(stubs, started))
    holder = await bench.start(ChangePlanRequest(cluster_id=state.spec.id, plan="launch"))
    await started.wait()
    await holder.terminate("by an operator")

    async def back_on_plan() -> bool:
        view = await bench.view(state.spec.id)
        return view.operation is None and all(node.plan == "basic" for node in view.state.status.nodes)

    await until(back_on_plan)
    assert (await bench.view(state.spec.id)).state.spec == state.spec
    returned = [call for call in stubs.effects if call.workflow_id.startswith(f"change-plan/{state.spec.name}/return-")]
    assert [call.text for call in returned if call.effect in {"ensure_node", "switch_primary"}] == [
        "ensure_node b replica keep plan=basic follows=a"
    ]


async def test_what_an_undone_operation_had_recorded_is_taken_back(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)

    async def recorded_and_lost(call: Call) -> None:
        assert isinstance(call.arg, CommitInput)
        assert stubs.real is not None
        await stubs.real.commit_facts(call.arg)
        raise Refused("It is not known to have run.")

    stubs.plan("commit user_is ben", recorded_and_lost)
    _, detail = await failure(
        await bench.start(CreateUserRequest(cluster_id=state.spec.id, username="ben", role=Role.WRITER))
    )
    assert detail.outcome is OperationOutcome.ROLLED_BACK
    assert (await bench.free(state.spec.id)).state.spec == state.spec
