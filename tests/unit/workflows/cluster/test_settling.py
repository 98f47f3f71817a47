"""After operations that did not complete: what is put back in service, cleaned up after, and left for later."""

import asyncio

import pytest

from model import effects
from model.cluster import ClusterPhase, Durability, Role, User
from model.conditions import NEEDS_OPERATOR
from model.effects import Observation
from model.errors import NotYet, Refused
from model.facts import AbsencesPlanned, InSync, PhaseIs, PrimaryIs, UserIs, apply
from tests.unit.workflows.runtime import Runtime, ScriptedRecord
from tests.workflows.samples import ready_cluster
from workflows.cluster.settling import EndedOperation, Settling

SETTLED = "settle_cluster"
SEEN = "commit absences_planned, condition_is, phase_is phase=ready"
BEN = UserIs(user=User(name="ben", role=Role.WRITER))
AMY = EndedOperation(id="create-user/orders/1", username="amy", undone=True)
SHOP = EndedOperation(id="delete-database/orders/2", database="shop")
CLEAN_UP = (
    "reconcile_record user=amy database=None undone=True",
    "reconcile_record user=None database=shop undone=False",
)
NOT_IN_SYNC = (
    "await_caught_up b behind a for 20s",
    "set_synchronous on=a standby=b",
    "await_caught_up b behind a for 20s",
)


class Settled:
    """A cluster that needs an operator, with operations to clean up after."""

    def __init__(
        self, runtime: Runtime, *ended: EndedOperation, durability: Durability = Durability.SYNC, in_sync: bool = True
    ) -> None:
        facts = [InSync(name="b", value=in_sync), AbsencesPlanned(names=("a",))]
        self.record = ScriptedRecord(apply(ready_cluster(durability=durability), facts), runtime)
        self.record.give_to_operator("It could not be put back in service.")
        self.urgent = False
        self.settling = Settling(self.record, ended, lambda: self.urgent)
        runtime.journal.clear()

    @property
    def conditions(self) -> list[tuple[str, str]]:
        return [(each.type, each.message) for each in self.record.status.conditions]


async def test_settled_cluster_is_ready_with_what_was_seen_and_nobody_is_away_on_purpose(runtime: Runtime):
    settled = Settled(runtime)
    runtime.plan(
        effects.SETTLE_CLUSTER, Observation(facts=(PrimaryIs(name="b", timeline=2), InSync(name="a", value=True)))
    )
    before = settled.record.state
    await settled.settling.settle()
    status = settled.record.status
    assert status.primary == status.node("b")
    assert (status.phase, status.absences, status.conditions) == (ClusterPhase.READY, (), ())
    assert runtime.args[SETTLED] == [effects.SettleInput(state=before)]


async def test_operations_that_ended_are_kept_out_before_anything_is_looked_at(runtime: Runtime):
    settled = Settled(runtime, AMY, SHOP)
    await settled.settling.settle()
    assert runtime.args[SETTLED][0].ended == (AMY.id, SHOP.id)
    assert runtime.journal[:2] == [SETTLED, SEEN]


async def test_nodes_are_started_by_the_cluster_itself_until_it_is_ready_and_no_longer(runtime: Runtime):
    settled = Settled(runtime, AMY)
    nodes, user = runtime.lasts(effects.SETTLE_CLUSTER), runtime.lasts(effects.RECONCILE_RECORD)
    settling = asyncio.create_task(settled.settling.settle())
    assert not settled.settling.under_way
    await runtime.until(lambda: SETTLED in runtime.journal)
    assert settled.settling.under_way
    nodes.set_result(Observation(facts=()))
    await runtime.until(lambda: CLEAN_UP[0] in runtime.journal)
    # From here on the primary is one to miss again.
    assert not settled.settling.under_way
    user.set_result(Observation(facts=()))
    await settling
    assert not settled.settling.under_way


@pytest.mark.parametrize(
    "looked", [Observation(facts=(InSync(name="b", value=False),)), NotYet("The host does not answer.")]
)
async def test_cluster_that_cannot_be_settled_is_shown_as_it_is_and_given_to_an_operator(
    runtime: Runtime, looked: Observation | NotYet
):
    settled = Settled(runtime, AMY)
    runtime.plan(effects.SETTLE_CLUSTER, Refused("Both nodes take writes."))
    runtime.plan(effects.OBSERVE_CLUSTER, looked)
    await settled.settling.settle()
    replica = settled.record.status.replica
    assert replica is not None
    assert replica.in_sync == isinstance(looked, NotYet)
    assert settled.record.status.phase is ClusterPhase.NEEDS_OPERATOR
    assert settled.conditions == [(NEEDS_OPERATOR, "It could not be put back in service: Both nodes take writes.")]
    assert not settled.settling.under_way
    # Nobody cleaned up: that is for the next time.
    assert settled.settling.ended == (AMY,)
    assert CLEAN_UP[0] not in runtime.journal


# --- what is tidied once the cluster serves -------------------------------------------------------------------------


async def test_each_ended_operation_is_cleaned_up_after_once(runtime: Runtime):
    settled = Settled(runtime, AMY, SHOP)
    runtime.plan(effects.RECONCILE_RECORD, Observation(facts=(BEN,)))
    await settled.settling.settle()
    assert [line for line in runtime.journal if line.startswith("reconcile")] == list(CLEAN_UP)
    assert settled.record.spec.user("ben") == BEN.user
    assert settled.settling.ended == ()


async def test_operation_that_could_not_be_cleaned_up_after_is_not_forgotten_and_keeps_no_other(runtime: Runtime):
    settled = Settled(runtime, AMY, SHOP)
    runtime.plan(effects.RECONCILE_RECORD, NotYet("The primary does not answer."))
    await settled.settling.settle()
    assert settled.settling.ended == (AMY,)
    assert settled.record.status.phase is ClusterPhase.READY
    await settled.settling.settle()
    assert runtime.args[SETTLED][1].ended == (AMY.id,)
    assert settled.settling.ended == ()


@pytest.mark.parametrize(
    ("durability", "in_sync", "done"),
    [
        (Durability.SYNC, False, NOT_IN_SYNC),
        (Durability.SYNC, True, ()),
        (Durability.ASYNC, False, ()),
    ],
)
async def test_commits_wait_for_the_replica_again_where_they_should(
    runtime: Runtime, durability: Durability, in_sync: bool, done: tuple[str, ...]
):
    settled = Settled(runtime, durability=durability, in_sync=in_sync)
    await settled.settling.settle()
    effects_only = tuple(line for line in runtime.journal if not line.startswith("commit"))
    assert effects_only == (SETTLED, *done)
    replica = settled.record.status.replica
    assert replica is not None
    assert replica.in_sync == (in_sync or bool(done))


async def test_replica_that_does_not_catch_up_leaves_the_cluster_ready_without_it(runtime: Runtime):
    settled = Settled(runtime, in_sync=False)
    runtime.plan(effects.AWAIT_CAUGHT_UP, NotYet("It replays too slowly."))
    await settled.settling.settle()
    replica = settled.record.status.replica
    assert replica is not None
    assert not replica.in_sync
    assert settled.record.status.phase is ClusterPhase.READY
    assert "set_synchronous on=a standby=b" not in runtime.journal


async def test_tidying_makes_room_for_what_is_more_urgent(runtime: Runtime):
    settled = Settled(runtime, AMY, SHOP)
    user = runtime.lasts(effects.RECONCILE_RECORD)
    settling = asyncio.create_task(settled.settling.settle())
    await runtime.until(lambda: CLEAN_UP[0] in runtime.journal)
    await runtime.rest()
    assert not settling.done()
    settled.urgent = True
    await settling
    assert user.cancelled()
    assert settled.settling.ended == (AMY, SHOP)
    assert CLEAN_UP[1] not in runtime.journal


# --- what is remembered ---------------------------------------------------------------------------------------------


def test_operation_is_remembered_once_as_it_ended_last(runtime: Runtime):
    settling = Settled(runtime, AMY, SHOP).settling
    again = AMY.model_copy(update={"undone": False})
    settling.after(again)
    assert settling.ended == (SHOP, again)
    settling.not_after(SHOP.id)
    assert settling.ended == (again,)


# --- removing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("then", [ClusterPhase.ERROR, ClusterPhase.DESTROYED])
async def test_cluster_of_which_nothing_is_left_is_over(runtime: Runtime, then: ClusterPhase):
    settled = Settled(runtime, AMY)
    await settled.settling.remove_everything(then)
    assert settled.record.status.phase is then
    key = settled.record.spec.id
    assert runtime.args["remove_cluster"] == [effects.RemoveClusterInput(cluster_id=key, ended=(AMY.id,))]


async def test_cluster_that_cannot_be_removed_is_not_over(runtime: Runtime):
    settled = Settled(runtime)
    settled.record.learn(PhaseIs(phase=ClusterPhase.DESTROYING))
    runtime.plan(effects.REMOVE_CLUSTER, Refused("A volume is in use."))
    await settled.settling.remove_everything(ClusterPhase.DESTROYED)
    assert settled.record.status.phase is ClusterPhase.NEEDS_OPERATOR
    assert settled.conditions == [
        (NEEDS_OPERATOR, "It could not be removed; destroy it once the cause is gone: A volume is in use.")
    ]
