"""Sequences over nodes: which node is never touched, and what is recorded before it is done."""

import asyncio
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from model import effects
from model.cluster import Durability, Node, PoolerPhase, PoolMode
from model.effects import Bootstrap, Effect
from model.errors import LongTransaction, NeedsOperator, NotYet, ReplicaBehind
from model.facts import InSync, NodeIs, PoolersAre, PrimaryIs
from model.operations import SwitchoverRequest
from model.plans import DEFAULT_PLANS
from model.poolers import plan_generation
from tests.unit.workflows.runtime import Runtime, ScriptedOperation
from tests.workflows.samples import ready_cluster, without_replica
from workflows.nodes import Nodes, bring_in_sync, resources_of
from workflows.operation import Done, given

OUT = "commit in_sync name=b value=False, absences_planned"
ALONE = "set_synchronous on=a standby=None"
READS_TO_A = "set_routes pooled=6441+6442 direct=a read_only=a"
READS_TO_B = "set_routes pooled=6441+6442 direct=a read_only=b"
DRAIN_B = f"drain_node b for {effects.READS_END_S:g}s"
BACK = (
    "commit node_is b replica plan=basic",
    "await_caught_up b behind a for 600s",
    "set_synchronous on=a standby=b",
    "await_caught_up b behind a for 600s",
    "commit node_is b replica plan=basic, in_sync name=b value=True, absences_planned",
    READS_TO_B,
)


class Worked:
    """An operation that has the turn of a cluster that serves, and its sequences over nodes."""

    def __init__(self, runtime: Runtime, durability: Durability = Durability.SYNC) -> None:
        self.operation = ScriptedOperation(ready_cluster(durability=durability), runtime)
        self.nodes = Nodes(self.operation)

    def node(self, name: str) -> Node:
        found = self.operation.state.status.node(name)
        assert found is not None
        return found

    async def rebuild(self, name: str, *, drain: bool = False) -> None:
        await self.nodes.rebuild_replica(name, "basic", resources_of(self.node("b")), drain=drain)


@pytest.fixture
def worked(runtime: Runtime) -> Worked:
    return Worked(runtime)


# --- what is never rebuilt ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "c"])
async def test_primary_is_never_rebuilt_nor_a_node_that_nobody_knows(runtime: Runtime, worked: Worked, name: str):
    with pytest.raises(NeedsOperator, match=f"Node {name} is not rebuilt: it may be the primary"):
        await worked.rebuild(name)
    assert runtime.journal == []


async def test_nothing_is_rebuilt_while_it_is_not_known_which_node_is_the_primary(runtime: Runtime, worked: Worked):
    switched = runtime.lasts(effects.SWITCH_PRIMARY)
    switching = asyncio.create_task(worked.nodes.switch_to("b", 5))
    await runtime.until(lambda: "switch_primary to=b" in runtime.journal)
    before = list(runtime.journal)
    for name in ("a", "b"):
        with pytest.raises(NeedsOperator):
            await worked.rebuild(name)
    assert runtime.journal == before
    switched.set_result(effects.SwitchoverReport(timeline=2, paused_ms=80, steps_ms={}))
    await switching
    await worked.rebuild("a")
    assert "ensure_node a replica keep plan=basic follows=b" in runtime.journal


async def test_nothing_is_rebuilt_after_a_switch_that_failed_until_one_says_who_is_the_primary(
    runtime: Runtime, worked: Worked
):
    runtime.plan(effects.SWITCH_PRIMARY, NotYet("Nobody answers."))
    with pytest.raises(NotYet):
        await worked.nodes.switch_to("b", 5)
    with pytest.raises(NeedsOperator):
        await worked.rebuild("b")
    await worked.nodes.switch_to("a", 5)
    await worked.rebuild("b")
    assert "ensure_node b replica keep plan=basic follows=a" in runtime.journal


# --- releasing, draining and rejoining ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("durability", "drain", "done"),
    [
        (Durability.SYNC, False, [OUT, ALONE, READS_TO_A]),
        (Durability.SYNC, True, [READS_TO_A, DRAIN_B, OUT, ALONE]),
        # Commits never waited for it.
        (Durability.ASYNC, False, [OUT, READS_TO_A]),
        (Durability.ASYNC, True, [READS_TO_A, DRAIN_B, OUT]),
    ],
)
async def test_replica_is_recorded_out_of_sync_before_the_primary_is_told(
    runtime: Runtime, durability: Durability, drain: bool, done: list[str]
):
    worked = Worked(runtime, durability)
    await worked.nodes.release_replica(worked.node("b"), drain=drain)
    assert runtime.journal == done
    assert not worked.node("b").in_sync
    assert worked.operation.state.status.absences == ("b",)


async def test_replica_whose_reads_do_not_end_is_not_released(runtime: Runtime, worked: Worked):
    runtime.plan(effects.DRAIN_NODE, NotYet("It does not answer."))
    with pytest.raises(NotYet):
        await worked.nodes.release_replica(worked.node("b"), drain=True)
    assert worked.node("b").in_sync
    assert ALONE not in runtime.journal


async def test_replica_that_rejoins_is_in_sync_and_serves_reads_only_once_that_is_proven(
    runtime: Runtime, worked: Worked
):
    await worked.nodes.rejoin_replica(worked.node("b"))
    assert tuple(runtime.journal) == BACK
    assert worked.node("b").in_sync


@pytest.mark.parametrize("effect", [effects.AWAIT_CAUGHT_UP, effects.SET_SYNCHRONOUS])
async def test_replica_that_was_seen_in_sync_is_not_if_it_does_not_catch_up(
    runtime: Runtime, worked: Worked, effect: Effect[Any, Any]
):
    runtime.plan(effect, NotYet("It replays too slowly."))
    with pytest.raises(NotYet):
        await worked.nodes.rejoin_replica(worked.node("b"))
    assert not worked.node("b").in_sync
    assert READS_TO_B not in runtime.journal


async def test_replica_that_lacks_what_was_acknowledged_before_the_setting_is_not_in_sync(
    runtime: Runtime, worked: Worked
):
    runtime.plan(
        effects.AWAIT_CAUGHT_UP, effects.ReplicaCaughtUp(timeline=1, lag_bytes=0), NotYet("It replays too slowly.")
    )
    with pytest.raises(NotYet):
        await worked.nodes.rejoin_replica(worked.node("b"))
    assert not worked.node("b").in_sync


async def test_replica_only_catches_up_in_async(runtime: Runtime):
    worked = Worked(runtime, Durability.ASYNC)
    await worked.nodes.rejoin_replica(worked.node("b"))
    assert runtime.journal == [*BACK[:2], BACK[0] + ", absences_planned", READS_TO_B]
    assert not worked.node("b").in_sync


async def test_facts_of_bringing_in_sync_are_for_the_caller_to_record(runtime: Runtime, worked: Worked):
    await worked.operation.commit(InSync(name="b", value=False))
    runtime.plan(effects.AWAIT_CAUGHT_UP, effects.ReplicaCaughtUp(timeline=3, lag_bytes=16))
    facts = await bring_in_sync(worked.operation.effect, worked.operation.state)
    caught_up = worked.node("b").model_copy(update={"timeline": 3, "lag_bytes": 16})
    assert facts == (NodeIs(node=caught_up), InSync(name="b", value=True))
    assert not worked.node("b").in_sync


async def test_cluster_without_a_pair_of_nodes_is_not_brought_in_sync(runtime: Runtime, worked: Worked):
    worked.operation.state = without_replica(worked.operation.state)
    with pytest.raises(NeedsOperator, match="no pair of nodes"):
        await bring_in_sync(worked.operation.effect, worked.operation.state)


async def test_new_connections_go_over_poolers_that_do_not_drain_or_those_that_are_named(
    runtime: Runtime, worked: Worked
):
    old = worked.operation.state.status.poolers
    new = plan_generation(worked.operation.state.spec.id, 2, PoolMode.SESSION, old)
    draining = tuple(pooler.model_copy(update={"phase": PoolerPhase.DRAINING}) for pooler in old)
    await worked.operation.commit(PoolersAre(poolers=(*draining, *new)))
    await worked.nodes.route(read_only=worked.node("b"))
    await worked.nodes.route(read_only=worked.node("a"), poolers=old)
    routed = "set_routes pooled=6443+6444 direct=a read_only=b"
    assert runtime.journal[1:] == [routed, READS_TO_A]


# --- rebuilding -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drain", [True, False])
async def test_rebuilt_replica_is_released_first_and_brought_in_sync_last(
    runtime: Runtime, worked: Worked, drain: bool
):
    await worked.rebuild("b", drain=drain)
    release = [READS_TO_A, DRAIN_B, OUT, ALONE] if drain else [OUT, ALONE, READS_TO_A]
    assert runtime.journal == [*release, "ensure_node b replica keep plan=basic follows=a", *BACK]


@pytest.mark.parametrize(
    ("plan", "new_plan", "made_from"),
    [("basic", None, "basic"), ("launch", None, None), ("launch", "launch", "launch")],
)
async def test_container_is_made_from_the_plan_in_full_where_it_is_known(
    runtime: Runtime, worked: Worked, plan: str, new_plan: str | None, made_from: str | None
):
    full = DEFAULT_PLANS[new_plan] if new_plan else None
    resources = resources_of(worked.node("b"))
    await worked.nodes.rebuild_replica("b", plan, resources, Bootstrap.CLONE, new_plan=full)
    (made,) = runtime.args["ensure_node"]
    assert (made.bootstrap, made.spec.plan, made.spec.resources) == (Bootstrap.CLONE, plan, resources)
    assert made.plan == (DEFAULT_PLANS[made_from] if made_from else None)


async def test_node_that_became_the_primary_is_returned_to_its_plan_after_the_other_took_over(
    runtime: Runtime, worked: Worked
):
    before = worked.node("b")
    await worked.operation.commit(PrimaryIs(name="b", timeline=2))
    await worked.nodes.return_to_plan(before, 5)
    done = [line for line in runtime.journal if line.startswith(("switch", "drain", "ensure"))]
    assert done == ["switch_primary to=a", "ensure_node b replica keep plan=basic follows=a"]


async def test_replica_is_returned_to_its_plan_with_nobody_switching_and_its_reads_drained(
    runtime: Runtime, worked: Worked
):
    await worked.nodes.return_to_plan(worked.node("b"), 5)
    done = [line for line in runtime.journal if line.startswith(("switch", "drain", "ensure"))]
    assert done == [DRAIN_B, "ensure_node b replica keep plan=basic follows=a"]


# --- switching over -------------------------------------------------------------------------------------------------


async def test_both_nodes_are_away_on_purpose_during_a_switch_and_the_old_primary_after_it(
    runtime: Runtime, worked: Worked
):
    switched = runtime.lasts(effects.SWITCH_PRIMARY)
    switching = asyncio.create_task(worked.nodes.switch_to("b", 5))
    await runtime.until(lambda: "switch_primary to=b" in runtime.journal)
    assert worked.operation.state.status.absences == ("a", "b")
    switched.set_result(effects.SwitchoverReport(timeline=2, paused_ms=80, steps_ms={}))
    await switching
    assert worked.operation.state.status.absences == ("a",)
    assert worked.operation.primary_node == worked.node("b")
    assert worked.node("b").timeline == 2
    assert runtime.journal[-1] == "commit primary_is name=b timeline=2, absences_planned"


async def test_cancellation_of_a_switch_follows_when_the_record_is_true(runtime: Runtime, worked: Worked):
    switched = runtime.lasts(effects.SWITCH_PRIMARY)
    switching = asyncio.create_task(worked.nodes.switch_to("b", 5))
    await runtime.until(lambda: "switch_primary to=b" in runtime.journal)
    switching.cancel()
    await runtime.rest()
    assert not switching.done()
    switched.set_result(effects.SwitchoverReport(timeline=2, paused_ms=80, steps_ms={}))
    with pytest.raises(asyncio.CancelledError):
        await switching
    assert worked.operation.primary_node == worked.node("b")


async def exchange(worked: Worked) -> None:
    """Switch over, as an operation that has its turn given."""
    request = SwitchoverRequest(cluster_id=worked.operation.state.spec.id)

    async def steps() -> Done:
        await worked.nodes.exchange_roles(5)
        return Done("")

    await worked.operation.operate(request, steps, given(worked.operation.state))


def switches(runtime: Runtime) -> list[str]:
    return [line for line in runtime.journal if line.startswith(("switch", "ensure"))]


async def test_roles_are_exchanged_and_the_old_primary_follows_the_new(runtime: Runtime, worked: Worked):
    await exchange(worked)
    assert runtime.journal[0] == "await_caught_up b behind a for 15s"
    assert switches(runtime) == ["switch_primary to=b", "ensure_node a replica keep plan=basic follows=b"]
    assert worked.operation.primary_node == worked.node("b")
    assert worked.node("a").in_sync


async def test_replica_that_is_behind_is_not_switched_to_and_nothing_is_touched(runtime: Runtime, worked: Worked):
    runtime.plan(effects.AWAIT_CAUGHT_UP, NotYet("It is 3 GB behind."))
    with pytest.raises(ApplicationError, match="Replica b cannot take over: It is 3 GB behind") as raised:
        await exchange(worked)
    assert raised.value.type == ReplicaBehind.__name__
    assert switches(runtime) == []


async def test_switch_that_failed_is_undone_by_leading_everybody_to_the_old_primary(runtime: Runtime, worked: Worked):
    runtime.plan(effects.SWITCH_PRIMARY, LongTransaction("A transaction lasts."))
    with pytest.raises(ApplicationError, match="A transaction lasts"):
        await exchange(worked)
    assert switches(runtime) == ["switch_primary to=b", "switch_primary to=a"]
    assert worked.operation.primary_node == worked.node("a")


async def test_switch_that_was_made_stays_although_the_old_primary_does_not_come_back(runtime: Runtime, worked: Worked):
    runtime.plan(effects.ENSURE_NODE, NotYet("The engine does not answer."))
    with pytest.raises(ApplicationError, match="The engine does not answer"):
        await exchange(worked)
    assert switches(runtime) == ["switch_primary to=b", "ensure_node a replica keep plan=basic follows=b"]
    assert worked.operation.primary_node == worked.node("b")
