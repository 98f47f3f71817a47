"""Turns: who has the turn, who waits for it in which order, and how each hears of it."""

import asyncio
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError, CancelledError

from model import effects
from model.cluster import ClusterPhase, OperationRef, PoolMode, Role, User
from model.effects import Effect, OperationEnd, TurnAnswer
from model.facts import InSync, PhaseIs, PoolersAre, UserIs
from model.operations import TurnGrant, TurnRequest
from model.poolers import plan_generation
from tests.unit.workflows.runtime import Runtime, ScriptedRecord
from tests.workflows.samples import ready_cluster
from workflows.cluster import turns as turns_module
from workflows.cluster.turns import ASKING, HANDLED_KEPT, Turns

BEN = UserIs(user=User(name="ben", role=Role.WRITER))


@pytest.fixture
def record(runtime: Runtime) -> ScriptedRecord:
    return ScriptedRecord(ready_cluster(), runtime)


@pytest.fixture
def turns(record: ScriptedRecord) -> Turns:
    return Turns(record)


def asks(runtime: Runtime, name: str, run_id: str = "run") -> TurnRequest:
    return TurnRequest(operation_id=name, run_id=run_id, type="CreateUser", requested_at=runtime.now())


def ref(runtime: Runtime, name: str) -> OperationRef:
    return OperationRef(id=name, run_id="run", type="CreateUser", started_at=runtime.now())


def test_first_come_is_first_served_and_each_request_counts_once(runtime: Runtime, turns: Turns):
    for name in ("one", "two", "one", "three"):
        turns.request(asks(runtime, name))
    assert [each.operation_id for each in turns.waiting] == ["one", "two", "three"]
    assert turns.next().operation_id == "one"
    turns.request(asks(runtime, "one"))
    assert [each.operation_id for each in turns.waiting] == ["two", "three"]


def test_what_a_former_run_left_is_gone_on_with(runtime: Runtime, record: ScriptedRecord):
    turns = Turns(record, ref(runtime, "holder"), (asks(runtime, "two"),), ("holder", "one", "two"))
    turns.request(asks(runtime, "one"))
    assert turns.holder == ref(runtime, "holder")
    assert [each.operation_id for each in turns.waiting] == ["two"]
    assert turns.handled == ("holder", "one", "two")


def test_so_many_past_operations_are_known_again_and_no_more(runtime: Runtime, turns: Turns):
    for number in range(HANDLED_KEPT + 10):
        turns.request(asks(runtime, str(number)))
        turns.next()
    turns.request(asks(runtime, "10"))
    assert turns.waiting == ()
    assert len(turns.handled) == HANDLED_KEPT + 1


# --- the answer to an open request ----------------------------------------------------------------------------------


async def test_operation_that_asks_of_a_free_cluster_has_the_answer_and_needs_no_signal(
    runtime: Runtime, record: ScriptedRecord, turns: Turns
):
    answer = asyncio.create_task(turns.take(asks(runtime, "one")))
    await runtime.until(lambda: len(turns.waiting) == 1)
    assert await turns.grant(turns.next())
    assert await answer == TurnAnswer(state=record.state)
    assert runtime.sent == []


async def test_operation_that_waits_longer_has_its_place_and_is_signalled(runtime: Runtime, turns: Turns):
    answer = asyncio.create_task(turns.take(asks(runtime, "one")))
    await runtime.pass_time(ASKING.total_seconds() - 0.1)
    assert not answer.done()
    await runtime.pass_time(0.1)
    assert await answer == TurnAnswer()
    assert await turns.grant(turns.next())
    assert runtime.journal == ["signal grant_turn to one"]


async def test_nobody_else_is_answered_by_a_grant(runtime: Runtime, turns: Turns):
    first, second = (asyncio.create_task(turns.take(asks(runtime, name))) for name in ("one", "two"))
    await runtime.until(lambda: len(turns.waiting) == 2)
    await turns.grant(turns.next())
    await runtime.until(first.done)
    await runtime.rest()
    assert not second.done()
    turns.give_to(None)
    await turns.grant(turns.next())
    assert (await second).state is not None


async def test_operation_on_a_cluster_that_is_over_is_answered_at_once(
    runtime: Runtime, record: ScriptedRecord, turns: Turns
):
    record.learn(PhaseIs(phase=ClusterPhase.DESTROYED))
    assert await turns.take(asks(runtime, "one")) == TurnAnswer(state=record.state)


async def test_operation_whose_first_task_is_run_again_sees_what_it_saw_then(
    runtime: Runtime, record: ScriptedRecord, turns: Turns
):
    granted = record.state
    await turns.grant(asks(runtime, "one"))
    more = plan_generation(granted.spec.id, 2, PoolMode.SESSION, granted.status.poolers)
    record.learn(BEN, PoolersAre(poolers=more), InSync(name="b", value=False))
    answered = (await turns.take(asks(runtime, "one"))).state
    assert answered is not None
    assert answered.spec == granted.spec
    assert answered.status.poolers == granted.status.poolers
    # What became of the nodes is so whoever asks.
    assert answered.status.nodes == record.status.nodes


# --- handing the turn over ------------------------------------------------------------------------------------------


async def test_holder_has_the_turn_before_it_hears_of_it(runtime: Runtime, record: ScriptedRecord, turns: Turns):
    held: list[bool] = []
    tell = turns.tell

    async def telling(operation_id: str, run_id: str) -> bool:
        held.append(turns.holds(operation_id))
        return await tell(operation_id, run_id)

    turns.tell = telling
    assert await turns.grant(asks(runtime, "one"))
    assert held == [True]
    assert turns.holder == ref(runtime, "one")
    assert runtime.sent == [("one", "run", TurnGrant(state=record.state))]


async def test_operation_that_ended_while_it_waited_is_passed_over(runtime: Runtime, turns: Turns):
    runtime.gone["one"] = ApplicationError("workflow execution already completed")
    assert not await turns.grant(asks(runtime, "one"))
    assert turns.holder is None
    assert not turns.holds("one")


async def test_cancellation_is_not_taken_for_an_operation_that_is_gone(runtime: Runtime, turns: Turns):
    runtime.gone["one"] = CancelledError("cancelled")
    with pytest.raises(CancelledError):
        await turns.grant(asks(runtime, "one"))


async def test_state_at_the_grant_is_kept_whatever_is_recorded_later(
    runtime: Runtime, record: ScriptedRecord, turns: Turns
):
    assert turns.granted is None
    before = record.state
    await turns.grant(asks(runtime, "one"))
    record.learn(BEN)
    turns.give_to(None)
    assert turns.granted == before != record.state


def test_turn_of_another_is_lent_and_given_back(runtime: Runtime, record: ScriptedRecord):
    turns = Turns(record, ref(runtime, "holder"))
    turns.give_to(ref(runtime, "failover"))
    assert (turns.holds("failover"), turns.holds("holder")) == (True, False)
    turns.give_to(ref(runtime, "holder"))
    assert (turns.holds("failover"), turns.holds("holder")) == (False, True)
    turns.give_to(None)
    assert not turns.holds("holder")


async def test_operation_without_a_run_id_is_told_whichever_run_it_has(runtime: Runtime, turns: Turns):
    assert await turns.tell("failover", "")
    assert [(name, run_id) for name, run_id, _ in runtime.sent] == [("failover", None)]


async def test_all_who_wait_are_dismissed_in_their_order_also_past_one_that_ended(runtime: Runtime, turns: Turns):
    for name in ("one", "two", "three"):
        turns.request(asks(runtime, name))
    runtime.gone["two"] = ApplicationError("workflow execution already completed")
    await turns.dismiss()
    assert runtime.journal == [f"signal grant_turn to {name}" for name in ("one", "two", "three")]
    assert turns.waiting == ()


async def test_end_of_the_holder_is_that_of_its_own_run(
    runtime: Runtime, turns: Turns, monkeypatch: pytest.MonkeyPatch
):
    end = OperationEnd(completed=False, how="terminated")
    asked: list[Any] = []

    async def call(effect: Effect[Any, Any], arg: Any, *, summary: str) -> OperationEnd:
        asked.append((effect, arg))
        return end

    monkeypatch.setattr(turns_module, "call", call)
    assert await turns.end_of(ref(runtime, "one")) == end
    assert asked == [
        (effects.AWAIT_OPERATION_END, effects.AwaitOperationInput(operation_id="one", run_id="run")),
    ]
