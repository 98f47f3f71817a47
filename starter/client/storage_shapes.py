"""The JSON object of a cluster's storage, made from its state."""

from datetime import datetime

from model.base import Record
from model.cluster import ClusterView
from model.storage import GB, AutoGrow, StorageLevel, StorageLook, bytes_per_day, full_on


class NodeStorageShape(Record):
    """What a node uses of the storage that it was given, in bytes; ``seen_at`` where it gave no answer since."""

    name: str
    used_bytes: int
    data_bytes: int
    wal_bytes: int
    temp_bytes: int
    seen_at: datetime | None
    provisioned_bytes: int


class DatabaseStorageShape(Record):
    """The size of a database, in bytes on each node."""

    name: str
    bytes: int


class StorageShape(Record):
    """A cluster's storage. ``full_on`` is None where it does not grow, or is not full within a year."""

    id: str
    name: str
    storage_used_bytes: int | None
    storage_provisioned_bytes: int
    level: StorageLevel
    read_only: bool
    grows_bytes_per_day: int | None
    full_on: datetime | None
    auto_grow: AutoGrow | None
    seen_at: datetime | None
    nodes: tuple[NodeStorageShape, ...]
    databases: tuple[DatabaseStorageShape, ...]


def storage_shape(view: ClusterView) -> StorageShape:
    """Return the cluster's storage: given and used, by node and by database."""
    spec, recorded = view.state.spec, view.state.status.storage
    look, provided = recorded.look, spec.storage_gb * GB
    rate = bytes_per_day(recorded.history)
    return StorageShape(
        id=spec.id,
        name=spec.name,
        storage_used_bytes=look and look.used_bytes,
        storage_provisioned_bytes=provided,
        level=recorded.level,
        read_only=recorded.read_only,
        grows_bytes_per_day=None if rate is None else round(rate),
        full_on=full_on(recorded, provided),
        auto_grow=spec.auto_grow,
        seen_at=look and look.at,
        nodes=tuple(
            NodeStorageShape(used_bytes=node.used_bytes, provisioned_bytes=provided, **node.model_dump())
            for node in (look.nodes if look else ())
        ),
        databases=tuple(
            DatabaseStorageShape(name=each.name, bytes=each.bytes) for each in (look.databases if look else ())
        ),
    )


def with_look(view: ClusterView, look: StorageLook) -> ClusterView:
    """Return the cluster with *look* as the last one at its storage, of which perhaps not all is on record."""
    status = view.state.status
    storage = status.storage.model_copy(update={"look": look})
    state = view.state.model_copy(update={"status": status.model_copy(update={"storage": storage})})
    return view.model_copy(update={"state": state})
