"""A look at Temporal's lists for events: the query, and what its answer says."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol

from temporalio.client import WorkflowExecutionStatus
from temporalio.common import TypedSearchAttributes

from model.cluster import ClusterPhase
from model.events import Look, SeenCluster, SeenOperation
from model.operations import OPERATIONS, OperationOutcome
from model.search_attributes import CLUSTER, CLUSTER_ID, CONDITIONS, OPERATION, ORG, OUTCOME, PHASE, STATUS

OVERLAP = timedelta(seconds=10)
"""How far a look goes back beyond the one before: what ends shows in lists a little later."""
ENDS = {
    WorkflowExecutionStatus.COMPLETED: OperationOutcome.DONE,
    WorkflowExecutionStatus.CANCELED: OperationOutcome.CANCELLED,
    WorkflowExecutionStatus.FAILED: OperationOutcome.FAILED,
    WorkflowExecutionStatus.TERMINATED: OperationOutcome.FAILED,
    WorkflowExecutionStatus.TIMED_OUT: OperationOutcome.FAILED,
}
"""What the end of an operation's workflow means where the operation itself says nothing."""
_OWN_WORDS = frozenset({OperationOutcome.ROLLED_BACK, OperationOutcome.FAILED, OperationOutcome.CANCELLED})
"""What an operation says of its end that Temporal does not know better."""
_CLUSTER_TYPE = "Cluster"

WRONG = f"({STATUS.name} IN ('{ClusterPhase.NEEDS_OPERATOR}', '{ClusterPhase.ERROR}') OR {CONDITIONS.name} IS NOT NULL)"
"""Query of the clusters that need somebody."""


class Sighting(Protocol):
    """A workflow as lists show it: :class:`temporalio.client.WorkflowExecution`, or what is read for less."""

    @property
    def id(self) -> str: ...
    @property
    def workflow_type(self) -> str: ...
    @property
    def status(self) -> WorkflowExecutionStatus | None: ...
    @property
    def start_time(self) -> datetime: ...
    @property
    def close_time(self) -> datetime | None: ...
    @property
    def typed_search_attributes(self) -> TypedSearchAttributes: ...


def query(ended_since: datetime, organization: str | None = None) -> str:
    """Return the query of a look: all that runs or is not simply ready, and what ended after *ended_since*.

    *organization*, which must have been checked, is the only one whose clusters are looked at; None: all.
    """
    since = f"{ended_since - OVERLAP:%Y-%m-%dT%H:%M:%S.%fZ}"
    unsteady = f"({STATUS.name} != '{ClusterPhase.READY}' OR {CONDITIONS.name} IS NOT NULL)"
    about = f"({OPERATION.name} IS NOT NULL OR WorkflowType = '{_CLUSTER_TYPE}')"
    running = (
        f"ExecutionStatus = 'Running' AND ({OPERATION.name} IS NOT NULL"
        f" OR (WorkflowType = '{_CLUSTER_TYPE}' AND {unsteady}))"
    )
    both = f"(({running}) OR (CloseTime > '{since}' AND {about}))"
    return both if organization is None else f"{both} AND {ORG.name} = '{organization}'"


def look(at: datetime, found: Iterable[Sighting]) -> Look:
    """Return what the answer to :func:`query` says."""
    operations: dict[str, SeenOperation] = {}
    clusters: dict[str, SeenCluster] = {}
    for each in found:
        if each.workflow_type in OPERATIONS:
            operations[each.id] = _operation(each)
        elif each.workflow_type == _CLUSTER_TYPE and (cluster := _cluster(each)) and not _goes_on(each):
            clusters[cluster.id] = cluster
    return Look(at=at, operations=operations, clusters=clusters)


def outcome_of(found: Sighting, said: str | None = None) -> OperationOutcome:
    """Return how an operation stands: its own word where it has one, else what Temporal says of its end.

    *said* is its word where it was asked; by default it is what lists show.
    """
    if found.status is None or found.status not in ENDS:
        return OperationOutcome.RUNNING
    said = said or found.typed_search_attributes.get(OUTCOME)
    if said in _OWN_WORDS:
        return OperationOutcome(said)
    return ENDS[found.status]


def outcome_query(outcome: OperationOutcome) -> str:
    """Return the query of the operations of which :func:`outcome_of` says *outcome* in lists."""
    ended = ", ".join(f"'{_named(each)}'" for each in ENDS)
    if outcome is OperationOutcome.RUNNING:
        return f"ExecutionStatus NOT IN ({ended})"
    own = ", ".join(f"'{each}'" for each in sorted(_OWN_WORDS))
    queries = [f"(ExecutionStatus IN ({ended}) AND {OUTCOME.name} = '{outcome}')"] if outcome in _OWN_WORDS else []
    if meant := ", ".join(f"'{_named(each)}'" for each, means in ENDS.items() if means is outcome):
        queries.append(f"(ExecutionStatus IN ({meant}) AND ({OUTCOME.name} IS NULL OR {OUTCOME.name} NOT IN ({own})))")
    return f"({' OR '.join(queries)})"


def _named(status: WorkflowExecutionStatus) -> str:
    """Return how queries name *status*: ``TimedOut``."""
    return "".join(part.capitalize() for part in status.name.split("_"))


def _operation(found: Sighting) -> SeenOperation:
    attributes = found.typed_search_attributes
    return SeenOperation(
        id=found.id,
        type=found.workflow_type,
        organization=attributes.get(ORG) or "",
        cluster_id=attributes.get(CLUSTER_ID) or "",
        cluster=attributes.get(CLUSTER) or "",
        status=outcome_of(found),
        phase=attributes.get(PHASE) or "",
        started_at=found.start_time,
        finished_at=found.close_time,
    )


def _cluster(found: Sighting) -> SeenCluster | None:
    """Return the cluster; None where its workflow has not said yet how it is."""
    attributes = found.typed_search_attributes
    cluster_id, status = attributes.get(CLUSTER_ID), attributes.get(STATUS)
    if not cluster_id or status is None:
        return None
    return SeenCluster(
        id=cluster_id,
        name=attributes.get(CLUSTER) or "",
        organization=attributes.get(ORG) or "",
        status=ClusterPhase(status),
        conditions=tuple(attributes.get(CONDITIONS) or ()),
    )


def _goes_on(found: Sighting) -> bool:
    return found.status is WorkflowExecutionStatus.CONTINUED_AS_NEW
