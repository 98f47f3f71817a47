"""Backups that a drill has shown not to be whole, and those that may have its damage: they share files with it."""

from collections.abc import Sequence

from model.backups import Backup, BackupRecord
from model.drills import Proof


def doubted(backups: Sequence[Backup], proofs: Sequence[Proof]) -> frozenset[str]:
    """Return the ids of those of *backups* that are to be restored only where no other will do.

    What a drill failed on, and all that is built on the same full backup, or that it is built on, unless a drill has
    proven that one itself.
    """
    failed = {_full(each.backup_id) for each in proofs if each.damaged}
    proven = {each.backup_id for each in proofs if each.fault is None}
    return frozenset(each.id for each in backups if _full(each.id) in failed and each.id not in proven)


def failed_proofs(record: BackupRecord) -> tuple[Proof, ...]:
    """Return the failed drills on *record* of backups that may still be there, the last one first."""
    gone_before = _full(record.oldest.id) if record.oldest else ""
    return tuple(each for each in reversed(record.proofs) if each.damaged and _full(each.backup_id) >= gone_before)


def _full(backup_id: str) -> str:
    """Return the id of the full backup that one is built on: pgBackRest's ids begin with it, and sort by time."""
    return backup_id.partition("_")[0]
