"""What happens to clusters, as others hear of it: found by comparing two looks at Temporal's lists.

Nothing is written down for it. A look has what runs, what ended lately, and the clusters that are not simply ready; so
it is small however many clusters are idle, and what began and ended between two looks is in the second one.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

from model.base import Record
from model.cluster import OVER, ClusterPhase
from model.operations import MAKES_CLUSTER, WITHOUT_TURN, AdoptClusterRequest, OperationOutcome, Step

_NO_UPDATE = WITHOUT_TURN | {AdoptClusterRequest.operation, *(each.operation for each in MAKES_CLUSTER)}
"""Operations beside which a cluster is what it was recorded as."""


class EventKind(StrEnum):
    """What happened."""

    OPERATION_BEGUN = "operation.begun"
    OPERATION_STEP = "operation.step"
    OPERATION_ENDED = "operation.ended"
    CONDITION_RAISED = "condition.raised"
    CONDITION_LIFTED = "condition.lifted"
    CLUSTER_STATUS = "cluster.status"
    RESET = "reset"
    """Something may have been missed: read anew what you show."""


class EventOperation(Record):
    """The operation that an event is about. ``steps`` is empty where no worker told them."""

    id: str
    type: str
    status: OperationOutcome
    phase: str = ""
    steps: tuple[Step, ...] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None


class EventCondition(Record):
    """The condition that an event is about. ``message`` is empty for one that was lifted."""

    type: str
    since: datetime | None = None
    message: str = ""


class Event(Record):
    """Something that happened; which of the last three is there follows from its kind."""

    kind: EventKind
    at: datetime
    """When it was seen."""
    organization: str = ""
    cluster_id: str = ""
    cluster: str = ""
    operation: EventOperation | None = None
    condition: EventCondition | None = None
    status: ClusterPhase | None = None


class SeenOperation(Record):
    """An operation in a look."""

    id: str
    type: str
    organization: str
    cluster_id: str
    cluster: str
    status: OperationOutcome
    phase: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def runs(self) -> bool:
        """Tell whether it has not ended."""
        return self.status is OperationOutcome.RUNNING


class SeenCluster(Record):
    """A cluster in a look: one that is not ready, has conditions, or ended lately."""

    id: str
    name: str
    organization: str
    status: ClusterPhase
    conditions: tuple[str, ...] = ()


class Look(Record):
    """What was seen at one time. A cluster that is not in it is ready, and no condition holds."""

    at: datetime
    operations: Mapping[str, SeenOperation] = {}
    """By id."""
    clusters: Mapping[str, SeenCluster] = {}
    """By id."""


def changes(before: Look, after: Look) -> list[Event]:
    """Return what happened between two looks, what began first."""
    events = [event for seen in after.operations.values() for event in _of_operation(before, seen, after.at)]
    names = _names(before) | _names(after)
    for cluster_id, known in sorted(names.items()):
        old, new = _standing(before, known), _standing(after, known)
        if cluster_id in after.clusters or old.status not in OVER:  # else it is over, and not listed any more
            events += _of_cluster(old, new, after.at)
    return events


def _of_operation(before: Look, seen: SeenOperation, at: datetime) -> Iterable[Event]:
    earlier = before.operations.get(seen.id)
    if earlier is None:
        yield _operation_event(EventKind.OPERATION_BEGUN, seen, at)
    elif seen.runs and seen.phase != earlier.phase:
        yield _operation_event(EventKind.OPERATION_STEP, seen, at)
    if not seen.runs and (earlier is None or earlier.runs):
        yield _operation_event(EventKind.OPERATION_ENDED, seen, at)


def _operation_event(kind: EventKind, seen: SeenOperation, at: datetime) -> Event:
    fields = {"id", "type", "status", "phase", "started_at", "finished_at"}
    return Event(
        kind=kind,
        at=at,
        organization=seen.organization,
        cluster_id=seen.cluster_id,
        cluster=seen.cluster,
        operation=EventOperation(**seen.model_dump(include=fields)),
    )


def _of_cluster(old: SeenCluster, new: SeenCluster, at: datetime) -> Iterable[Event]:
    if new.status is not old.status:
        yield _cluster_event(EventKind.CLUSTER_STATUS, new, at).model_copy(update={"status": new.status})
    for kind, types in (
        (EventKind.CONDITION_RAISED, set(new.conditions) - set(old.conditions)),
        (EventKind.CONDITION_LIFTED, set(old.conditions) - set(new.conditions)),
    ):
        for type in sorted(types):
            event = _cluster_event(kind, new, at)
            yield event.model_copy(update={"condition": EventCondition(type=type)})


def _cluster_event(kind: EventKind, seen: SeenCluster, at: datetime) -> Event:
    return Event(kind=kind, at=at, organization=seen.organization, cluster_id=seen.id, cluster=seen.name)


def _names(look: Look) -> dict[str, SeenCluster]:
    """Return every cluster that a look tells something of, as it is where nothing else is said."""
    of_operations = {
        seen.cluster_id: SeenCluster(
            id=seen.cluster_id, name=seen.cluster, organization=seen.organization, status=ClusterPhase.READY
        )
        for seen in look.operations.values()
        if seen.cluster_id
    }
    return of_operations | {
        seen.id: seen.model_copy(update={"status": ClusterPhase.READY, "conditions": ()})
        for seen in look.clusters.values()
    }


def _standing(look: Look, known: SeenCluster) -> SeenCluster:
    """Return how a cluster stood: as it was seen, else ready, and ``updating`` while an operation has its turn."""
    seen = look.clusters.get(known.id, known)
    if seen.status is not ClusterPhase.READY:
        return seen
    has_turn = (
        each.cluster_id == seen.id and each.runs and each.type not in _NO_UPDATE for each in look.operations.values()
    )
    return seen.model_copy(update={"status": ClusterPhase.UPDATING}) if any(has_turn) else seen
