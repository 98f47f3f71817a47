"""What happened between two looks."""

from datetime import UTC, datetime, timedelta

import pytest

from model.cluster import ClusterPhase
from model.events import EventKind, Look, SeenCluster, SeenOperation, changes
from model.operations import OperationOutcome
from model.sightings import query

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def look(*seen: SeenOperation | SeenCluster) -> Look:
    return Look(
        at=AT,
        operations={each.id: each for each in seen if isinstance(each, SeenOperation)},
        clusters={each.id: each for each in seen if isinstance(each, SeenCluster)},
    )


def operation(
    status: OperationOutcome = OperationOutcome.RUNNING, phase: str = "", type: str = "ChangePlan"
) -> SeenOperation:
    return SeenOperation(
        id="op", type=type, organization="shop", cluster_id="c", cluster="orders", status=status, phase=phase
    )


def cluster(status: ClusterPhase = ClusterPhase.READY, *conditions: str) -> SeenCluster:
    return SeenCluster(id="c", name="orders", organization="shop", status=status, conditions=conditions)


DONE, FAILED = OperationOutcome.DONE, OperationOutcome.FAILED


TABLE: list[tuple[Look, Look, list[str]]] = [
    (look(), look(), []),
    (look(), look(operation()), ["operation.begun op running", "cluster.status updating"]),
    (look(operation()), look(operation()), []),
    (look(operation()), look(operation(phase="copy")), ["operation.step op running"]),
    (look(operation()), look(operation(DONE)), ["operation.ended op done", "cluster.status ready"]),
    (look(), look(operation(FAILED)), ["operation.begun op failed", "operation.ended op failed"]),
    (look(operation(DONE)), look(operation(DONE)), []),
    (look(operation(DONE)), look(), []),
    # Beside a backup a cluster is what it was; one that is made is not updated.
    (look(), look(operation(type="Backup")), ["operation.begun op running"]),
    (look(), look(operation(type="CreateCluster")), ["operation.begun op running"]),
    (look(), look(cluster(ClusterPhase.INITIALIZING)), ["cluster.status initializing"]),
    (look(cluster(ClusterPhase.INITIALIZING)), look(), ["cluster.status ready"]),
    (look(cluster(ClusterPhase.DESTROYING)), look(cluster(ClusterPhase.DESTROYED)), ["cluster.status destroyed"]),
    (look(cluster(ClusterPhase.DESTROYED)), look(), []),
    (look(), look(cluster(ClusterPhase.READY, "StorageLow")), ["condition.raised StorageLow"]),
    (
        look(cluster(ClusterPhase.READY, "Degraded", "StorageLow")),
        look(cluster(ClusterPhase.READY, "StorageFull", "StorageLow")),
        ["condition.raised StorageFull", "condition.lifted Degraded"],
    ),
    (look(cluster(ClusterPhase.READY, "Degraded")), look(), ["condition.lifted Degraded"]),
    (
        look(),
        look(cluster(ClusterPhase.NEEDS_OPERATOR, "NeedsOperator"), operation()),
        ["operation.begun op running", "cluster.status needs_operator", "condition.raised NeedsOperator"],
    ),
]


@pytest.mark.parametrize(("before", "after", "happened"), TABLE)
def test_what_happened_between_two_looks(before: Look, after: Look, happened: list[str]) -> None:
    events = changes(before, after)
    assert {event.cluster for event in events} <= {"orders"}
    told = []
    for event in events:
        about = event.operation and f"{event.operation.id} {event.operation.status}"
        told.append(f"{event.kind} {about or event.status or (event.condition and event.condition.type)}")
    assert told == happened


def test_every_kind_but_a_reset_comes_of_a_comparison() -> None:
    found = {event.kind for before, after, _ in TABLE for event in changes(before, after)}
    assert found == set(EventKind) - {EventKind.RESET}


def test_a_look_goes_back_beyond_the_one_before() -> None:
    asked = query(AT, "shop")
    assert f"{AT - timedelta(seconds=10):%H:%M:%S}" in asked
    assert asked.endswith("AND MpgOrg = 'shop'")
    assert "MpgOrg" not in query(AT)
