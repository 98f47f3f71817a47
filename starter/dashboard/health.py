"""How a cluster is, in a word: pure functions of its record."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from model import conditions
from model.base import Record
from model.cluster import ClusterPhase, ClusterView, Condition, Durability, NodePhase, NodeRole


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


class Remedy(NamedTuple):
    """What to do about a condition, in a sentence, and where docs/ says more."""

    sentence: str
    page: str


class Reason(Record):
    """Something that is wrong with a cluster, as a note says it; ``title`` may be the type of a condition."""

    tone: Tone
    title: str
    text: str
    remedy: Remedy | None = None


URGENT = 3
"""Whatever has a lesser urgency needs somebody; what is merely degraded does not yet."""
_NEEDS_OPERATOR = "The cluster needs an operator."
REMEDIES: Mapping[str, Remedy] = {
    conditions.ARCHIVE_GAP: Remedy(
        "Nothing: a backup that begins after it is made at once.", "backups.md#what-is-watched"
    ),
    conditions.ARCHIVE_UNKNOWN: Remedy(
        "Nothing but for the cause: it is looked at again by itself.", "repository.md#takeovers"
    ),
    conditions.ARCHIVING_FAILS: Remedy(
        "Put right what the sentence names: the store, its keys, a full disk. Until then WAL fills the primary's disk.",
        "backups.md#what-is-watched",
    ),
    conditions.BACKUP_OVERDUE: Remedy(
        "See why the last ones failed on Operations, or back up now.", "backups.md#what-is-watched"
    ),
    conditions.DEGRADED: Remedy(
        "It is brought back by itself. Where it does not come back, put right what the sentence names.",
        "runbooks/node-down.md",
    ),
    conditions.DOES_NOT_GROW: Remedy(
        "Make room on the host, or delete data. It is tried again after an hour.",
        "storage.md#what-happens-when-it-fills",
    ),
    conditions.DRILL_FAILED: Remedy(
        "Back up now, and verify that backup.", "operations/verify-backup.md#when-it-fails"
    ),
    conditions.DRILL_OVERDUE: Remedy("Verify the latest backup.", "operations/verify-backup.md"),
    conditions.NEEDS_OPERATOR: Remedy(
        "Put the cause right, then ask for any operation: the cluster first puts itself back in service.",
        "operating.md#needs_operator",
    ),
    conditions.STORAGE_FULL: Remedy(
        "Grow the storage on Settings, or delete data.", "storage.md#what-happens-when-it-fills"
    ),
    conditions.STORAGE_LOW: Remedy("Grow the storage on Settings, or delete data.", "runbooks/storage-low.md"),
    conditions.WRONG_MASTER_KEY: Remedy(
        "Put that key back and start the stack anew, or adopt the cluster with the new one.",
        "operations/adopt-cluster.md#the-master-key-is-lost",
    ),
}
"""What to do about each type of condition."""


def health(view: ClusterView) -> Health:
    """Return how the cluster is."""
    status = view.state.status
    match status.phase:
        case ClusterPhase.NEEDS_OPERATOR:
            own = status.condition(conditions.NEEDS_OPERATOR)
            why = next((each.message for each in (own, *status.conditions) if each), _NEEDS_OPERATOR)
            return Health(word="needs a person", tone=Tone.BAD, why=why, urgency=0)
        case ClusterPhase.ERROR:
            return Health(word="failed", tone=Tone.BAD, why="Its creation failed.", urgency=1)
        case ClusterPhase.INITIALIZING:
            return Health(word="being made", tone=Tone.BUSY, urgency=4)
        case ClusterPhase.DESTROYING | ClusterPhase.DESTROYED:
            return Health(word="being destroyed", tone=Tone.IDLE, urgency=6)
        case _:
            return _of_running(view)


def reasons(view: ClusterView) -> list[Reason]:
    """Return what is wrong with the cluster, each thing once: what needs a person first."""
    found, held = health(view), view.state.status.conditions
    said = [_reason(each) for each in sorted(held, key=lambda each: each.type != conditions.NEEDS_OPERATOR)]
    if found.tone not in {Tone.WARN, Tone.BAD} or any(each.text == found.why for each in said):
        return said
    return [Reason(tone=found.tone, title=found.word, text=found.why), *said]


def _reason(held: Condition) -> Reason:
    needs_person = held.type == conditions.NEEDS_OPERATOR
    return Reason(
        tone=Tone.BAD if needs_person else Tone.WARN,
        title="needs a person" if needs_person else held.type,
        text=held.message,
        remedy=REMEDIES.get(held.type),
    )


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
