"""Effects on nodes: their life, and replication between them. Implemented in activities/nodes."""

from datetime import datetime
from enum import StrEnum

from model.backups import Repository
from model.base import Record
from model.cluster import Network, Node, NodeRole, Tls
from model.effects.effect import Effect, Kind, NodeRef, Nothing, Target
from model.plans import Plan, Resources


class Bootstrap(StrEnum):
    """Where a node's data comes from."""

    INIT = "init"
    """initdb, unless that was done."""
    CLONE = "clone"
    """Base backup of the primary, unless that was done. Waits until the primary lets it in."""
    KEEP = "keep"
    """The volume as it is."""
    REJOIN = "rejoin"
    """After a failover: pg_rewind of what the volume has, a fresh copy beside it where that cannot be."""


class Rejoin(StrEnum):
    """How a node that rejoins comes by data that follow the primary."""

    REWIND = "rewind"
    """From what it has, rewound if it took writes itself; else by a copy beside it."""
    BESIDE = "beside"
    """By a fresh copy. What it has, unless it is such a copy, stays on the volume until :data:`DISCARD_FORMER`."""
    AHEAD = "ahead"
    """The same, and what it has stays in any case: it is ahead of the primary."""
    IN_PLACE = "in_place"
    """By a fresh copy, after what it has was removed: only with evidence that this is of no use."""


class NodeSpec(Record):
    """Everything a node's container is made from. Its digest is the label ``mpg.spec``."""

    cluster_id: str
    cluster_name: str
    name: str
    role: NodeRole
    plan: str
    resources: Resources
    image: str
    network: Network
    pg_major_version: int = 17
    primary_address: str | None = None
    """Whom a replica follows; None for a primary."""
    repository: Repository | None = None
    """Where it archives its WAL while it is the primary; None: nowhere."""
    wal_mb: int | None = None
    """What WAL may take, where the storage is too small for what the plan would take."""
    tls: Tls = Tls.OFF
    """In files that a reload reads: no container is made again for it."""


class EnsureNodeInput(Record):
    """See that a node runs as ``spec`` says: made, or stopped cleanly and made again when it differs."""

    spec: NodeSpec
    bootstrap: Bootstrap
    plan: Plan | None = None
    """The plan in full, for the container's label; the node itself is made from what ``spec`` has of it."""
    rejoin: Rejoin = Rejoin.REWIND
    """How, where ``bootstrap`` is ``REJOIN``. A fresh copy is made when the node starts: one that runs goes on."""


class RestartNodeInput(Record):
    """Restart a node's Postgres cleanly, once: not if its container started after ``requested_at``."""

    cluster_id: str
    node: Node
    requested_at: datetime


READS_END_S = 30.0
"""How long read-only queries on a node that is to stop may go on; as long as a switchover waits for a transaction."""


class DrainNodeInput(Record):
    """Wait until nobody reads from a replica that is to stop, at most ``timeout_s`` seconds."""

    cluster_id: str
    node: Node
    timeout_s: float


class DataVerdict(Record):
    """Why the data of a node can never follow the primary, as it was seen; None where nothing shows that."""

    evidence: str | None = None
    ahead: bool = False
    """Whether that is because they are ahead of the primary: then they may hold what nobody else has."""


class RemoveNodeInput(Record):
    """Remove a node's container and its volume."""

    cluster_id: str
    name: str


ENSURE_NODE = Effect("ensure_node", EnsureNodeInput, Node, Kind.HOST_LONG, "nodes.lifecycle:NodeActivities")
FENCE_NODE = Effect("fence_node", NodeRef, Nothing, Kind.HOST, "nodes.lifecycle:NodeActivities")
DRAIN_NODE = Effect("drain_node", DrainNodeInput, Nothing, Kind.HOST, "nodes.lifecycle:NodeActivities")
RESTART_NODE = Effect("restart_node", RestartNodeInput, Node, Kind.HOST, "nodes.lifecycle:NodeActivities")
EXAMINE_DATA = Effect("examine_data", NodeRef, DataVerdict, Kind.HOST, "nodes.replica_data:ReplicaDataActivities")
DISCARD_FORMER = Effect("discard_former", NodeRef, Nothing, Kind.HOST_LONG, "nodes.replica_data:ReplicaDataActivities")
"""Remove what a fresh copy on a node took the place of, once the copy is in sync."""
REMOVE_NODE = Effect("remove_node", RemoveNodeInput, Nothing, Kind.HOST, "nodes.lifecycle:NodeActivities")


class SetSynchronousInput(Record):
    """Make the primary wait for ``standby`` at each commit, or for nobody (None). Takes effect before it returns."""

    target: Target
    standby: str | None


class AwaitCaughtUpInput(Record):
    """Wait until ``replica`` streams from ``primary`` and has replayed past an LSN taken on the primary now."""

    cluster_id: str
    primary: Node
    replica: Node
    timeout_s: float = 600.0
    reads_end_s: float | None = None
    """After how many seconds reads on the replica are ended that hold its replay up. None: never."""


class ReplicaCaughtUp(Record):
    """The replica's timeline, and its replay lag in bytes when it was seen past the mark."""

    timeline: int
    lag_bytes: int


REQUIRE_WRITES = Effect("require_writes", Target, Nothing, Kind.SQL, "nodes.replication:ReplicationActivities")
SET_SYNCHRONOUS = Effect(
    "set_synchronous", SetSynchronousInput, Nothing, Kind.SQL, "nodes.replication:ReplicationActivities"
)
RELEASE_COMMITS = Effect("release_commits", Target, Nothing, Kind.SQL_WAIT, "nodes.replication:ReplicationActivities")
"""``set_synchronous`` with no standby, for a cluster in trouble: its workflow goes on meanwhile."""
AWAIT_CAUGHT_UP = Effect(
    "await_caught_up", AwaitCaughtUpInput, ReplicaCaughtUp, Kind.SQL_WAIT, "nodes.replication:ReplicationActivities"
)
