"""Backups as data: where they are kept, what is in there, for how long, and which moments come back.

The words are pgBackRest's: a *full* backup stands for itself, a *differential* one needs the last full one, an
*incremental* one the backup before it. Between backups there is the archive: every WAL segment that was written.
"""

from datetime import datetime
from enum import StrEnum

from model.base import Record
from model.drills import DrillRun, Proof
from model.pg_control import parse_lsn
from model.timelines import Fork, is_on_history, timeline_of


class RepositoryKind(StrEnum):
    """What a repository is kept on."""

    VOLUME = "volume"
    """A Docker volume of the cluster's host."""
    S3 = "s3"


class Repository(Record):
    """Where a cluster's backups and archive are: one for each cluster. No secrets; the worker has those.

    ``key_id`` says from which master key its encryption key is derived (:func:`model.secrets.key_id`).
    """

    kind: RepositoryKind
    key_id: str
    endpoint: str = ""
    """``host`` or ``host:port`` of an S3-compatible store; this and what follows is empty for a volume."""
    bucket: str = ""
    region: str = ""
    prefix: str = ""
    """Directory in the bucket under which each cluster has one that is called like its id."""
    path_style: bool = False
    """Whether the bucket is in the path of a URL rather than in its host's name."""

    def read_on(self, host: str, here: str) -> str:
        """Return on which host it is read: a volume on the cluster's *host* only, a store anywhere, and so *here*."""
        return host if self.kind is RepositoryKind.VOLUME else here


class BackupType(StrEnum):
    """What a backup has to be restored with."""

    FULL = "full"
    DIFF = "diff"
    INCR = "incr"


MOST_KEPT = 3650
"""Of full backups, and of days."""


class BackupPolicy(Record):
    """When backups are made and how long they are kept. Schedules are cron lines in UTC.

    A full backup is removed when there are ``keep_full`` younger ones *and* every moment of the last ``keep_days`` days
    can be restored without it.
    """

    full: str = "15 2 * * 0"
    incr: str = "15 2 * * 1-6"
    keep_full: int = 2
    keep_days: int = 7
    drill: str = ""
    """When the latest backup is restored to see that it can be; empty: only when somebody asks for it."""


class Backups(Record):
    """A cluster's repository and what is promised of it."""

    repository: Repository
    policy: BackupPolicy = BackupPolicy()


ARCHIVE_GAP = "ArchiveGap"
"""Type of the condition of a cluster whose archive lacks WAL that nobody has."""


ARCHIVE_UNKNOWN = "ArchiveUnknown"
"""Type of the condition of a cluster of which it is not known whether a takeover left a hole in its archive."""


class Backup(Record):
    """One backup that was completed. Sizes are in bytes, times have a zone."""

    id: str
    """pgBackRest's label, such as ``20261128-021500F`` or ``20261128-021500F_20261129-021500I``."""
    type: BackupType
    started_at: datetime
    finished_at: datetime
    prior: str | None = None
    """The backup that this one needs; None for a full one."""
    size_bytes: int
    """Of the databases in it, restored."""
    stored_bytes: int
    """Of what it added to the repository."""
    first_lsn: str
    last_lsn: str
    """It can be restored to this position and every later one."""
    first_wal: str
    last_wal: str
    request_id: str | None = None
    """Of the request that it was made for."""
    node: str | None = None
    """Whose files it was made from; None: not known, it is from before this was written down."""
    error: str | None = None
    """What is wrong with it, such as pages whose checksum does not fit; None when nothing is."""


class RepositoryContents(Record):
    """What is in a repository. ``archive_first`` and ``archive_last`` are the first and last WAL segment there.

    Recovery goes to ``timeline``, the newest that the archive has a history of; ``forks`` are where those before were
    left. None: the first, or not known.
    """

    backups: tuple[Backup, ...] = ()
    """The oldest first."""
    archive_first: str | None = None
    archive_last: str | None = None
    timeline: int | None = None
    forks: tuple[Fork, ...] = ()

    @property
    def good(self) -> tuple[Backup, ...]:
        """Those from which recovery can go on, the oldest first: whole, and on the history of the newest timeline.

        What a lost primary backed up in ``async`` beyond the point of a failover is good for itself only.
        """
        found = (each for each in self.backups if each.error is None and self.is_on_history(each))
        return tuple(sorted(found, key=lambda each: each.finished_at))

    def is_on_history(self, backup: Backup) -> bool:
        """Tell whether the newest timeline comes from where *backup* ended."""
        if self.timeline is None:
            return True
        position = parse_lsn(backup.last_lsn)
        return is_on_history(timeline_of(backup.last_wal), position, of=self.timeline, forks=self.forks)


class Hole(Record):
    """WAL that nobody has any more, segments ``first`` to ``last``, and what cannot be restored for it.

    Moments from ``since`` on, by which the last commit before it was, until ``until``, when the first backup that was
    begun after it had ended; None: there is none yet.
    """

    first: str
    last: str
    since: datetime
    until: datetime | None = None


class BackupRun(Record):
    """A backup that is being made: the operation that makes it, and since when."""

    operation_id: str
    run_id: str
    type: BackupType
    started_at: datetime


class BackupFailure(Record):
    """A backup that did not come about, or is not good, and why, in one sentence."""

    operation_id: str
    type: BackupType
    failed_at: datetime
    message: str


class BackupNote(Record):
    """What an operation tells its cluster of the backup that it made, or did not make."""

    operation_id: str
    made: tuple[Backup, ...] = ()
    """Good ones that there are: the one that was made, and the last of each type in the repository."""
    failure: BackupFailure | None = None
    oldest: Backup | None = None
    """The oldest good one that there is now: the earliest moment that can be restored is its end. None: not known."""


class Reading(Record):
    """An operation that reads backups to restore one: ``backup_id``, None before it has chosen."""

    operation_id: str
    run_id: str
    backup_id: str | None = None


class BackupRecord(Record):
    """What is on record of a cluster's backups. The repository itself knows all of them."""

    running: BackupRun | None = None
    last: tuple[Backup, ...] = ()
    """The last good one of each type."""
    failure: BackupFailure | None = None
    """The last one that did not come about; None once one did."""
    oldest: Backup | None = None
    """The oldest good one: the window begins at its end."""
    holes: tuple[Hole, ...] = ()
    """In the archive, the earliest first, as long as a backup is kept from before them."""
    unclosed_since: datetime | None = None
    """When the first takeover began after which nobody saw yet what the archive lacks; None: there is none such."""
    readers: tuple[Reading, ...] = ()
    """Restores that are under way: what they read is not removed."""
    drill: DrillRun | None = None
    """The drill that is under way."""
    proofs: tuple[Proof, ...] = ()
    """What came of the last drill of each backup, the newest last; so many as are kept of them."""

    def latest(self, type: BackupType | None = None) -> Backup | None:
        """Return the last good one, of that *type* or of any."""
        fitting = [backup for backup in self.last if type in {None, backup.type}]
        return max(fitting, key=lambda backup: backup.finished_at, default=None)
