"""Effects on backups: the repository, the backups in it, and the archive. Implemented in activities/backups."""

from datetime import datetime

from model.backups import Backup, BackupPolicy, BackupType, Repository, RepositoryContents
from model.base import Record
from model.cluster import Network, Node
from model.drills import Proof
from model.effects.effect import Effect, Kind, Nothing


class RepositoryRef(Record):
    """A cluster's repository, and the image whose pgBackRest works on it. The cluster itself may be gone."""

    cluster_id: str
    repository: Repository
    image: str


class EnsureRepositoryInput(RepositoryRef):
    """See that the repository is there, has the cluster's stanza, and takes WAL from ``primary``."""

    primary: Node


class TakeBackupInput(RepositoryRef):
    """Make a backup; from ``replica`` if there is one, with ``primary``'s help.

    ``request_id`` is the same in every try.
    """

    cluster_name: str
    network: Network
    primary: Node
    replica: Node | None
    """Only one that is in sync, or in ``async`` one that follows."""
    type: BackupType
    request_id: str


class ExpireBackupsInput(RepositoryRef):
    """Remove what ``policy`` no longer promises, but for what is read: the backups ``read``.

    ``proofs`` are what drills found. While somebody is ``choosing`` one nothing is removed.
    """

    policy: BackupPolicy
    now: datetime
    read: tuple[str, ...] = ()
    choosing: bool = False
    proofs: tuple[Proof, ...] = ()


class ArchivingInput(Record):
    """Ask the primary about its archiver."""

    cluster_id: str
    primary: Node


class Archiving(Record):
    """How archiving stands. ``failing_since`` is None when the last try succeeded.

    ``reason`` is pgBackRest's sentence.
    """

    last_archived_at: datetime | None = None
    last_archived_wal: str | None = None
    failing_since: datetime | None = None
    reason: str | None = None
    waiting_bytes: int = 0
    """Of WAL that is not archived yet."""


class GapInput(RepositoryRef):
    """After a takeover: have the new primary archive what the old one wrote and did not archive.

    What only a node's volume has is archived from there, as much as ``rescue_s`` seconds allow. ``release`` lets the
    archiver go on that was held for a switchover: only for who has the turn.
    """

    primary: Node
    unknown_since: datetime | None = None
    """Since when it is not known what the archive lacks: a backup that was made later tells nothing of before."""
    rescue_s: float = 60.0
    release: bool = True


class GapReport(Record):
    """How many segments were handed to the archiver, and the first one that nobody has any more (a hole), if any.

    ``unknown`` says why it is not known whether there is a hole; None where it is.
    """

    handed_over: int = 0
    rescued: int = 0
    """Archived from a former primary's volume."""
    lost: str | None = None
    lost_last: str | None = None
    """The last one of them."""
    intact_until: datetime | None = None
    """When the last commit before the hole was, or earlier; None: not known."""
    unknown: str | None = None


ENSURE_REPOSITORY = Effect(
    "ensure_repository", EnsureRepositoryInput, Nothing, Kind.HOST, "backups.repository:RepositoryActivities"
)
READ_REPOSITORY = Effect(
    "read_repository", RepositoryRef, RepositoryContents, Kind.HOST_LOOK, "backups.repository:RepositoryActivities"
)
EXPIRE_BACKUPS = Effect(
    "expire_backups", ExpireBackupsInput, RepositoryContents, Kind.HOST_LONG, "backups.repository:RepositoryActivities"
)
REMOVE_REPOSITORY = Effect(
    "remove_repository", RepositoryRef, Nothing, Kind.HOST_LONG, "backups.repository:RepositoryActivities"
)
REMOVE_STORED = Effect(
    "remove_stored", RepositoryRef, Nothing, Kind.SQL_WAIT, "backups.repository:RepositoryActivities"
)
"""Of a store, which the cluster's host may be away from for good: any worker reaches it."""
TAKE_BACKUP = Effect("take_backup", TakeBackupInput, Backup, Kind.HOST_LONG, "backups.backup:BackupActivities")
READ_ARCHIVING = Effect("read_archiving", ArchivingInput, Archiving, Kind.SQL_WAIT, "backups.archive:ArchiveActivities")
CLOSE_ARCHIVE_GAP = Effect("close_archive_gap", GapInput, GapReport, Kind.HOST, "backups.archive:ArchiveActivities")
