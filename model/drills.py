"""Drills of a restore as data: a backup is proven by restoring it, or shown not to be one."""

from datetime import datetime

from model.base import Record

MOST_PROOFS = 20
"""On a cluster's record. A drill a week over the days that backups are kept by default needs a few of them."""


class DrillRun(Record):
    """A drill that is under way: the operation that does it, and since when."""

    operation_id: str
    run_id: str
    started_at: datetime


class Proof(Record):
    """What came of a drill of one backup. Times are in seconds, sizes in bytes; None: it did not come that far."""

    operation_id: str
    backup_id: str
    at: datetime
    """When the drill ended."""
    fault: str | None = None
    """Why the backup is not proven, in one sentence; None where it is."""
    verdict: bool = True
    """Whether the drill came to say so; else it could not be done, which tells nothing about the backup."""
    copied_s: float | None = None
    recovered_s: float | None = None
    """Of the replay to the end of the backup, or to the moment shortly after it at which rows were sampled."""
    archive_s: float | None = None
    """Of the replay from the backup to the end of the archive; None where only the backup was asked for."""
    restored_bytes: int | None = None
    compared: int | None = None
    """Tables of which sampled rows were compared; None: none were sampled when the backup was made."""

    @property
    def recovery_s(self) -> float | None:
        """How long a restore takes to the end of the archive, or of the backup where only that was restored."""
        replay = self.recovered_s if self.archive_s is None else self.archive_s
        return None if self.copied_s is None or replay is None else self.copied_s + replay

    @property
    def damaged(self) -> bool:
        """Whether the drill has shown that the backup is none."""
        return self.fault is not None and self.verdict


class DrillNote(Record):
    """What an operation tells its cluster of a drill. Without ``proof`` it ended before a backup was chosen."""

    operation_id: str
    proof: Proof | None = None
