"""A cluster's health, in a word."""

import ast
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from model import backups, cluster, conditions, storage_facts
from model.backups import ARCHIVE_GAP
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
from model.conditions import NEEDS_OPERATOR, TYPES
from model.plans import DEFAULT_PLANS
from starter.dashboard.health import REMEDIES, health, reasons

ROOT = Path(__file__).parents[4]
DOCS = ROOT / "docs"
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


ATTENDED = Condition(type=NEEDS_OPERATOR, status=True, since=NOW, message="Nodes a and b both take writes.")


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (view(), []),
        (view(nodes=(PRIMARY, STOPPED)), [("degraded", "Node b does not run.")]),
        (view(nodes=(PRIMARY, STOPPED), operation=OPERATION), []),
        (view(ClusterPhase.ERROR), [("failed", "Its creation failed.")]),
        (view(nodes=(PRIMARY,), conditions=(CONDITION,)), [("BackupOverdue", "No backup for 3 days.")]),
        (view(ClusterPhase.NEEDS_OPERATOR), [("needs a person", "The cluster needs an operator.")]),
        (
            view(ClusterPhase.NEEDS_OPERATOR, conditions=(CONDITION, ATTENDED)),
            [
                ("needs a person", "Nodes a and b both take writes."),
                ("BackupOverdue", "No backup for 3 days."),
            ],
        ),
    ],
)
def test_what_is_wrong_is_said_once_with_what_needs_a_person_first(
    known: ClusterView, said: list[tuple[str, str]]
) -> None:
    assert [(each.title, each.text) for each in reasons(known)] == said


def test_every_type_of_condition_has_a_remedy_on_a_page_that_there_is() -> None:
    assert set(REMEDIES) == TYPES
    for type, remedy in REMEDIES.items():
        page, _, anchor = remedy.page.partition("#")
        headings = re.findall(r"^#+ (.+)$", (DOCS / page).read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
        assert not anchor or anchor in anchors, type


def test_every_condition_that_is_raised_is_of_a_known_type() -> None:
    """Whatever is given as a type, to a condition or to what makes one, in the code of the control plane."""
    raised = set[str]()
    for package in ("model", "workflows", "activities"):
        for file in (ROOT / package).rglob("*.py"):
            for call in (each for each in ast.walk(ast.parse(file.read_text())) if isinstance(each, ast.Call)):
                if ast.unparse(call.func).rpartition(".")[2] in {"condition", "_condition", "no_condition"}:
                    raised |= {each.id for each in call.args[:1] if isinstance(each, ast.Name) and each.id.isupper()}
    values = {
        name: value for module in (backups, cluster, conditions, storage_facts) for name, value in vars(module).items()
    }
    assert {ARCHIVE_GAP, NEEDS_OPERATOR} <= {values[name] for name in raised} <= TYPES
