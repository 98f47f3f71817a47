"""Effects of a backup on Temporal itself: its place on the cluster's record, and the schedules.

Implemented in activities/scheduling.py.
"""

from model.backups import BackupNote, BackupPolicy, BackupRun, BackupType
from model.base import Record
from model.cluster import ClusterState
from model.effects.effect import ClusterKey, Effect, Kind, Nothing


class BeginBackupInput(Record):
    """An operation is about to back its cluster up. Repeated, it asks how the cluster stands now."""

    cluster_id: str
    run: BackupRun


class BackupStart(Record):
    """What the cluster answers: its state, and the backup that is made already, if that is another one."""

    state: ClusterState
    other: BackupRun | None = None


class BackupClaim(Record):
    """The same as the cluster hears it. *instead_of* is an operation that was found to run no more."""

    run: BackupRun
    instead_of: str | None = None


class NoteBackupInput(Record):
    """Tell the cluster of a backup. It is on record when the effect returns."""

    cluster_id: str
    note: BackupNote


class PutSchedulesInput(Record):
    """Have the cluster backed up by *policy* from now on.

    Where there were no schedules yet, a backup of the type *at_once* is begun with them, if one is named.
    """

    cluster_id: str
    cluster_name: str
    org: str
    policy: BackupPolicy
    at_once: BackupType | None = None


BEGIN_BACKUP = Effect("begin_backup", BeginBackupInput, BackupStart, Kind.SQL, "scheduling:ScheduleActivities")
NOTE_BACKUP = Effect("note_backup", NoteBackupInput, Nothing, Kind.SQL, "scheduling:ScheduleActivities")
PUT_SCHEDULES = Effect("put_schedules", PutSchedulesInput, Nothing, Kind.SQL, "scheduling:ScheduleActivities")
REMOVE_SCHEDULES = Effect("remove_schedules", ClusterKey, Nothing, Kind.SQL, "scheduling:ScheduleActivities")
