"""A cluster's health, in a word."""

from datetime import UTC, datetime

import pytest

from model.cluster import (
    ClusterPhase,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    ClusterView,
    Condition,
    Durability,
    Node,
    NodePhase,
    NodeRole,
    OperationRef,
)
from model.plans import DEFAULT_PLANS
from starter.dashboard.health import health

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def node(name: str, role: NodeRole, **fields: object) -> Node:
    made = {"phase": NodePhase.RUNNING, "container": name, "address": "", "plan": "basic", "cpus": 1, "memory_mb": 1}
    return Node.model_validate({"name": name, "role": role, **made, **fields})


PRIMARY = node("a", NodeRole.PRIMARY)
REPLICA = node("b", NodeRole.REPLICA, in_sync=True)
CONDITION = Condition(type="BackupOverdue", status=True, since=NOW, message="No backup for 3 days.")
OPERATION = OperationRef(id="restart/orders/1", run_id="", type="Restart", started_at=NOW)


def view(
    phase: ClusterPhase = ClusterPhase.READY,
    nodes: tuple[Node, ...] = (PRIMARY, REPLICA),
    conditions: tuple[Condition, ...] = (),
    operation: OperationRef | None = None,
    durability: Durability = Durability.SYNC,
) -> ClusterView:
    spec = ClusterSpec(
        id="a" * 16, name="orders", org="personal", region="local", host="local", plan=DEFAULT_PLANS["basic"],
        durability=durability, created_at=NOW,
    )  # fmt: skip
    status = ClusterStatus(phase=phase, nodes=nodes, conditions=conditions)
    return ClusterView(state=ClusterState(spec=spec, status=status), operation=operation)


BEHIND = REPLICA.model_copy(update={"in_sync": False})
STOPPED = REPLICA.model_copy(update={"phase": NodePhase.STOPPED})


@pytest.mark.parametrize(
    ("known", "word", "why"),
    [
        (view(), "healthy", ""),
        (view(ClusterPhase.NEEDS_OPERATOR), "needs a person", "The cluster needs an operator."),
        (view(ClusterPhase.NEEDS_OPERATOR, conditions=(CONDITION,)), "needs a person", "No backup for 3 days."),
        (view(ClusterPhase.ERROR), "failed", "Its creation failed."),
        (view(ClusterPhase.INITIALIZING, nodes=()), "being made", ""),
        (view(ClusterPhase.DESTROYING), "being destroyed", ""),
        (view(conditions=(CONDITION,)), "attention", "No backup for 3 days."),
        (view(nodes=(PRIMARY, STOPPED)), "degraded", "Node b does not run."),
        (view(nodes=(PRIMARY,)), "degraded", "There is no replica."),
        (view(nodes=(PRIMARY, BEHIND)), "degraded", "Replica b is not in sync."),
        (view(nodes=(PRIMARY, BEHIND), durability=Durability.ASYNC), "healthy", ""),
        (view(nodes=(PRIMARY, STOPPED), operation=OPERATION), "changing", "Restart"),
    ],
)
def test_word_and_reason(known: ClusterView, word: str, why: str) -> None:
    found = health(known)
    assert (found.word, found.why) == (word, why)


def test_what_needs_a_person_is_listed_first_and_what_is_well_last() -> None:
    phases = [view(ClusterPhase.NEEDS_OPERATOR), view(conditions=(CONDITION,)), view(nodes=(PRIMARY,)), view()]
    assert [health(each).urgency for each in phases] == sorted({health(each).urgency for each in phases})
