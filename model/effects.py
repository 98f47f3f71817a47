"""The contract between workflows and activities: the name, input, output and manner of every effect.

Workflows call effects by these descriptors and activities implement them, so neither imports the other's libraries.
Every effect is idempotent: it begins by looking whether its work is done.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar, cast

from model.adoption import (
    Access,
    AdoptionReading,
    Catalog,
    EnsureAccessInput,
    FindClustersInput,
    FoundClusters,
    Origin,
    ReadClusterInput,
)
from model.base import Record
from model.cluster import (
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    Database,
    Endpoint,
    Network,
    Node,
    NodeRole,
    Pooler,
    PoolMode,
    Role,
    User,
)
from model.facts import Fact
from model.operations import Commit, TurnRequest
from model.plans import HostCapacity, Plan, Resources

I = TypeVar("I", bound=Record)  # noqa: E741  I and O are what they are everywhere in this file: input and output
O = TypeVar("O", bound=Record)  # noqa: E741


class Kind(StrEnum):
    """How an effect runs; workflows/call.py has the timeouts and retries of each kind."""

    SQL = "sql"
    """Short work, SQL or a call to Temporal: a local activity.

    Only what can be put back. That it ran is on record with the end of its workflow's task; a cancellation that comes
    before that has the workflow decide anew, as if it had not run.
    """
    SQL_WAIT = "sql_wait"
    """Waits on Postgres, or cannot be put back: an activity on the main queue that heartbeats."""
    SQL_NEW = "sql_new"
    """The same on a node that has just been made: no failover brings one back that ended."""
    HOST = "host"
    """Container work of seconds at most: an activity on the host's queue, heartbeating."""
    HOST_LONG = "host_long"
    """Container work that may take minutes or hours (base backup, drain): heartbeating, long start-to-close."""
    SWITCHOVER = "switchover"
    """PAUSE to RESUME: heartbeat timeout 3 s, retried at once, never cancelled in between."""
    WATCH = "watch"
    """Returns only when an operation ended: an activity on the main queue. Others wait for their turn meanwhile."""
    WATCH_HOST = "watch_host"
    """Returns only when something on the host needs a decision."""


@dataclass(frozen=True)
class Effect(Generic[I, O]):
    """One effect. ``name`` is the activity type, verb_object."""

    name: str
    input: type[I]
    output: type[O]
    kind: Kind


class Nothing(Record):
    """An empty answer."""


# --- host and containers ------------------------------------------------------------------------------------------


class CheckHostInput(Record):
    """Ask whether a host can carry nodes of a plan. ``plan`` is a name in the worker's plan table."""

    plan: str
    pg_major_version: int
    storage_gb: int = 0
    """Free disk to insist on, in GB per node; 0 to ask nothing."""
    postgis: bool = False
    """Answer with the image that has PostGIS."""
    image: str | None = None
    """The image that a cluster is made of already: it has to be there, none is chosen."""


class HostCheck(Record):
    """The plan in full, what a node of it gets on this host, and the image to make it of."""

    plan: Plan
    resources: Resources
    capacity: HostCapacity
    image: str


class ClusterKey(Record):
    """Names a cluster."""

    cluster_id: str


class RemoveClusterInput(ClusterKey):
    """Remove all of a cluster, after the last steps of the operations in ``ended`` (workflow ids)."""

    ended: tuple[str, ...] = ()


class CreateEndpointInput(Record):
    """Make the endpoint in a network. ``origin`` goes on its label: it lives as long as the cluster."""

    cluster_id: str
    cluster_name: str
    network: Network
    image: str
    origin: Origin | None = None


class Bootstrap(StrEnum):
    """Where a node's data comes from."""

    INIT = "init"
    """initdb, unless that was done."""
    CLONE = "clone"
    """Base backup of the primary, unless that was done. Waits until the primary lets it in."""
    KEEP = "keep"
    """The volume as it is."""
    REJOIN = "rejoin"
    """After a failover: pg_rewind of what the volume has, a fresh base backup where that cannot be."""


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


class EnsureNodeInput(Record):
    """See that a node runs as ``spec`` says: made, or stopped cleanly and made again when it differs."""

    spec: NodeSpec
    bootstrap: Bootstrap
    wait_ready: bool = True
    """Return when Postgres answers; else when the container was started."""
    plan: Plan | None = None
    """The plan in full, for the container's label; the node itself is made from what ``spec`` has of it."""


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


class NodeRef(Record):
    """Names a node's container."""

    cluster_id: str
    name: str


class RemoveNodeInput(Record):
    """Remove a node's container, and its volume unless it is kept."""

    cluster_id: str
    name: str
    keep_volume: bool = False


class CreatePoolersInput(Record):
    """Make a generation of PgBouncers in the endpoint's network namespace and wait until their consoles answer."""

    cluster_id: str
    cluster_name: str
    endpoint: Endpoint
    image: str
    generation: int
    pool_mode: PoolMode
    plan: Plan
    primary_address: str
    living: tuple[Pooler, ...] = ()
    """Poolers that are there already; ports and peer ids differ from theirs and each is a peer."""
    count: int = 2


class Poolers(Record):
    """A set of PgBouncers."""

    poolers: tuple[Pooler, ...]


class ConfigurePoolersInput(Record):
    """Write the poolers' configuration and reload it: where the primary is, and the plan's limits."""

    cluster_id: str
    endpoint: Endpoint
    poolers: tuple[Pooler, ...]
    plan: Plan
    primary_address: str


class RemovePoolersInput(Record):
    """Remove these PgBouncers' containers."""

    cluster_id: str
    poolers: tuple[Pooler, ...]


class DrainPoolersInput(Record):
    """Wait until the last client of each is gone, or the host's drain limit after ``since``, then remove them."""

    cluster_id: str
    endpoint: Endpoint
    poolers: tuple[Pooler, ...]
    since: datetime


class RouteInput(Record):
    """Lead new connections: pooled over these ports, direct and read-only to these nodes' addresses.

    None takes a rule away: new connections are refused until it is back. Open connections are not touched.
    """

    cluster_id: str
    pooler_ports: tuple[int, ...]
    direct: str | None
    read_only: str | None


class HandoverInput(Record):
    """One node takes over from the other. The activity signals ``commit`` with PrimaryIs before clients go on."""

    cluster_id: str
    operation_id: str
    status: ClusterStatus
    plan: Plan
    target: str
    """Name of the node that becomes the primary. When it is the primary already, only the routes are put right."""


class SwitchoverInput(HandoverInput):
    """From PAUSE to RESUME; the wait for transactions in flight is bounded by ``max_pause_s`` seconds."""

    max_pause_s: float


class SwitchoverReport(Record):
    """What a switchover took, in milliseconds, and the new primary's timeline."""

    timeline: int
    paused_ms: float
    steps_ms: dict[str, float]


class FailoverInput(HandoverInput):
    """The primary is lost: it is fenced with proof, then the target is promoted.

    Whether the target holds every acknowledged commit is the caller's to know.
    """


class FailoverReport(Record):
    """What a failover took, in milliseconds from its first step on, and the new primary's timeline."""

    timeline: int
    held_ms: float
    steps_ms: dict[str, float]
    way_in_whole: bool = True
    """Whether the endpoint and every pooler were there to be led to the new primary."""


class RequireLostInput(Record):
    """See that a primary that is to be given up does not serve any more."""

    cluster_id: str
    node: Node


class LostPrimary(Record):
    """What is still to be seen of a primary that does not serve: LSN and timeline of its last checkpoint."""

    checkpoint: str | None = None
    timeline: int | None = None


class PositionInput(Record):
    """Ask a standby up to where it has the primary's WAL."""

    cluster_id: str
    node: Node


class StandbyPosition(Record):
    """The end of the WAL that a standby has, and when the last transaction that it replayed was committed."""

    lsn: str
    timeline: int
    last_commit_at: datetime | None = None


class WatchInput(Record):
    """Watch a cluster until something needs a decision."""

    cluster_id: str
    status: ClusterStatus


class AlarmKind(StrEnum):
    """What was lost."""

    NODE = "node"
    """A node's process ended, or it does not answer."""
    WAY_IN = "way_in"
    """The endpoint or a pooler ended; Docker starts these again, but poolers must join a new endpoint's namespace."""


class Alarm(Record):
    """Something needs a decision. ``name`` is the node's or the pooler's, ``how`` is for people."""

    kind: AlarmKind
    name: str
    how: str


class ObserveInput(Record):
    """Look at what a cluster's containers and Postgres really are."""

    state: ClusterState


class Observation(Record):
    """What was seen, as facts that correct the record."""

    facts: tuple[Fact, ...]


class SettleInput(Record):
    """Put a cluster back in service after an operation that did not complete.

    Nodes that should run are started, poolers resumed and pointed at the one primary, rules put right, containers
    that the state does not name removed. Never promotes. Steps of the operations in ``ended`` (workflow ids) that
    still run are waited for, and none begins any more.
    """

    state: ClusterState
    ended: tuple[str, ...] = ()
    start_primary: bool = True
    """Whether a primary that does not run is started in place. Where nobody decided that, it is refused instead."""


class MendWayInInput(Record):
    """Start the endpoint, and those of its poolers that ended or are in the namespace of a former endpoint."""

    cluster_name: str
    endpoint: Endpoint
    poolers: tuple[Pooler, ...]


CHECK_HOST = Effect("check_host", CheckHostInput, HostCheck, Kind.HOST)
CREATE_NETWORK = Effect("create_network", ClusterKey, Network, Kind.HOST)
CREATE_ENDPOINT = Effect("create_endpoint", CreateEndpointInput, Endpoint, Kind.HOST)
ENSURE_NODE = Effect("ensure_node", EnsureNodeInput, Node, Kind.HOST_LONG)
FENCE_NODE = Effect("fence_node", NodeRef, Nothing, Kind.HOST)
DRAIN_NODE = Effect("drain_node", DrainNodeInput, Nothing, Kind.HOST)
RESTART_NODE = Effect("restart_node", RestartNodeInput, Node, Kind.HOST)
STOP_NODE = Effect("stop_node", NodeRef, Nothing, Kind.HOST)
REMOVE_NODE = Effect("remove_node", RemoveNodeInput, Nothing, Kind.HOST)
CREATE_POOLERS = Effect("create_poolers", CreatePoolersInput, Poolers, Kind.HOST)
CONFIGURE_POOLERS = Effect("configure_poolers", ConfigurePoolersInput, Nothing, Kind.HOST)
REMOVE_POOLERS = Effect("remove_poolers", RemovePoolersInput, Nothing, Kind.HOST)
DRAIN_POOLERS = Effect("drain_poolers", DrainPoolersInput, Nothing, Kind.HOST_LONG)
SET_ROUTES = Effect("set_routes", RouteInput, Nothing, Kind.HOST)
SWITCH_PRIMARY = Effect("switch_primary", SwitchoverInput, SwitchoverReport, Kind.SWITCHOVER)
FAIL_OVER = Effect("fail_over", FailoverInput, FailoverReport, Kind.SWITCHOVER)
REQUIRE_LOST = Effect("require_lost", RequireLostInput, LostPrimary, Kind.HOST)
READ_POSITION = Effect("read_position", PositionInput, StandbyPosition, Kind.HOST)
WATCH_CLUSTER = Effect("watch_cluster", WatchInput, Alarm, Kind.WATCH_HOST)
OBSERVE_CLUSTER = Effect("observe_cluster", ObserveInput, Observation, Kind.HOST)
SETTLE_CLUSTER = Effect("settle_cluster", SettleInput, Observation, Kind.HOST_LONG)
MEND_WAY_IN = Effect("mend_way_in", MendWayInInput, Nothing, Kind.HOST)
REMOVE_CLUSTER = Effect("remove_cluster", RemoveClusterInput, Nothing, Kind.HOST)

# --- Postgres -----------------------------------------------------------------------------------------------------


class Target(Record):
    """A node to run SQL on, as the platform's superuser. ``address`` is inside the cluster's network."""

    cluster_id: str
    address: str


class SetUpRolesInput(Record):
    """Group roles, default privileges in template1, the platform's roles, then the first users and databases."""

    target: Target
    users: tuple[User, ...]
    databases: tuple[Database, ...]
    connection_limit: int


class UserInput(Record):
    """A user as it should be. ``connection_limit`` is the plan's, for the role."""

    target: Target
    user: User
    connection_limit: int


class DropUserInput(Record):
    """Remove a user in every database; what it owns becomes ``role``'s group's."""

    target: Target
    username: str
    role: Role


class DatabaseInput(Record):
    """A database as it should be."""

    target: Target
    database: Database


class DropDatabaseInput(Record):
    """Remove a database; with ``force`` its sessions are ended, else they refuse it."""

    target: Target
    database: str
    force: bool
    endpoint: Endpoint | None = None
    poolers: tuple[Pooler, ...] = ()
    """All living poolers, draining ones too: they tell their clients from server connections kept for nobody."""


class EnableExtensionInput(Record):
    """Install an extension, if it is trusted or allow-listed."""

    target: Target
    database: str
    extension: str
    schema_name: str | None = None
    create_schema_if_needed: bool = False


class DisableExtensionInput(Record):
    """Remove an extension; with ``force`` also what depends on it."""

    target: Target
    database: str
    extension: str
    force: bool


class ReadExtensionsInput(Record):
    """Ask which extensions a database has and could have."""

    target: Target
    database: str


class InstalledExtension(Record):
    """Version and schema of an installed extension."""

    version: str
    schema_name: str


class Extension(Record):
    """An extension that may be enabled, and how it is installed, if it is."""

    name: str
    description: str
    docs_url: str
    default_version: str
    is_system: bool
    installed: InstalledExtension | None = None


class Extensions(Record):
    """The extensions of a database, by name."""

    extensions: tuple[Extension, ...]


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


class ReplicaCaughtUp(Record):
    """The replica's timeline, and its replay lag in bytes when it was seen past the mark."""

    timeline: int
    lag_bytes: int


class ReconcileInput(Record):
    """Make Postgres and the record of one user and one database agree, after an operation on them that was lost."""

    target: Target
    spec: ClusterSpec
    username: str | None = None
    database: str | None = None
    undone: bool = False
    """The caller was told that nothing was done: a database that is not on record was made in vain."""


class SetConnectionLimitsInput(Record):
    """Give every user's role the plan's connection limit."""

    target: Target
    usernames: tuple[str, ...]
    connection_limit: int


class AdoptRolesInput(Record):
    """Bring users, databases and objects already there under the role system."""

    target: Target
    users: tuple[User, ...]
    databases: tuple[Database, ...]
    connection_limit: int


SET_UP_ROLES = Effect("set_up_roles", SetUpRolesInput, Nothing, Kind.SQL_NEW)
CREATE_USER = Effect("create_user", UserInput, Nothing, Kind.SQL)
SET_USER_ROLE = Effect("set_user_role", UserInput, Nothing, Kind.SQL)
SET_PASSWORD = Effect("set_password", UserInput, Nothing, Kind.SQL)
DROP_USER = Effect("drop_user", DropUserInput, Nothing, Kind.SQL_WAIT)
CREATE_DATABASE = Effect("create_database", DatabaseInput, Nothing, Kind.SQL)
DROP_DATABASE = Effect("drop_database", DropDatabaseInput, Nothing, Kind.SQL_WAIT)
ENABLE_EXTENSION = Effect("enable_extension", EnableExtensionInput, Nothing, Kind.SQL_WAIT)
DISABLE_EXTENSION = Effect("disable_extension", DisableExtensionInput, Nothing, Kind.SQL_WAIT)
READ_EXTENSIONS = Effect("read_extensions", ReadExtensionsInput, Extensions, Kind.SQL)
SET_SYNCHRONOUS = Effect("set_synchronous", SetSynchronousInput, Nothing, Kind.SQL)
RELEASE_COMMITS = Effect("release_commits", Target, Nothing, Kind.SQL_WAIT)
"""``set_synchronous`` with no standby, for a cluster in trouble: its workflow goes on meanwhile."""
SET_CONNECTION_LIMITS = Effect("set_connection_limits", SetConnectionLimitsInput, Nothing, Kind.SQL)
RECONCILE_RECORD = Effect("reconcile_record", ReconcileInput, Observation, Kind.SQL)
AWAIT_CAUGHT_UP = Effect("await_caught_up", AwaitCaughtUpInput, ReplicaCaughtUp, Kind.SQL_WAIT)
ADOPT_ROLES = Effect("adopt_roles", AdoptRolesInput, Nothing, Kind.SQL_WAIT)

# --- clusters that no workflow knows --------------------------------------------------------------------------------

FIND_CLUSTERS = Effect("find_clusters", FindClustersInput, FoundClusters, Kind.HOST)
READ_CLUSTER = Effect("read_cluster", ReadClusterInput, AdoptionReading, Kind.HOST)
ENSURE_ACCESS = Effect("ensure_access", EnsureAccessInput, Access, Kind.HOST_LONG)
READ_CATALOG = Effect("read_catalog", Target, Catalog, Kind.SQL_WAIT)

# --- Temporal -----------------------------------------------------------------------------------------------------


class AwaitOperationInput(Record):
    """Wait for the end of an operation's workflow."""

    operation_id: str
    run_id: str


class OperationEnd(Record):
    """Whether the operation completed, and if not, how it ended, in Temporal's word, and whom it was about."""

    completed: bool
    how: str
    username: str | None = None
    database: str | None = None


class TakeTurnInput(Record):
    """An operation asks its cluster for the turn."""

    cluster_id: str
    request: TurnRequest


class TurnAnswer(Record):
    """The cluster's state if the turn was granted at once; None: the grant comes by signal."""

    state: ClusterState | None = None


class CommitInput(Record):
    """Facts for the cluster's record. They are on it when the effect returns."""

    cluster_id: str
    commit: Commit


class NameClaim(Record):
    """A cluster's name, who holds it, and the operation that claimed it."""

    org: str
    name: str
    cluster_id: str
    operation_id: str


class ReleaseStaleNameInput(Record):
    """Free a name whose holder is gone: neither its cluster nor the operation that claimed it runs."""

    org: str
    name: str


class NameReleased(Record):
    """Whether the name is free now."""

    released: bool


TAKE_TURN = Effect("take_turn", TakeTurnInput, TurnAnswer, Kind.SQL)
COMMIT_FACTS = Effect("commit_facts", CommitInput, Nothing, Kind.SQL)
RELEASE_STALE_NAME = Effect("release_stale_name", ReleaseStaleNameInput, NameReleased, Kind.SQL)
AWAIT_OPERATION_END = Effect("await_operation_end", AwaitOperationInput, OperationEnd, Kind.WATCH)


def cluster_of(arg: Record) -> str | None:
    """Return the id of the cluster that an effect with the input *arg* is about; None where it is about none."""
    holders = (arg, *(getattr(arg, name, None) for name in ("target", "spec")))
    found = next((getattr(each, "cluster_id", None) for each in holders if hasattr(each, "cluster_id")), None)
    state = getattr(arg, "state", None)
    return found if isinstance(found, str) else state.spec.id if isinstance(state, ClusterState) else None


EFFECTS: tuple[Effect[Any, Any], ...] = tuple(
    cast("Effect[Any, Any]", value) for value in list(globals().values()) if isinstance(value, Effect)
)
"""Every effect of this module."""
HOST_KINDS = frozenset({Kind.HOST, Kind.HOST_LONG, Kind.SWITCHOVER, Kind.WATCH_HOST})
"""Kinds that run on the queue of the host that owns the containers."""
