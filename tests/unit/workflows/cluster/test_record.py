"""The cluster's record: what it knows, what lists of workflows show of it, and what is taken back."""

from collections.abc import Sequence
from typing import Any

import pytest

from model import effects
from model.cluster import ClusterPhase, PoolMode, Role, User
from model.conditions import NEEDS_OPERATOR
from model.effects import Effect
from model.facts import AbsencesPlanned, Fact, InSync, PhaseIs, PlanIs, PoolersAre, PrimaryIs, UserIs
from model.plans import DEFAULT_PLANS
from model.poolers import plan_generation
from tests.unit.workflows.runtime import Runtime
from tests.workflows.samples import ready_cluster
from workflows.cluster import record as record_module
from workflows.cluster.record import ClusterRecord, no_condition

BEN = UserIs(user=User(name="ben", role=Role.WRITER))


def shown(phase: ClusterPhase, plan: str = "basic") -> dict[str, object]:
    return {"MpgStatus": phase, "MpgPlan": plan, "MpgNeedsOperator": phase is ClusterPhase.NEEDS_OPERATOR}


def test_facts_are_recorded_in_their_order(runtime: Runtime):
    record = ClusterRecord(ready_cluster())
    record.learn(PrimaryIs(name="b", timeline=2), InSync(name="a", value=True))
    assert [(node.name, node.in_sync) for node in record.status.nodes] == [("a", True), ("b", False)]
    assert record.status.primary == record.status.node("b")


def test_facts_are_heard_before_they_are_recorded_and_what_follows_from_them_is_recorded_too(runtime: Runtime):
    record = ClusterRecord(ready_cluster())
    heard: list[tuple[Fact, bool]] = []

    def listener(facts: Sequence[Fact]) -> Sequence[Fact]:
        heard.extend((fact, record.spec.user("ben") is None) for fact in facts)
        return [*facts, AbsencesPlanned(names=("b",))]

    record.listen(listener)
    record.learn(BEN)
    assert heard == [(BEN, True)]
    assert record.spec.user("ben") == BEN.user
    assert record.status.absences == ("b",)


def test_lists_are_told_once_of_each_change_of_phase_or_plan(runtime: Runtime):
    record = ClusterRecord(ready_cluster())
    record.show()
    record.show()
    record.learn(BEN)
    assert runtime.shown == [shown(ClusterPhase.READY)]
    record.learn(PlanIs(plan=DEFAULT_PLANS["launch"]))
    record.learn(PhaseIs(phase=ClusterPhase.NEEDS_OPERATOR))
    assert runtime.shown[1:] == [
        shown(ClusterPhase.READY, "launch"),
        shown(ClusterPhase.NEEDS_OPERATOR, "launch"),
    ]


def test_page_of_the_workflow_tells_how_the_cluster_is(runtime: Runtime):
    granted = ready_cluster()
    record = ClusterRecord(granted)
    record.show()
    record.learn(BEN, PrimaryIs(name="b", timeline=2))
    record.give_to_operator("The disk is full.")
    first, _, last = runtime.details
    assert first.startswith("**ready**, plan basic, transaction mode, PostgreSQL 17")
    assert "- node a: primary, plan basic\n- node b: replica, in sync, plan basic" in first
    assert granted.status.endpoint is not None
    assert f"direct `127.0.0.1:{granted.status.endpoint.direct.port}`" in first
    assert "⚠" not in first
    assert last.startswith("**needs_operator**")
    assert "- ⚠ **NeedsOperator** since 2026-01-01 00:00 UTC: The disk is full." in last
    assert "ben (writer)" in last
    record.take_back(granted)
    assert "ben" not in runtime.details[-1]


def test_what_an_operation_asked_for_and_its_poolers_are_taken_back_and_what_became_of_nodes_stays(runtime: Runtime):
    granted = ready_cluster()
    record = ClusterRecord(granted)
    more = plan_generation(granted.spec.id, 2, PoolMode.SESSION, granted.status.poolers)
    record.learn(BEN, PoolersAre(poolers=(*granted.status.poolers, *more)), PrimaryIs(name="b", timeline=2))
    nodes = record.status.nodes
    record.take_back(granted)
    assert record.spec == granted.spec
    assert record.status.poolers == granted.status.poolers
    assert record.status.nodes == nodes != granted.status.nodes


def test_cluster_that_needs_an_operator_says_why_and_since_when(runtime: Runtime):
    record = ClusterRecord(ready_cluster())
    runtime.passed = 7
    record.give_to_operator("The disk is full.")
    assert record.status.phase is ClusterPhase.NEEDS_OPERATOR
    assert [(each.type, each.message, each.since) for each in record.status.conditions] == [
        (NEEDS_OPERATOR, "The disk is full.", runtime.now())
    ]


def test_cluster_back_in_service_needs_nobody_and_keeps_its_other_conditions(runtime: Runtime):
    record = ClusterRecord(ready_cluster())
    record.learn(record.condition("Degraded", "b is away"))
    record.give_to_operator("The disk is full.")
    record.in_service(BEN)
    assert record.status.phase is ClusterPhase.READY
    assert [each.type for each in record.status.conditions] == ["Degraded"]
    assert record.spec.user("ben") == BEN.user
    record.learn(no_condition("Degraded"))
    assert record.status.conditions == ()


def test_operations_on_the_cluster_are_listed_under_it(runtime: Runtime):
    spec = ready_cluster().spec
    listed = ClusterRecord(ready_cluster(cluster_id=spec.id)).shown_by("Repair")
    assert {pair.key.name: pair.value for pair in listed} == {
        "MpgClusterId": spec.id,
        "MpgCluster": spec.name,
        "MpgOrg": spec.org,
        "MpgOperation": "Repair",
    }


async def test_effects_run_on_the_host_of_the_cluster(runtime: Runtime, monkeypatch: pytest.MonkeyPatch):
    called: list[tuple[str, str, str | None]] = []

    async def call(effect: Effect[Any, Any], arg: Any, *, summary: str, host: str | None = None) -> effects.Observation:
        called.append((effect.name, summary, host))
        return effects.Observation(facts=())

    monkeypatch.setattr(record_module, "call", call)
    state = ready_cluster()
    state = state.model_copy(update={"spec": state.spec.model_copy(update={"host": "rack-7"})})
    arg = effects.ObserveInput(state=state)
    await ClusterRecord(state).effect(effects.OBSERVE_CLUSTER, arg, "look")
    assert called == [("observe_cluster", "look", "rack-7")]
