"""What counts as lost, and what is done about it with the turn: by an operation of the cluster's own."""

import asyncio

import pytest
from temporalio.exceptions import CancelledError

from model import effects
from model.cluster import ClusterPhase, ClusterState, Durability
from model.conditions import DEGRADED, NEEDS_OPERATOR
from model.effects import Alarm
from model.facts import AbsencesPlanned, InSync, PhaseIs, apply
from model.operations import FailoverRequest, RepairRequest
from tests.unit.workflows.cluster.alarms import POOLER, A, B
from tests.unit.workflows.cluster.healed import GRANT, HOLDER, Healed
from tests.unit.workflows.runtime import Runtime
from tests.workflows.samples import ready_cluster, without_replica
from workflows.cluster.healing import HEALING_TASK

# --- what the watch says --------------------------------------------------------------------------------------------


def test_alarm_is_noted_and_from_then_on_the_watch_need_not_tell_of_it(healed: Healed):
    healed.healing.note(B)
    assert healed.losses.next == B
    assert healed.healing.absences == ("b",)


async def test_alarm_about_what_is_away_on_purpose_or_left_alone_is_none(healed: Healed):
    healed.record.learn(AbsencesPlanned(names=("a",)))
    healed.losses.rest("b")
    for alarm in (A, B):
        healed.healing.note(alarm)
    assert healed.losses.known == ("b",)
    assert healed.healing.absences == ("a", "b")


@pytest.mark.parametrize("phase", [ClusterPhase.INITIALIZING, ClusterPhase.DESTROYING])
async def test_no_node_is_missed_while_a_cluster_is_made_or_destroyed(healed: Healed, phase: ClusterPhase):
    healed.record.learn(PhaseIs(phase=phase))
    healed.healing.note(B)
    assert healed.losses.known == ()
    assert healed.healing.absences == ("a", "b")


async def test_no_node_is_missed_while_the_cluster_settles(runtime: Runtime, healed: Healed):
    nodes = runtime.lasts(effects.SETTLE_CLUSTER)
    settling = asyncio.create_task(healed.settling.settle())
    await runtime.until(lambda: healed.settling.under_way)
    healed.healing.note(A)
    assert healed.losses.known == ()
    assert healed.healing.absences == ("a", "b")
    nodes.set_result(effects.Observation(facts=()))
    await settling
    assert healed.healing.absences == ()
    healed.healing.note(A)
    assert healed.losses.primary == A


# --- with the turn --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alarm", "request_type"), [(A, FailoverRequest), (B, RepairRequest), (POOLER, RepairRequest)])
async def test_loss_is_healed_by_an_operation_that_has_the_turn_from_its_beginning(
    healed: Healed, alarm: Alarm, request_type: type[FailoverRequest | RepairRequest]
):
    healed.healing.note(alarm)
    healing = asyncio.create_task(healed.healing.heal(alarm))
    child = await healed.child()
    assert healed.turns.holds(child.id)
    assert type(child.request) is request_type
    assert (child.request.lost, child.request.how) == (alarm.name, alarm.how)
    # It is away on purpose now, for the cluster and for the operation alike.
    assert healed.record.status.absences == (alarm.name,)
    assert child.request.state == healed.record.state
    assert child.options["task_timeout"] == HEALING_TASK
    child.completes()
    await healing
    assert healed.turns.holder is None
    assert healed.record.status.absences == ()
    assert healed.losses.known == ()


async def test_turn_is_given_back_to_whom_it_was_taken_from(healed: Healed):
    following = healed.follow()
    holder = healed.turns.holder
    healed.healing.note(A)
    await healed.yields()
    child = await healed.child()
    assert not healed.turns.holds(HOLDER)
    child.fails("no")
    await healed.runtime.until(lambda: GRANT in healed.runtime.journal)
    assert healed.turns.holder == holder
    healed.end.set_result(None)
    await following


async def test_healed_cluster_is_not_degraded_and_needs_nobody(healed: Healed):
    healed.record.learn(healed.record.condition(DEGRADED, "b is away"))
    healed.record.give_to_operator("The primary is lost.")
    healing = asyncio.create_task(healed.healing.heal(A))
    (await healed.child()).completes()
    await healing
    assert healed.record.status.phase is ClusterPhase.READY
    assert healed.conditions == {}


async def test_cluster_serves_degraded_without_a_replica_that_does_not_come_back(healed: Healed):
    healing = asyncio.create_task(healed.healing.heal(B))
    (await healed.child()).fails("Its disk is full.")
    await healing
    assert healed.record.status.phase is ClusterPhase.READY
    said = "b was lost (its process ended) and does not come back; it is tried again. Its disk is full."
    assert healed.conditions == {DEGRADED: said}
    # Left alone for a while.
    assert healed.healing.absences == ("b",)
    await healed.runtime.pass_time(2)
    assert healed.healing.absences == ()


@pytest.mark.parametrize(
    ("state", "choice"),
    [
        (ready_cluster(), False),
        (apply(ready_cluster(), [InSync(name="b", value=False)]), True),
        (ready_cluster(durability=Durability.ASYNC), False),
        (without_replica(ready_cluster()), False),
    ],
    ids=["in sync", "not in sync", "async", "no replica"],
)
async def test_lost_primary_that_is_not_replaced_is_for_an_operator_who_has_a_choice_where_one_may_lose(
    runtime: Runtime, state: ClusterState, choice: bool
):
    healed = Healed(runtime, state)
    healing = asyncio.create_task(healed.healing.heal(A))
    (await healed.child()).fails("Nobody answers.")
    await healing
    assert healed.record.status.phase is ClusterPhase.NEEDS_OPERATOR
    said = "Node a was lost (its process ended) and could not be replaced or restarted. Nobody answers."
    accept = f" To give up what its replica lacks: mpg failover {healed.record.spec.name} --accept-loss."
    assert healed.conditions == {NEEDS_OPERATOR: said + (accept if choice else "")}
    assert healed.healing.absences == ("a",)


async def test_cancellation_of_a_healing_is_no_failure_of_it(healed: Healed):
    healing = asyncio.create_task(healed.healing.heal(B))
    (await healed.child()).end.set_exception(CancelledError("cancelled"))
    with pytest.raises(CancelledError):
        await healing
    assert healed.turns.holder is None
    assert healed.conditions == {}
