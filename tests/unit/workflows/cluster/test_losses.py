"""What is lost, what of it comes first, and what is left alone for a while."""

from collections.abc import Sequence

import pytest

from model.cluster import ClusterPhase, ClusterState, Condition, Durability, NodeRole
from model.conditions import DEGRADED
from model.effects import Alarm, AlarmKind
from model.facts import AbsencesPlanned, ConditionIs, Fact, InSync, PhaseIs, apply
from tests.unit.workflows.cluster.alarms import POOLER, A, B
from tests.unit.workflows.runtime import Runtime
from tests.workflows.samples import ready_cluster, without_replica
from workflows.cluster.losses import Losses
from workflows.cluster.record import no_condition

LEFT = Alarm(kind=AlarmKind.NODE, name="b", how="it is not in sync")

NEEDS_OPERATOR = PhaseIs(phase=ClusterPhase.NEEDS_OPERATOR)
BEHIND = InSync(name="b", value=False)


class Known(Losses):
    """Losses of a cluster that the test changes."""

    def __init__(self, *facts: Fact, durability: Durability = Durability.SYNC) -> None:
        self.state: ClusterState = apply(ready_cluster(durability=durability), facts)
        super().__init__(lambda: self.state)

    def noting(self, *alarms: Alarm) -> "Known":
        for alarm in alarms:
            self.note(alarm)
        return self


def test_nothing_is_lost_at_first(runtime: Runtime):
    losses = Known()
    assert (losses.next, losses.primary, losses.replica, losses.way_in, losses.known) == (None, None, None, None, ())


@pytest.mark.parametrize(
    ("facts", "alarms", "first"),
    [
        ((), (POOLER, B, A), A),
        ((), (B, POOLER), B),
        ((), (POOLER, B), POOLER),
        # It is restarted in place: nobody else may be promoted.
        ((BEHIND,), (B, A), A),
        ((NEEDS_OPERATOR,), (B, A), A),
        ((NEEDS_OPERATOR,), (B,), B),
    ],
)
def test_primary_is_healed_before_all_else_and_then_what_was_lost_first(
    runtime: Runtime, facts: tuple[Fact, ...], alarms: tuple[Alarm, ...], first: Alarm
):
    assert Known(*facts).noting(*alarms).next == first


@pytest.mark.parametrize("phase", [ClusterPhase.INITIALIZING, ClusterPhase.DESTROYING, ClusterPhase.DESTROYED])
def test_cluster_that_is_made_or_destroyed_has_nothing_to_lose(runtime: Runtime, phase: ClusterPhase):
    losses = Known(PhaseIs(phase=phase)).noting(POOLER, B, A)
    assert (losses.next, losses.primary, losses.replica, losses.way_in) == (None, None, None, None)


def test_nothing_is_healed_without_a_primary_on_record(runtime: Runtime):
    losses = Known().noting(B, POOLER)
    status = losses.state.status
    alone = tuple(node for node in status.nodes if node.role is NodeRole.REPLICA)
    losses.state = losses.state.model_copy(update={"status": status.model_copy(update={"nodes": alone})})
    assert losses.next is None
    assert losses.replica is None


async def test_nothing_is_healed_while_a_primary_that_does_not_come_back_is_left_alone(runtime: Runtime):
    losses = Known().noting(B)
    losses.rest("a")
    assert losses.next is None
    losses.forget("a")
    assert losses.next == B


@pytest.mark.parametrize(
    ("durability", "facts", "lost"),
    [
        (Durability.SYNC, (), B),
        (Durability.SYNC, (BEHIND,), None),
        (Durability.ASYNC, (), None),
        (Durability.ASYNC, (InSync(name="b", value=True),), None),
    ],
)
def test_replica_is_lost_to_writes_only_where_commits_wait_for_it(
    runtime: Runtime, durability: Durability, facts: tuple[Fact, ...], lost: Alarm | None
):
    assert Known(*facts, durability=durability).noting(B).replica == lost


def test_way_in_is_a_loss_of_its_own(runtime: Runtime):
    losses = Known().noting(B, POOLER)
    assert losses.way_in == POOLER
    losses.helped(POOLER.name)
    assert losses.way_in is None
    assert losses.known == ("b",)


# --- a replica that was left behind ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("durability", "facts", "found"),
    [
        (Durability.SYNC, (BEHIND,), LEFT),
        (Durability.SYNC, (), None),
        (Durability.SYNC, (BEHIND, NEEDS_OPERATOR), None),
        (Durability.ASYNC, (BEHIND,), None),
    ],
)
def test_replica_left_out_of_sync_is_found_although_the_watch_sees_nothing(
    runtime: Runtime, durability: Durability, facts: tuple[Fact, ...], found: Alarm | None
):
    assert Known(*facts, durability=durability).next == found


def test_primary_that_has_no_replica_has_left_none_behind(runtime: Runtime):
    losses = Known()
    losses.state = without_replica(losses.state)
    assert losses.next is None


async def test_replica_left_out_of_sync_is_left_alone_while_it_rests(runtime: Runtime):
    losses = Known(BEHIND)
    losses.rest("b")
    assert losses.next is None
    await runtime.pass_time(2)
    assert losses.next == LEFT


# --- what facts say of what is lost ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fact", "known"),
    [
        (AbsencesPlanned(), ("b", "pooler-1-1")),
        (AbsencesPlanned(names=("b",)), ("pooler-1-1",)),
        (AbsencesPlanned(names=("pooler-1-1", "b")), ()),
        (InSync(name="b", value=True), ("pooler-1-1",)),
        (InSync(name="b", value=False), ("b", "pooler-1-1")),
        (PhaseIs(phase=ClusterPhase.READY), ("b", "pooler-1-1")),
    ],
)
def test_fact_is_newer_than_what_the_watch_said(runtime: Runtime, fact: Fact, known: tuple[str, ...]):
    losses = Known().noting(B, POOLER)
    losses.hear([fact])
    assert losses.known == known


@pytest.mark.parametrize(
    ("facts", "cleared"),
    [
        ([InSync(name="b", value=True), AbsencesPlanned()], True),
        ([InSync(name="b", value=False)], False),
        ([PhaseIs(phase=ClusterPhase.READY), AbsencesPlanned(names=("b",))], False),
    ],
)
def test_cluster_whose_replica_is_in_sync_is_not_degraded(runtime: Runtime, facts: Sequence[Fact], cleared: bool):
    heard = Known().hear(facts)
    assert list(heard) == [*facts, *([no_condition(DEGRADED)] if cleared else [])]
    degraded = Condition(type=DEGRADED, status=True, since=runtime.now(), message="b is away")
    state = apply(ready_cluster(), [ConditionIs(condition=degraded), *heard])
    assert (state.status.conditions == ()) is cleared


async def test_cluster_in_service_again_has_all_looked_at_again(runtime: Runtime):
    losses = Known()
    losses.rest("a")
    losses.rest("b")
    losses.hear([PhaseIs(phase=ClusterPhase.NEEDS_OPERATOR), AbsencesPlanned(names=("b",))])
    assert losses.known == ("a", "b")
    losses.hear([PhaseIs(phase=ClusterPhase.READY)])
    assert losses.known == ()


# --- resting --------------------------------------------------------------------------------------------------------


async def rests_for(runtime: Runtime, losses: Losses, name: str) -> float:
    """Let *name* rest; return after how many seconds it is looked at again."""
    begun = runtime.passed
    losses.rest(name)
    while name in losses.known:
        await runtime.pass_time(1)
    return runtime.passed - begun


async def test_what_could_not_be_healed_rests_longer_each_time_until_all_is_well(runtime: Runtime):
    losses = Known()
    assert [await rests_for(runtime, losses, "b") for _ in range(3)] == [2, 4, 8]
    assert await rests_for(runtime, losses, "pooler-1-1") == 2
    losses.helped("b")
    assert await rests_for(runtime, losses, "b") == 16
    losses.forget("b")
    assert await rests_for(runtime, losses, "b") == 2


async def test_what_is_well_again_is_not_woken_by_its_former_rest(runtime: Runtime):
    losses = Known()
    losses.rest("b")
    await runtime.pass_time(1.5)
    losses.forget("b")
    losses.rest("b")
    await runtime.pass_time(1)
    assert losses.known == ("b",)
    await runtime.pass_time(1)
    assert losses.known == ()


async def test_nobody_is_woken_when_the_run_ends(runtime: Runtime):
    losses = Known()
    losses.rest("b")
    await runtime.rest()
    losses.stop()
    await runtime.pass_time(1000)
    assert losses.known == ("b",)
