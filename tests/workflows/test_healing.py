"""What a cluster does by itself when something is lost."""

import asyncio

import pytest
from temporalio.client import WorkflowExecutionStatus

from model.cluster import (
    ARCHIVING_FAILS,
    BACKUP_OVERDUE,
    DRILL_OVERDUE,
    WRONG_MASTER_KEY,
    ClusterPhase,
    ClusterState,
    Condition,
    Durability,
    NodeRole,
    Role,
)
from model.effects import Alarm, AlarmKind
from model.errors import HostFull, NeedsOperator, NotFound, ReplicaBehind
from model.facts import InSync, apply
from model.names import MAIN_QUEUE
from model.operations import (
    ChangePlanRequest,
    CreateDatabaseRequest,
    CreateUserRequest,
    ForcedFailoverRequest,
    RestartRequest,
    TurnGrant,
)
from model.settings import load_settings
from starter.client.operation import Operation
from tests.workflows.bench import Bench, failure, until
from tests.workflows.samples import MADE_AT, ready_cluster
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


async def test_what_a_cluster_starts_itself_is_shown_step_by_step(bench: Bench) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, lost("a"))
    await healed(bench, state.spec.id, "b")
    [failover] = {call.workflow_id for call in bench.stubs.calls if call.effect == "fail_over"}
    shown = await Operation(bench.client, load_settings(), failover).describe()
    assert (shown.type, shown.status, shown.cluster_id) == ("Failover", "done", state.spec.id)
    assert [(step.name, step.status) for step in shown.steps] == [
        ("fence a and promote b", "done"),
        ("bring a back as a replica", "done"),
    ]


REJOIN_B = "ensure_node b replica rejoin plan=basic follows=a"


async def test_replica_not_known_in_sync_is_never_promoted(bench: Bench) -> None:
    state = apply(ready_cluster(), [InSync(name="b", value=False)])
    started = asyncio.Event()
    bench.stubs.plan(REJOIN_B, hangs(bench.stubs, started))
    await bench.cluster(state)
    await asyncio.wait_for(started.wait(), 10)
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


async def test_cluster_with_another_master_key_says_so_and_heals_nothing_until_that_is_over(bench: Bench) -> None:
    state = ready_cluster()
    await bench.cluster(state)

    async def told() -> str | None:
        found = (await bench.view(state.spec.id)).state.status.condition(WRONG_MASTER_KEY)
        return found and found.message

    def key(how: str) -> Alarm:
        return Alarm(kind=AlarmKind.MASTER_KEY, name="master key", how=how)

    async def noted() -> bool:
        return (await told(), (await bench.view(state.spec.id)).state.status.absences) == ("Another key.", ("a",))

    bench.stubs.alarm(state.spec.id, key("Another key."))
    bench.stubs.alarm(state.spec.id, lost("a"))
    await until(noted)
    assert asked(bench, "fail_over") == []
    assert (await bench.view(state.spec.id)).state.status.phase is ClusterPhase.READY
    bench.stubs.alarm(state.spec.id, key(""))
    await healed(bench, state.spec.id, "b")
    assert await told() is None


@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        (AlarmKind.ARCHIVING, ARCHIVING_FAILS),
        (AlarmKind.BACKUP_AGE, BACKUP_OVERDUE),
        (AlarmKind.DRILL_AGE, DRILL_OVERDUE),
    ],
)
async def test_what_is_wrong_with_backups_is_shown_as_long_as_it_is_so(
    bench: Bench, kind: AlarmKind, condition: str
) -> None:
    state = ready_cluster()
    await bench.cluster(state)

    async def shown() -> Condition | None:
        return (await bench.view(state.spec.id)).state.status.condition(condition)

    async def is_shown() -> bool:
        return await shown() is not None

    async def is_gone() -> bool:
        return await shown() is None

    bench.stubs.alarm(state.spec.id, Alarm(kind=kind, name="backups", how="It fails.", since=MADE_AT))
    await until(is_shown)
    found = await shown()
    assert found is not None
    assert (found.message, found.since) == ("It fails.", MADE_AT)
    assert bench.stubs.effects == []
    bench.stubs.alarm(state.spec.id, Alarm(kind=kind, name="backups", how=""))
    await until(is_gone)


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


async def given_up(bench: Bench, state: ClusterState) -> None:
    """Return when the lost primary *a* of *state* could not be started again."""
    for occurrence in range(1, 5):
        error = NeedsOperator("Postgres in node a ended: its data is gone.")
        bench.stubs.plan("settle_cluster", fails(error), occurrence)
    bench.stubs.alarm(state.spec.id, lost("a"))

    async def so() -> bool:
        return (await bench.view(state.spec.id)).state.status.phase is ClusterPhase.NEEDS_OPERATOR

    await until(so)


async def without_b_in_sync(bench: Bench) -> ClusterState:
    """A cluster whose replica is being repaired, and will be for as long as nothing else happens."""
    started = asyncio.Event()
    bench.stubs.plan(REJOIN_B, hangs(bench.stubs, started))
    state = apply(ready_cluster(), [InSync(name="b", value=False)])
    await bench.cluster(state)
    await asyncio.wait_for(started.wait(), 10)
    return state


async def test_forced_failover_says_what_is_lost_and_leaves_the_cluster_whole(bench: Bench) -> None:
    state = await without_b_in_sync(bench)
    await given_up(bench, state)
    (condition,) = (await bench.view(state.spec.id)).state.status.conditions
    assert condition.message.startswith("Node a was lost (its process ended) and could not be replaced or restarted.")
    assert "its data is gone" in condition.message
    result = await bench.run(ForcedFailoverRequest(cluster_id=state.spec.id, accept_loss=True))
    assert result.message == (
        f"Node b is the primary of cluster {state.spec.name} now. "
        "It has all up to WAL position 0/4F00000 on timeline 1. "
        "What a acknowledged after that is lost; its last checkpoint was at 0/5000028 on timeline 1. "
        "Node a was rebuilt as its replica."
    )
    await healed(bench, state.spec.id, "b")
    status = (await bench.view(state.spec.id)).state.status
    assert (status.phase, status.conditions, status.absences) == (ClusterPhase.READY, (), ())


async def test_forced_failover_has_its_turn_whatever_the_watch_says_of_the_lost_primary(bench: Bench) -> None:
    state = await without_b_in_sync(bench)
    await given_up(bench, state)
    started = asyncio.Event()
    bench.stubs.plan("read_position b", hangs(bench.stubs, started))
    handle = await bench.start(ForcedFailoverRequest(cluster_id=state.spec.id, accept_loss=True))
    await asyncio.wait_for(started.wait(), 20)
    bench.stubs.alarm(state.spec.id, lost("a"))
    assert {"a", "b"} <= set((await bench.view(state.spec.id)).state.status.absences)
    await asyncio.sleep(0.3)  # long enough for it to have been preempted
    bench.stubs.released.set()
    assert (await handle.result()).changed
    await healed(bench, state.spec.id, "b")


async def test_lost_node_that_does_not_come_back_after_a_forced_failover_is_told_and_repaired(bench: Bench) -> None:
    state = await without_b_in_sync(bench)
    await given_up(bench, state)
    bench.stubs.plan("ensure_node a replica rejoin plan=basic follows=b", fails(HostFull("Its disk is full.")))
    result = await bench.run(ForcedFailoverRequest(cluster_id=state.spec.id, accept_loss=True))
    assert result.message.endswith("Node a does not come back: Its disk is full.")
    await healed(bench, state.spec.id, "b")


async def test_lost_replica_is_rebuilt_while_writes_go_on(bench: Bench) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, lost("b"))
    await until(lambda: _has(bench, "ensure_node"))
    await healed(bench, state.spec.id, "a")
    order = [call.text for call in bench.stubs.calls if call.effect in {"set_synchronous", "ensure_node"}]
    assert order[0] == "set_synchronous on=a standby=None"
    assert order[-1] == "set_synchronous on=a standby=b"


SILENT_B = Alarm(kind=AlarmKind.NODE, name="b", how="it has acknowledged nothing for 3 s")
ALONE = "b was lost (it has acknowledged nothing for 3 s): no commit waits for it until it is in sync again."


async def test_replica_that_does_not_acknowledge_is_said_to_be_lost_until_it_is_in_sync_again(bench: Bench) -> None:
    state = ready_cluster()
    started = asyncio.Event()
    bench.stubs.plan(REJOIN_B, hangs(bench.stubs, started))
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, SILENT_B)
    await asyncio.wait_for(started.wait(), 10)
    assert asked(bench, "set_synchronous")[0] == "set_synchronous on=a standby=None"
    status = (await bench.view(state.spec.id)).state.status
    assert [(each.type, each.message) for each in status.conditions] == [("Degraded", ALONE)]
    assert status.replica is not None
    assert not status.replica.in_sync
    bench.stubs.released.set()
    await healed(bench, state.spec.id, "a")
    assert (await bench.view(state.spec.id)).state.status.conditions == ()


async def test_loss_of_a_replica_that_no_commit_waited_for_is_no_condition(bench: Bench) -> None:
    state = ready_cluster(durability=Durability.ASYNC)
    started = asyncio.Event()
    bench.stubs.plan(REJOIN_B, hangs(bench.stubs, started))
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, lost("b"))
    await asyncio.wait_for(started.wait(), 10)
    assert (await bench.view(state.spec.id)).state.status.conditions == ()
    bench.stubs.released.set()


async def test_cluster_outlives_sql_that_fails_while_it_settles(bench: Bench) -> None:
    state = ready_cluster()
    cluster = await bench.cluster(state)
    started = asyncio.Event()
    bench.stubs.plan("restart_node b", hangs(bench.stubs, started))
    bench.stubs.plan("set_synchronous on=a standby=b", fails())
    holder = await bench.start(RestartRequest(cluster_id=state.spec.id, node="b"))
    await asyncio.wait_for(started.wait(), 10)
    await holder.terminate()
    await until(lambda: _has(bench, "ensure_node"))
    await healed(bench, state.spec.id, "a")
    assert (await cluster.describe()).status is WorkflowExecutionStatus.RUNNING


async def test_replica_left_out_of_sync_is_repaired_unasked(bench: Bench) -> None:
    state = apply(ready_cluster(), [InSync(name="b", value=False)])
    await bench.cluster(state)
    await healed(bench, state.spec.id, "a")
    assert asked(bench, "ensure_node") == [REJOIN_B]


async def test_primary_lost_during_a_repair_is_started_again_and_the_replica_is_repaired_after_it(bench: Bench) -> None:
    state = ready_cluster()
    started = asyncio.Event()
    bench.stubs.plan(REJOIN_B, hangs(bench.stubs, started))
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, lost("b"))
    await asyncio.wait_for(started.wait(), 10)
    assert (await bench.view(state.spec.id)).state.status.absences == ("b",)
    # Once the primary runs again it takes its time to bring the replica in sync.
    bench.stubs.plan("await_caught_up b behind a for 20s", fails(ReplicaBehind("It does not follow yet.")))
    bench.stubs.alarm(state.spec.id, lost("a"))
    await until(lambda: _has(bench, "settle_cluster"))
    await healed(bench, state.spec.id, "a")
    assert asked(bench, "fail_over") == []
    assert asked(bench, "ensure_node") == [REJOIN_B, REJOIN_B]
    status = (await bench.view(state.spec.id)).state.status
    assert (status.phase, status.conditions, status.absences) == (ClusterPhase.READY, (), ())


async def test_new_primary_lost_while_the_old_one_is_rebuilt_is_started_again(bench: Bench) -> None:
    state = ready_cluster()
    started = asyncio.Event()
    bench.stubs.plan("ensure_node a replica rejoin plan=basic follows=b", hangs(bench.stubs, started))
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, lost("a"))
    await asyncio.wait_for(started.wait(), 10)
    bench.stubs.alarm(state.spec.id, lost("b"))
    await until(lambda: _has(bench, "settle_cluster"))
    await healed(bench, state.spec.id, "b")
    assert asked(bench, "fail_over") == ["fail_over to=b"]


async def test_lost_primary_is_seen_while_the_loss_of_the_replica_waits_for_the_turn(bench: Bench) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    started = asyncio.Event()
    bench.stubs.plan("create_user bob writer", hangs(bench.stubs, started))
    handle = await bench.start(CreateUserRequest(cluster_id=state.spec.id, username="bob", role=Role.WRITER))
    await asyncio.wait_for(started.wait(), 10)
    bench.stubs.alarm(state.spec.id, lost("b"))

    async def told() -> bool:
        return (await bench.view(state.spec.id)).state.status.absences == ("b",)

    await until(told)
    bench.stubs.alarm(state.spec.id, lost("a"))
    # In place: commits went on without b from its loss on.
    await until(lambda: _has(bench, "settle_cluster"))
    bench.stubs.released.set()
    error, _ = await failure(handle)
    assert error.type == "Preempted"
    assert asked(bench, "fail_over") == []
    await healed(bench, state.spec.id, "a")


async def test_primary_lost_while_commits_are_being_released_from_the_replica_comes_first(bench: Bench) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    working, releasing = asyncio.Event(), asyncio.Event()
    bench.stubs.plan("drain_node b for 30s", hangs(bench.stubs, working))
    bench.stubs.plan("release_commits on=a", hangs(bench.stubs, releasing))
    handle = await bench.start(ChangePlanRequest(cluster_id=state.spec.id, plan="launch"))
    await asyncio.wait_for(working.wait(), 10)
    bench.stubs.alarm(state.spec.id, lost("b"))
    await asyncio.wait_for(releasing.wait(), 10)
    bench.stubs.alarm(state.spec.id, lost("a"))
    await until(lambda: _has(bench, "settle_cluster"))
    error, _ = await failure(handle)
    assert error.type == "Preempted"
    assert asked(bench, "fail_over") == []
    await healed(bench, state.spec.id, "a")


WAY_IN = Alarm(kind=AlarmKind.WAY_IN, name="endpoint", how="its container does not run")


async def test_way_in_that_is_lost_during_an_operation_is_mended_at_once(bench: Bench) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    started = asyncio.Event()
    bench.stubs.plan("drain_node b for 30s", hangs(bench.stubs, started))
    handle = await bench.start(ChangePlanRequest(cluster_id=state.spec.id, plan="launch"))
    await asyncio.wait_for(started.wait(), 10)
    for times in (1, 2):  # told of each loss anew
        bench.stubs.alarm(state.spec.id, WAY_IN)

        async def mended(times: int = times) -> bool:
            return len(asked(bench, "mend_way_in")) == times

        await until(mended)
    assert (await bench.view(state.spec.id)).state.status.conditions == ()
    bench.stubs.released.set()
    assert (await handle.result()).changed
    assert asked(bench, "settle_cluster") == []


async def test_way_in_that_cannot_be_mended_during_an_operation_is_said_and_repaired_after_it(bench: Bench) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    started = asyncio.Event()
    bench.stubs.plan("drain_node b for 30s", hangs(bench.stubs, started))
    bench.stubs.plan("mend_way_in", fails(NotFound("The container of pooler-1-1 is gone.")))
    handle = await bench.start(ChangePlanRequest(cluster_id=state.spec.id, plan="launch"))
    await asyncio.wait_for(started.wait(), 10)
    bench.stubs.alarm(state.spec.id, WAY_IN)

    async def said() -> bool:
        return bool((await bench.view(state.spec.id)).state.status.conditions)

    await until(said)
    (condition,) = (await bench.view(state.spec.id)).state.status.conditions
    assert condition.message == (
        "endpoint was lost (its container does not run) and does not come back; it is tried again."
        " The container of pooler-1-1 is gone."
    )
    bench.stubs.released.set()
    assert (await handle.result()).changed

    async def looked_at_again() -> bool:
        return (await bench.view(state.spec.id)).state.status.absences == ()

    await until(looked_at_again)
    bench.stubs.alarm(state.spec.id, WAY_IN)
    await until(lambda: _has(bench, "settle_cluster"))
    await healed(bench, state.spec.id, "b")
    assert (await bench.view(state.spec.id)).state.status.conditions == ()


async def test_replica_that_does_not_come_back_is_said_and_leaves_the_primary_watched(bench: Bench) -> None:
    state = ready_cluster()
    for occurrence in range(1, 4):
        bench.stubs.plan(REJOIN_B, fails(HostFull("The disk of node b is full.")), occurrence)
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, lost("b"))

    async def degraded() -> bool:
        conditions = (await bench.view(state.spec.id)).state.status.conditions
        return any("does not come back" in each.message for each in conditions)

    await until(degraded)
    status = (await bench.view(state.spec.id)).state.status
    (condition,) = status.conditions
    assert (condition.type, status.phase, status.absences) == ("Degraded", ClusterPhase.READY, ("b",))
    assert condition.message == (
        "b was lost (its process ended) and does not come back; it is tried again. The disk of node b is full."
    )
    bench.stubs.alarm(state.spec.id, lost("a"))
    await until(lambda: _has(bench, "settle_cluster"))
    await healed(bench, state.spec.id, "a")
    assert (await bench.view(state.spec.id)).state.status.conditions == ()


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
    handle = await bench.start(CreateUserRequest(cluster_id=state.spec.id, username="bob", role=Role.WRITER))
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


async def test_operation_that_is_told_to_yield_before_its_first_step_is_not_stuck(bench: Bench) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    request = CreateUserRequest(cluster_id=state.spec.id, username="ben", role=Role.WRITER)
    handle = await bench.client.start_workflow(
        request.operation,
        request,
        id=f"create-user/{state.spec.name}/early",
        task_queue=MAIN_QUEUE,
        start_signal="yield_turn",
    )
    await handle.signal("grant_turn", TurnGrant(state=state))
    error, detail = await failure(handle)
    assert (error.type, detail.began) == ("Preempted", True)
    # What its forgotten steps may have done is looked at.
    await bench.free(state.spec.id)
    assert asked(bench, "reconcile_record") == ["reconcile_record user=ben database=None undone=True"]


async def test_commits_are_released_from_a_lost_replica_while_an_operation_has_the_turn(bench: Bench) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    started = asyncio.Event()
    bench.stubs.plan("create_database books", hangs(bench.stubs, started))
    holder = await bench.start(CreateDatabaseRequest(cluster_id=state.spec.id, database="books"), state.spec.name)
    await started.wait()
    bench.stubs.alarm(state.spec.id, SILENT_B)
    await until(lambda: _has(bench, "release_commits"))
    assert asked(bench, "release_commits") == ["release_commits on=a"]
    status = (await bench.view(state.spec.id)).state.status
    assert [each.message for each in status.conditions] == [ALONE]
    replica = status.replica
    assert replica is not None
    assert not replica.in_sync
    assert asked(bench, "fence_node") == [], "the repair waits for the turn"
    bench.stubs.released.set()
    assert (await holder.result()).changed
    await healed(bench, state.spec.id, "a")
    assert asked(bench, "fence_node") == ["fence_node b"]
    assert (await bench.view(state.spec.id)).state.status.conditions == ()
