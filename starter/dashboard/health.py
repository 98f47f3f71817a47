"""How a cluster is, in a word: pure functions of its record."""

from enum import StrEnum

from model.base import Record
from model.cluster import ClusterPhase, ClusterView, Durability, NodePhase, NodeRole


class Tone(StrEnum):
    """What a word looks like."""

    GOOD = "good"
    BUSY = "busy"
    WARN = "warn"
    BAD = "bad"
    IDLE = "idle"


class Health(Record):
    """A word, how it looks, and why. ``urgency`` sorts lists: what needs a person first has the least."""

    word: str
    tone: Tone
    why: str = ""
    urgency: int


_NEEDS_OPERATOR = "The cluster needs an operator."


def health(view: ClusterView) -> Health:
    """Return how the cluster is."""
    status = view.state.status
    match status.phase:
        case ClusterPhase.NEEDS_OPERATOR:
            why = next((each.message for each in status.conditions), _NEEDS_OPERATOR)
            return Health(word="needs a person", tone=Tone.BAD, why=why, urgency=0)
        case ClusterPhase.ERROR:
            return Health(word="failed", tone=Tone.BAD, why="Its creation failed.", urgency=1)
        case ClusterPhase.INITIALIZING:
            return Health(word="being made", tone=Tone.BUSY, urgency=4)
        case ClusterPhase.DESTROYING | ClusterPhase.DESTROYED:
            return Health(word="being destroyed", tone=Tone.IDLE, urgency=6)
        case _:
            return _of_running(view)


def _of_running(view: ClusterView) -> Health:
    status = view.state.status
    if status.conditions:
        return Health(word="attention", tone=Tone.WARN, why=status.conditions[0].message, urgency=2)
    if view.operation is not None:
        # What an operation stops and starts on purpose is no alarm.
        return Health(word="changing", tone=Tone.BUSY, why=view.operation.type, urgency=4)
    if missing := [node.name for node in status.nodes if node.phase is not NodePhase.RUNNING]:
        return Health(word="degraded", tone=Tone.WARN, why=f"Node {missing[0]} does not run.", urgency=3)
    if not any(node.role is NodeRole.REPLICA for node in status.nodes):
        return Health(word="degraded", tone=Tone.WARN, why="There is no replica.", urgency=3)
    replica = status.replica
    if view.state.spec.durability is Durability.SYNC and replica and not replica.in_sync:
        return Health(word="degraded", tone=Tone.WARN, why=f"Replica {replica.name} is not in sync.", urgency=3)
    return Health(word="healthy", tone=Tone.GOOD, urgency=5)
