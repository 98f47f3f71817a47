"""Effects on storage: what is used, who may write. Implemented in activities/nodes, activities/postgres and engine."""

from model.base import Record
from model.cluster import Node
from model.effects.effect import ClusterKey, Effect, Kind, Nothing, Target
from model.storage import AutoGrow, StorageLook


class ReadStorageInput(ClusterKey):
    """Look at what these nodes use now."""

    nodes: tuple[Node, ...]


class SetReadOnlyInput(Record):
    """Have the primary begin clients' transactions read-only, or not any more."""

    target: Target
    read_only: bool


class NoteStorageInput(Record):
    """Note in Postgres what storage the cluster has: its containers' labels only tell what it was made with."""

    target: Target
    storage_gb: int
    auto_grow: AutoGrow | None = None


class CheckDiskInput(ClusterKey):
    """See that the host can keep it when a cluster is promised ``storage_gb`` for each node from now on."""

    storage_gb: int


READ_STORAGE = Effect("read_storage", ReadStorageInput, StorageLook, Kind.SQL_WAIT, "nodes.storage:StorageActivities")
SET_READ_ONLY = Effect("set_read_only", SetReadOnlyInput, Nothing, Kind.SQL_WAIT, "nodes.storage:StorageActivities")
NOTE_STORAGE = Effect(
    "note_storage", NoteStorageInput, Nothing, Kind.SQL, "postgres.storage_notes:StorageNoteActivities"
)
CHECK_DISK = Effect("check_disk", CheckDiskInput, Nothing, Kind.HOST, "engine.hosts:HostActivities")
