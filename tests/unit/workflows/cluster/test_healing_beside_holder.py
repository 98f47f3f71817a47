"""What is done about a loss, with the turn and beside an operation that has it."""

import asyncio

import pytest
from temporalio.exceptions import ApplicationError, CancelledError

from model import effects
from model.cluster import ClusterPhase, Durability, OperationRef
from model.effects import Alarm, AlarmKind
from model.errors import NotYet, Refused
from model.facts import AbsencesPlanned, Fact, InSync, NodeGone, PhaseIs, PrimaryIs
from model.operations import FailoverRequest, RepairRequest, TurnGrant
from tests.unit.workflows.runtime import Child, Runtime, ScriptedRecord
from tests.workflows.samples import ready_cluster
from workflows.cluster.healing import HEALING_TASK, YIELD_BOUND, Healing
from workflows.cluster.losses import DEGRADED, Losses
from workflows.cluster.record import NEEDS_OPERATOR
from workflows.cluster.settling import Settling
from workflows.cluster.turns import Turns

A = Alarm(kind=AlarmKind.NODE, name="a", how="its process ended")
B = Alarm(kind=AlarmKind.NODE, name="b", how="its process ended")
POOLER = Alarm(kind=AlarmKind.WAY_IN, name="pooler-1-1", how="its container does not run")
BEHIND = InSync(name="b", value=False)
HOLDER = "change-plan/orders/1"
YIELD, GRANT = f"signal yield_turn to {HOLDER}", f"signal grant_turn to {HOLDER}"
FAIL_OVER, REPAIR = "start Failover for a", "start Repair for b"
RELEASE = "release_commits on=a"


class Healed:
    """A cluster and what heals it; its holder, where it has one, ends when the test says so."""

    def __init__(self, runtime: Runtime, *facts: Fact, durability: Durability = Durability.SYNC) -> None:
        self.runtime = runtime
        self.record = ScriptedRecord(ready_cluster(durability=durability), runtime)
        self.record.learn(*facts)
        self.turns = Turns(self.record)
        self.losses = Losses(lambda: self.record.state)
        self.record.listen(self.losses.hear)
        self.settling = Settling(self.record, (), lambda: False)
        self.healing = Healing(self.record, self.turns, self.losses, self.settling)
        runtime.journal.clear()

    def follow(self, operation: str = "ChangePlan") -> "asyncio.Task[None]":
        """Let an operation of this type work with the turn."""
        holder = OperationRef(id=HOLDER, run_id="run", type=operation, started_at=self.runtime.now())
        self.turns.give_to(holder)
        self.end = asyncio.get_running_loop().create_future()

        async def following() -> object:
            return await self.end

        return asyncio.create_task(self.healing.let_work(holder, asyncio.create_task(following())))

    async def child(self, number: int = 1) -> Child:
        """Return the operation that the cluster started itself, when it has."""
        await self.runtime.until(lambda: len(self.runtime.children) == number)
        return self.runtime.children[-1]

    async def yields(self) -> None:
        """Let the holder stop, once it is asked to."""
        await self.runtime.until(lambda: YIELD in self.runtime.journal)
        self.healing.turn_yielded()

    @property
    def conditions(self) -> dict[str, str]:
        return {each.type: each.message for each in self.record.status.conditions}


@pytest.fixture
def healed(runtime: Runtime) -> Healed:
    return Healed(runtime)


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
    ("facts", "durability", "choice"),
    [
        ((), Durability.SYNC, False),
        ((BEHIND,), Durability.SYNC, True),
        ((BEHIND,), Durability.ASYNC, False),
        ((NodeGone(name="b"),), Durability.SYNC, False),
    ],
)
async def test_lost_primary_that_is_not_replaced_is_for_an_operator_who_has_a_choice_where_one_may_lose(
    runtime: Runtime, facts: tuple[Fact, ...], durability: Durability, choice: bool
):
    healed = Healed(runtime, *facts, durability=durability)
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


# --- beside the holder ----------------------------------------------------------------------------------------------


async def test_holder_of_a_whole_cluster_is_left_to_itself(runtime: Runtime, healed: Healed):
    following = healed.follow()
    await runtime.pass_time(1000)
    assert not following.done()
    healed.end.set_result(None)
    await following
    assert runtime.journal == []


async def test_holder_yields_to_the_failover_and_then_undoes_with_the_state_after_it(runtime: Runtime, healed: Healed):
    following = healed.follow()
    healed.healing.note(A)
    await healed.yields()
    child = await healed.child()
    healed.record.learn(PrimaryIs(name="b", timeline=2))
    child.completes()
    await runtime.until(lambda: GRANT in runtime.journal)
    order = [YIELD, "commit absences_planned", FAIL_OVER, "commit primary_is name=b timeline=2", GRANT]
    assert [line for line in runtime.journal if line in order] == [*order[:4], "commit absences_planned", GRANT]
    assert runtime.sent[-1] == (HOLDER, "run", TurnGrant(state=healed.record.state))
    await runtime.rest()
    assert not following.done()
    healed.end.set_result(None)
    await following


async def test_nothing_is_done_about_the_primary_before_the_holder_has_yielded(runtime: Runtime, healed: Healed):
    healed.follow()
    healed.healing.turn_yielded()  # of an earlier time
    healed.healing.note(A)
    await runtime.pass_time(YIELD_BOUND.total_seconds() - 1)
    assert runtime.journal == [YIELD]
    healed.healing.turn_yielded()
    await healed.child()


async def test_holder_that_does_not_yield_is_not_waited_for_longer_than_its_bound(runtime: Runtime, healed: Healed):
    healed.follow()
    healed.healing.note(A)
    await runtime.pass_time(YIELD_BOUND.total_seconds())
    assert runtime.children[0].request.lost == "a"


async def test_primary_is_replaced_where_the_holder_had_just_ended(runtime: Runtime, healed: Healed):
    runtime.gone[HOLDER] = ApplicationError("workflow execution already completed")
    following = healed.follow()
    healed.healing.note(A)
    (await healed.child()).completes()
    healed.end.set_result(None)
    await following


async def test_primary_is_replaced_where_the_holder_ends_instead_of_yielding(runtime: Runtime, healed: Healed):
    following = healed.follow()
    healed.healing.note(A)
    await runtime.until(lambda: YIELD in runtime.journal)
    healed.end.set_result(None)
    (await healed.child()).completes()
    await following


@pytest.mark.parametrize("ends", [True, False])
async def test_operation_of_the_cluster_itself_makes_room_within_a_bound_and_the_failover_comes_after_it(
    runtime: Runtime, healed: Healed, ends: bool
):
    following = healed.follow("Repair")
    healed.healing.note(A)
    await healed.yields()
    await runtime.until(lambda: GRANT in runtime.journal)
    await runtime.pass_time(YIELD_BOUND.total_seconds() - 1)
    assert not following.done()
    if ends:
        healed.end.set_result(None)
        await following
    await runtime.pass_time(1)
    assert following.done()
    assert runtime.children == []
    assert healed.losses.next == A


@pytest.mark.parametrize("ends", [True, False])
async def test_repair_that_made_room_for_a_failover_is_no_failure_of_what_it_repaired(
    runtime: Runtime, healed: Healed, ends: bool
):
    healed.healing.note(B)
    healing = asyncio.create_task(healed.healing.heal(B))
    child = await healed.child()
    healed.healing.note(A)
    await runtime.until(lambda: f"signal yield_turn to {child.id}" in runtime.journal)
    healed.healing.turn_yielded()
    if ends:
        child.fails("It made room.")
    await runtime.pass_time(YIELD_BOUND.total_seconds())
    await healing
    assert healed.losses.next == A
    assert healed.losses.known == ("a",)
    assert healed.conditions == {}


# --- what is in nobody's way ----------------------------------------------------------------------------------------


async def test_writes_go_on_without_a_lost_replica_which_nobody_promotes_from_then_on(runtime: Runtime, healed: Healed):
    following = healed.follow()
    released = runtime.lasts(effects.RELEASE_COMMITS)
    healed.healing.note(B)
    await runtime.until(lambda: RELEASE in runtime.journal)
    assert runtime.journal == ["commit in_sync name=b value=False", RELEASE]
    released.set_result(effects.Nothing())
    await runtime.rest()
    # Once is enough; its repair waits for the turn.
    assert runtime.journal[2:] == []
    assert healed.losses.next == B
    healed.end.set_result(None)
    await following


async def test_commits_that_cannot_be_released_are_not_tried_again_and_harm_nobody(runtime: Runtime, healed: Healed):
    following = healed.follow()
    runtime.plan(effects.RELEASE_COMMITS, NotYet("The primary does not answer."))
    healed.healing.note(B)
    await runtime.until(lambda: RELEASE in runtime.journal)
    await runtime.rest()
    assert runtime.journal == ["commit in_sync name=b value=False", RELEASE]
    assert not following.done()


@pytest.mark.parametrize("what", ["the primary is lost too", "the holder ends"])
async def test_help_is_given_up_where_what_follows_does_it_all(runtime: Runtime, healed: Healed, what: str):
    following = healed.follow()
    released = runtime.lasts(effects.RELEASE_COMMITS)
    healed.healing.note(B)
    await runtime.until(lambda: RELEASE in runtime.journal)
    if what == "the holder ends":
        healed.end.set_result(None)
        await following
    else:
        healed.healing.note(A)
        await runtime.until(lambda: YIELD in runtime.journal)
    await runtime.until(released.cancelled)


async def test_lost_way_in_is_started_beside_the_holder(runtime: Runtime, healed: Healed):
    healed.follow()
    started = runtime.lasts(effects.MEND_WAY_IN)
    healed.healing.note(POOLER)
    await runtime.until(lambda: "mend_way_in" in runtime.journal)
    assert healed.healing.absences == (POOLER.name,)
    started.set_result(effects.Nothing())
    await runtime.until(lambda: healed.healing.absences == ())
    await runtime.rest()
    assert runtime.journal == ["mend_way_in"]
    arg, status = runtime.args["mend_way_in"][0], healed.record.status
    assert (arg.endpoint, arg.poolers) == (status.endpoint, status.poolers)


async def test_way_in_that_does_not_start_rests_and_leaves_the_cluster_degraded(runtime: Runtime, healed: Healed):
    healed.follow()
    runtime.plan(effects.MEND_WAY_IN, Refused("Its port is taken."))
    healed.healing.note(POOLER)
    await runtime.until(lambda: DEGRADED in healed.conditions)
    await runtime.rest()
    assert len(runtime.args["mend_way_in"]) == 1
    assert healed.healing.absences == (POOLER.name,)
    assert healed.losses.way_in is None
    await runtime.pass_time(2)
    assert healed.healing.absences == ()


async def test_way_in_waits_while_the_primary_is_away_on_purpose(runtime: Runtime, healed: Healed):
    healed.follow()
    healed.record.learn(AbsencesPlanned(names=("a", "b")))
    healed.healing.note(POOLER)
    await runtime.rest()
    assert "mend_way_in" not in runtime.journal
    healed.record.learn(AbsencesPlanned(names=("b",)))
    await runtime.until(lambda: "mend_way_in" in runtime.journal)


async def test_repair_of_the_way_in_is_not_helped_and_the_next_holder_is(runtime: Runtime, healed: Healed):
    healed.healing.note(POOLER)
    repairing = asyncio.create_task(healed.healing.heal(POOLER))
    child = await healed.child()
    healed.healing.note(POOLER.model_copy(update={"name": "pooler-1-2"}))
    await runtime.rest()
    assert "mend_way_in" not in runtime.journal
    child.completes()
    await repairing
    healed.follow()
    await runtime.until(lambda: "mend_way_in" in runtime.journal)


async def test_replica_comes_before_the_way_in(runtime: Runtime, healed: Healed):
    healed.healing.note(POOLER)
    healed.healing.note(B)
    healed.follow()
    await runtime.until(lambda: "mend_way_in" in runtime.journal)
    assert runtime.journal == ["commit in_sync name=b value=False", RELEASE, "mend_way_in"]
