"""Effects of a drill: rows are sampled when a backup is made; later it is restored, read and compared with them.

Implemented in activities/backups, and what is of Temporal where the rest of that is.
"""

from model.base import Record
from model.cluster import ClusterState, Node
from model.drills import DrillNote, DrillRun
from model.effects.backups import RepositoryRef
from model.effects.effect import Effect, Kind, Nothing


class SampleRowsInput(RepositoryRef):
    """Sample rows of ``primary``'s tables, and keep them with the backup that was just made."""

    primary: Node
    backup_id: str


class DrillInput(RepositoryRef):
    """Restore a backup to a volume that is thrown away, and read everything in it.

    ``to_end``: the archive after it as well. ``timeline``: its own, where the newest one does not come from it.
    ``request_id`` is the same in every try.
    """

    cluster_name: str
    backup_id: str
    size_bytes: int
    to_end: bool
    timeline: int | None = None
    request_id: str


class DrillReport(Record):
    """What was found: see :class:`model.drills.Proof`, which has the same fields."""

    fault: str | None = None
    copied_s: float | None = None
    recovered_s: float | None = None
    archive_s: float | None = None
    restored_bytes: int | None = None
    compared: int | None = None


class DrillClaim(Record):
    """A drill is about to begin. *instead_of* is an operation that was found to run no more."""

    run: DrillRun
    instead_of: str | None = None


class BeginDrillInput(Record):
    """The same as an operation asks for it."""

    cluster_id: str
    run: DrillRun


class DrillStart(Record):
    """What the cluster answers: its state, and the drill that is under way already, if that is another one."""

    state: ClusterState
    other: DrillRun | None = None


class NoteDrillInput(Record):
    """Tell the cluster of a drill. It is on record when the effect returns."""

    cluster_id: str
    note: DrillNote


SAMPLE_ROWS = Effect("sample_rows", SampleRowsInput, Nothing, Kind.HOST, "backups.sampling:SamplingActivities")
DRILL_BACKUP = Effect("drill_backup", DrillInput, DrillReport, Kind.HOST_LONG, "backups.drill:DrillActivities")
BEGIN_DRILL = Effect("begin_drill", BeginDrillInput, DrillStart, Kind.SQL, "scheduling:ScheduleActivities")
NOTE_DRILL = Effect("note_drill", NoteDrillInput, Nothing, Kind.SQL, "scheduling:ScheduleActivities")
