"""What is done about a loss beside an operation that has the turn."""

import asyncio

import pytest
from temporalio.exceptions import ApplicationError

from model import effects
from model.conditions import DEGRADED
from model.errors import NotYet, Refused
from model.facts import AbsencesPlanned, PrimaryIs
from model.operations import TurnGrant
from tests.unit.workflows.cluster.alarms import POOLER, A, B
from tests.unit.workflows.cluster.healed import GRANT, HOLDER, YIELD, Healed
from tests.unit.workflows.runtime import Runtime
from workflows.cluster.healing import YIELD_BOUND

FAIL_OVER = "start Failover for a"
RELEASE = "release_commits on=a"

WITHOUT_B = "commit in_sync name=b value=False, condition_is"
"""Recorded together: that nobody promotes it, and what people see."""


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
    # It is not in sync, which nothing but its repair changes.
    assert healed.conditions == {
        DEGRADED: "b was lost (its process ended): no commit waits for it until it is in sync again."
    }


# --- what is in nobody's way ----------------------------------------------------------------------------------------


async def test_writes_go_on_without_a_lost_replica_which_nobody_promotes_from_then_on(runtime: Runtime, healed: Healed):
    following = healed.follow()
    released = runtime.lasts(effects.RELEASE_COMMITS)
    healed.healing.note(B)
    await runtime.until(lambda: RELEASE in runtime.journal)
    assert runtime.journal == [WITHOUT_B, RELEASE]
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
    assert runtime.journal == [WITHOUT_B, RELEASE]
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
    assert runtime.journal == [WITHOUT_B, RELEASE, "mend_way_in"]
