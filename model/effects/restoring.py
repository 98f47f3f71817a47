"""Effects of a restore: the source is looked up and archived, a volume filled, and what is in it made a new cluster's.

Implemented in activities/backups, and what is of Temporal and Postgres where the rest of that is.
"""

from datetime import datetime

from model.backups import Reading
from model.base import Record
from model.cluster import Node
from model.effects.backups import RepositoryRef
from model.effects.effect import ClusterKey, Effect, Kind, Nothing, Target
from model.effects.nodes import NodeSpec
from model.restore import RecoveryPoint, Source


class BeginReadingInput(ClusterKey):
    """Have the backups of a cluster stay, living or destroyed, until the operation of ``reading`` has ended."""

    reading: Reading


class ArchiveNowInput(Record):
    """Have all that ``primary`` committed until now archived, within ``timeout_s`` seconds."""

    cluster_id: str
    primary: Node
    timeout_s: float


class ArchivedTo(Record):
    """Every commit until ``at``, by the primary's own clock, is in the archive."""

    at: datetime


class RestoreDataInput(Record):
    """Fill the volume of the node ``spec``, of a cluster that is being made, from the backups of ``source``."""

    spec: NodeSpec
    source: RepositoryRef
    point: RecoveryPoint


class RestoreProgress(Record):
    """How far a restore is: the detail of its heartbeats. Bytes are of the databases as they were in the backup."""

    restored_bytes: int
    of_bytes: int
    recovering: bool = False
    """Whether the backup is copied, and WAL is replayed."""


class Restored(Record):
    """What was restored. ``last_commit_at`` is None where nothing was committed after the backup.

    ``at_end``: no commit after the moment asked for was found, so all that the archive has is there.
    """

    last_commit_at: datetime | None = None
    lsn: str | None = None
    timeline: int
    at_end: bool = False


class RenewPasswordsInput(Record):
    """Give every user of a cluster that was restored the first password of its new id, and the plan's limit."""

    target: Target
    connection_limit: int


READ_SOURCE = Effect("read_source", ClusterKey, Source, Kind.SQL, "operations:OperationActivities")
BEGIN_READING = Effect("begin_reading", BeginReadingInput, Nothing, Kind.SQL, "operations:OperationActivities")
ARCHIVE_NOW = Effect("archive_now", ArchiveNowInput, ArchivedTo, Kind.SQL_WAIT, "backups.archive_now:FlushActivities")
RESTORE_DATA = Effect("restore_data", RestoreDataInput, Restored, Kind.HOST_LONG, "backups.restore:RestoreActivities")
RENEW_PASSWORDS = Effect(
    "renew_passwords", RenewPasswordsInput, Nothing, Kind.SQL_NEW, "postgres.restored_users:RestoredUserActivities"
)
