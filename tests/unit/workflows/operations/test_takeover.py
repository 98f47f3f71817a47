"""The replica takes over: what is recorded, what else is started for clients, and what becomes of the lost node."""

import pytest

from model import effects
from model.cluster import ClusterPhase, NodePhase
from model.effects import FailoverReport, Observation
from model.errors import NotYet, ReplicaBehind
from model.facts import NodeIs, PhaseIs
from tests.unit.workflows.runtime import Runtime, ScriptedOperation
from tests.workflows.samples import ready_cluster
from workflows.operations.takeover import Takeover

PROMOTED = ["fail_over to=b", "commit primary_is name=b timeline=2"]


@pytest.fixture
def operation(runtime: Runtime) -> ScriptedOperation:
    return ScriptedOperation(ready_cluster(), runtime)


async def test_promoted_replica_is_recorded_with_what_its_operation_adds(
    runtime: Runtime, operation: ScriptedOperation
):
    await Takeover(operation).promote("b", PhaseIs(phase=ClusterPhase.READY))
    assert runtime.journal == [PROMOTED[0], f"{PROMOTED[1]}, phase_is phase=ready"]
    assert operation.primary_node == operation.state.status.node("b")


async def test_replica_that_is_not_promoted_is_not_recorded_as_primary(runtime: Runtime, operation: ScriptedOperation):
    runtime.plan(effects.FAIL_OVER, ReplicaBehind("It does not answer."))
    with pytest.raises(ReplicaBehind):
        await Takeover(operation).promote("b")
    assert runtime.journal == PROMOTED[:1]
    assert operation.primary_node == operation.state.status.node("a")


@pytest.mark.parametrize("starts", [True, False])
async def test_way_in_that_was_lost_as_well_is_started_after_the_promotion_and_fails_nothing(
    runtime: Runtime, operation: ScriptedOperation, starts: bool
):
    lost = operation.primary_node.model_copy(update={"phase": NodePhase.MISSING})
    runtime.plan(effects.FAIL_OVER, FailoverReport(timeline=2, held_ms=80, steps_ms={}, way_in_whole=False))
    seen = Observation(facts=(NodeIs(node=lost),))
    runtime.plan(effects.SETTLE_CLUSTER, seen if starts else NotYet("The engine does not answer."))
    await Takeover(operation).promote("b")
    said = ["commit node_is a primary plan=basic"] if starts else []
    assert runtime.journal == [*PROMOTED, "settle_cluster", *said]
    # The lost primary is nobody's to start here.
    assert runtime.args["settle_cluster"][0].start_primary is False


async def test_lost_node_is_brought_back_as_a_replica_of_the_new_primary(
    runtime: Runtime, operation: ScriptedOperation
):
    takeover, lost = Takeover(operation), operation.primary_node
    await takeover.promote("b")
    assert await takeover.rebuild(lost) == "node a was rebuilt as its replica."
    assert "ensure_node a replica rejoin plan=basic follows=b" in runtime.journal
    back = operation.state.status.node("a")
    assert back is not None
    assert back.in_sync


async def test_lost_node_that_does_not_come_back_fails_nothing(runtime: Runtime, operation: ScriptedOperation):
    takeover, lost = Takeover(operation), operation.primary_node
    await takeover.promote("b")
    runtime.plan(effects.ENSURE_NODE, NotYet("Its disk is gone."))
    assert await takeover.rebuild(lost) == "node a does not come back: Its disk is gone."
