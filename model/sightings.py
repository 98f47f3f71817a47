"""A look at Temporal's lists for events: the query, and what its answer says."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from temporalio.client import WorkflowExecution, WorkflowExecutionStatus

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
_CLUSTER_TYPE = "Cluster"


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


def look(at: datetime, found: Iterable[WorkflowExecution]) -> Look:
    """Return what the answer to :func:`query` says."""
    operations: dict[str, SeenOperation] = {}
    clusters: dict[str, SeenCluster] = {}
    for each in found:
        if each.workflow_type in OPERATIONS:
            operations[each.id] = _operation(each)
        elif each.workflow_type == _CLUSTER_TYPE and (cluster := _cluster(each)) and not _goes_on(each):
            clusters[cluster.id] = cluster
    return Look(at=at, operations=operations, clusters=clusters)


def outcome_of(found: WorkflowExecution, said: str | None = None) -> OperationOutcome:
    """Return how an operation stands: its own word where it has one, else what Temporal says of its end.

    *said* is its word where it was asked; by default it is what lists show.
    """
    if found.status is None or found.status not in ENDS:
        return OperationOutcome.RUNNING
    said = said or found.typed_search_attributes.get(OUTCOME)
    if said in {OperationOutcome.ROLLED_BACK, OperationOutcome.FAILED, OperationOutcome.CANCELLED}:
        return OperationOutcome(said)
    return ENDS[found.status]


def _operation(found: WorkflowExecution) -> SeenOperation:
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


def _cluster(found: WorkflowExecution) -> SeenCluster | None:
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


def _goes_on(found: WorkflowExecution) -> bool:
    return found.status is WorkflowExecutionStatus.CONTINUED_AS_NEW
