"""One backup of a cluster: what it is made from, when it begins again, and what is on record of it.

A backup has no turn: other operations stop and start the nodes it reads, and it gives way to them.
"""

from model.archive_holes import mended
from model.backups import Backup, BackupNote, BackupRecord, BackupRun, BackupType, RepositoryContents
from model.base import Record
from model.cluster import ClusterState, Durability, Node, NodePhase
from model.errors import HostFull, InvalidInput, MpgError, NeedsOperator, NotYet, Refused, WrongMasterKey

PAUSES_S = (2.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Before each new beginning. A restart takes seconds, a change of plan minutes; after all of them it has failed."""
BEGINNINGS_FROM_REPLICA = 2
"""So often a backup is begun from the replica; what fails then may be its fault."""
_FINAL = (InvalidInput, Refused, HostFull, WrongMasterKey)
"""Errors that a new beginning meets again. Others may come of a node that was stopped, or is being made again."""


class Source(Record):
    """What a backup is made from: the primary alone, or a replica with the primary's help."""

    primary: Node
    replica: Node | None


def choose_source(state: ClusterState, beginnings: int) -> Source:
    """Return what a backup of a cluster that stands like *state* is made from, after so many vain *beginnings*.

    A replica that is not known to follow would make a backup of long ago. Raises :class:`NeedsOperator` where there is
    no primary, and :class:`NotYet` while it is stopped on purpose or about to be another one.
    """
    status = state.status
    if status.primary is None:
        raise NeedsOperator(f"Cluster {state.spec.name} has no primary on record.")
    if status.primary.name in status.absences:
        raise NotYet(f"Node {status.primary.name} of cluster {state.spec.name} is being stopped, or replaced.")
    replica = status.replica
    if replica is None or beginnings >= BEGINNINGS_FROM_REPLICA or replica.name in status.absences:
        return Source(primary=status.primary, replica=None)
    follows = replica.in_sync or (state.spec.durability is Durability.ASYNC and replica.phase is NodePhase.RUNNING)
    return Source(primary=status.primary, replica=replica if follows else None)


def begins_again(error: MpgError) -> bool:
    """Tell whether a backup that met *error* is worth another beginning, with the cluster as it stands then."""
    return not isinstance(error, _FINAL)


def outranks(wanted: BackupType, running: BackupType) -> bool:
    """Tell whether a scheduled backup waits for the one that runs, rather than be left out.

    A full one comes once a week, and the window rests on it.
    """
    return wanted is BackupType.FULL and running is not BackupType.FULL


def begun(record: BackupRecord, run: BackupRun, instead_of: str | None = None) -> BackupRecord:
    """Return *record* with *run* as the backup that is made now, unless another one is.

    *instead_of* names the operation of a backup that was found to run no more.
    """
    running = record.running
    if running is not None and running.operation_id not in {run.operation_id, instead_of}:
        return record
    kept = running is not None and running.operation_id == run.operation_id
    return record if kept else record.model_copy(update={"running": run})


def note_of(operation_id: str, made: Backup, contents: RepositoryContents | None) -> BackupNote:
    """Return what an operation tells its cluster that made *made*, after which the repository had *contents*."""
    good = contents.good if contents else ()
    latest = {each.type: each for each in good if each.id != made.id}
    return BackupNote(operation_id=operation_id, made=(*latest.values(), made), oldest=good[0] if good else None)


def noted(record: BackupRecord, note: BackupNote) -> BackupRecord:
    """Return *record* with what an operation tells of its backup. Told twice, nothing more changes."""
    over = record.running is not None and record.running.operation_id == note.operation_id
    last = {each.type: each for each in record.last}
    for made in note.made:
        if made.type not in last or made.finished_at >= last[made.type].finished_at:
            last[made.type] = made
    oldest = note.oldest or record.oldest
    return record.model_copy(
        update={
            "holes": mended(record.holes, note.made, oldest),
            "running": None if over else record.running,
            "last": tuple(last.values()),
            "failure": note.failure or (None if note.made else record.failure),
            "oldest": oldest,
        }
    )
