"""One drill of a cluster's backups: which backup is restored, and what is on record of it."""

from collections.abc import Sequence

from model.backups import Backup, BackupRecord, RepositoryContents
from model.drills import MOST_PROOFS, DrillNote, DrillRun, Proof
from model.errors import NotFound, Refused


def choose_backup(contents: RepositoryContents, backup_id: str | None) -> Backup:
    """Return the backup of that id, or the latest good one.

    Raises :class:`NotFound` where there is none of that id, and :class:`Refused` where there is no good one at all.
    """
    if backup_id is not None:
        chosen = next((each for each in contents.backups if each.id == backup_id), None)
        if chosen is None:
            raise NotFound(f"There is no backup {backup_id!r}.", remedy="'mpg backup list' shows them.")
        return chosen
    good = contents.good or [each for each in contents.backups if each.error is None]
    if not good:
        raise Refused("There is no good backup yet, so none can be proven.", remedy="'mpg backup list' shows them.")
    return max(good, key=lambda each: each.finished_at)


def drill_begun(record: BackupRecord, run: DrillRun, instead_of: str | None = None) -> BackupRecord:
    """Return *record* with *run* as the drill that is under way, unless another one is.

    *instead_of* names the operation of a drill that was found to run no more.
    """
    running = record.drill
    if running is not None and running.operation_id != instead_of:
        return record
    return record.model_copy(update={"drill": run})


def drill_noted(record: BackupRecord, note: DrillNote) -> BackupRecord:
    """Return *record* with what an operation tells of its drill. Told twice, nothing more changes."""
    over = record.drill is not None and record.drill.operation_id == note.operation_id
    proofs = record.proofs
    if note.proof is not None:
        others = [each for each in proofs if each.backup_id != note.proof.backup_id]
        proofs = tuple(sorted([*others, note.proof], key=lambda each: each.at)[-MOST_PROOFS:])
    return record.model_copy(update={"drill": None if over else record.drill, "proofs": proofs})


def last_proven(proofs: Sequence[Proof]) -> Proof | None:
    """Return the last drill that succeeded."""
    return next((each for each in reversed(proofs) if each.fault is None), None)
