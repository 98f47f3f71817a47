"""What a cluster does by itself when something is lost."""

import asyncio

import pytest
from temporalio.client import WorkflowExecutionStatus

from model.cluster import ClusterPhase, Durability, NodeRole
from model.effects import Alarm, AlarmKind
from model.errors import NeedsOperator, ReplicaBehind
from model.facts import InSync, apply
from model.operations import ChangePlanRequest, CreateUserRequest
from tests.workflows.bench import Bench, failure, until
from tests.workflows.samples import ready_cluster
from tests.workflows.stubs import fails, hangs


def lost(name: str) -> Alarm:
    return Alarm(kind=AlarmKind.NODE, name=name, how="its process ended")


async def healed(bench: Bench, cluster_id: str, primary: str) -> None:
    async def so() -> bool:
        view = await bench.view(cluster_id)
        node = view.state.status.primary
        replica = view.state.status.replica
        assert node is not None
        return node.name == primary and view.operation is None and replica is not None and replica.in_sync

    await until(so)


def asked(bench: Bench, effect: str) -> list[str]:
    return [call.text for call in bench.stubs.calls if call.effect == effect]


async def test_lost_primary_fails_over_to_the_replica_in_sync(bench: Bench) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, lost("a"))
    await healed(bench, state.spec.id, "b")
    assert asked(bench, "fail_over") == ["fail_over to=b"]
    assert any(text.startswith("ensure_node a replica rejoin") for text in asked(bench, "ensure_node"))
    assert (await bench.view(state.spec.id)).state.status.phase is ClusterPhase.READY


async def test_replica_not_known_in_sync_is_never_promoted(bench: Bench) -> None:
    state = apply(ready_cluster(), [InSync(name="b", value=False)])
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, lost("a"))
    await until(lambda: _has(bench, "settle_cluster"))
    await healed(bench, state.spec.id, "a")
    assert asked(bench, "fail_over") == []
    assert asked(bench, "settle_cluster") == ["settle_cluster"]


async def test_async_cluster_promotes_its_replica(bench: Bench) -> None:
    state = apply(ready_cluster(durability=Durability.ASYNC), [InSync(name="b", value=False)])
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, lost("a"))

    async def promoted() -> bool:
        view = await bench.view(state.spec.id)
        node = view.state.status.primary
        return node is not None and node.name == "b" and view.operation is None

    await until(promoted)


async def test_both_lost_starts_the_primary_again_and_promotes_nobody(bench: Bench) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    bench.stubs.plan("fail_over to=b", fails(ReplicaBehind("It does not answer.")))
    bench.stubs.alarm(state.spec.id, lost("a"))
    await until(lambda: _has(bench, "settle_cluster"))
    await healed(bench, state.spec.id, "a")
    assert asked(bench, "fence_node") == ["fence_node a", "fence_node b"]
    assert asked(bench, "settle_cluster") == ["settle_cluster"]


async def test_replica_that_healing_left_out_of_sync_is_repaired_next(bench: Bench) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    bench.stubs.plan("fail_over to=b", fails(ReplicaBehind("It does not answer.")))
    bench.stubs.plan("await_caught_up b behind a for 20s", fails(ReplicaBehind("It does not follow yet.")))
    bench.stubs.alarm(state.spec.id, lost("a"))
    await until(lambda: _has(bench, "ensure_node"))
    await healed(bench, state.spec.id, "a")
    assert [text for text in asked(bench, "ensure_node") if text.startswith("ensure_node b replica rejoin")]


async def test_primary_that_cannot_be_replaced_needs_an_operator(bench: Bench) -> None:
    state = apply(ready_cluster(), [InSync(name="b", value=False)])
    await bench.cluster(state)
    bench.stubs.plan("settle_cluster", fails(NeedsOperator("No node can be the primary.")))
    bench.stubs.alarm(state.spec.id, lost("a"))

    async def given_up() -> bool:
        return (await bench.view(state.spec.id)).state.status.phase is ClusterPhase.NEEDS_OPERATOR

    await until(given_up)
    assert asked(bench, "fail_over") == []
    (condition,) = (await bench.view(state.spec.id)).state.status.conditions
    assert "lost" in condition.message


async def test_lost_replica_is_rebuilt_while_writes_go_on(bench: Bench) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, lost("b"))
    await until(lambda: _has(bench, "ensure_node"))
    await healed(bench, state.spec.id, "a")
    order = [call.text for call in bench.stubs.calls if call.effect in {"set_synchronous", "ensure_node"}]
    assert order[0] == "set_synchronous on=a standby=None"
    assert order[-1] == "set_synchronous on=a standby=b"


async def _has(bench: Bench, effect: str) -> bool:
    return bool(asked(bench, effect))


@pytest.mark.parametrize("where", ["ensure_node b replica keep plan=launch follows=a", "await_caught_up b behind a"])
async def test_lost_primary_outranks_a_change_of_plan_which_is_undone_afterwards(bench: Bench, where: str) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    started = asyncio.Event()
    step = where if where.startswith("ensure") else f"{where} for 600s"
    bench.stubs.plan(step, hangs(bench.stubs, started))
    handle = await bench.start(ChangePlanRequest(cluster_id=state.spec.id, plan="launch"))
    await asyncio.wait_for(started.wait(), 10)
    bench.stubs.alarm(state.spec.id, lost("a"))
    error, told = await failure(handle)
    assert error.type == "Preempted"
    assert told.outcome == "rolled_back"
    view = await bench.free(state.spec.id)
    assert view.state.spec.plan.name == "basic"
    # Its replica was being rebuilt, so it was not in sync: the lost primary was started again.
    assert asked(bench, "fail_over") == []
    assert "settle_cluster" in asked(bench, "settle_cluster")
    assert {node.plan for node in view.state.status.nodes} == {"basic"}


async def test_user_being_created_when_the_primary_is_lost_is_undone_on_the_new_one(bench: Bench) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    started = asyncio.Event()
    bench.stubs.plan("create_user bob writer", hangs(bench.stubs, started))
    handle = await bench.start(CreateUserRequest(cluster_id=state.spec.id, username="bob", role="writer"))  # type: ignore[arg-type]
    await asyncio.wait_for(started.wait(), 10)
    bench.stubs.alarm(state.spec.id, lost("a"))

    async def failed_over() -> bool:
        node = (await bench.view(state.spec.id)).state.status.primary
        return node is not None and node.name == "b"

    await until(failed_over)
    bench.stubs.released.set()
    error, told = await failure(handle)
    assert (error.type, told.outcome) == ("Preempted", "rolled_back")
    (undo,) = [call for call in bench.stubs.calls if call.effect == "drop_user"]
    replica_address = next(node.address for node in state.status.nodes if node.role is NodeRole.REPLICA)
    assert undo.arg.target.address == replica_address  # pyright: ignore[reportAttributeAccessIssue]
    assert (await handle.describe()).status is WorkflowExecutionStatus.FAILED
