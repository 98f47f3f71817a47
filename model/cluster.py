"""A cluster as data: **spec** is what was asked, **status** is what is."""

from datetime import datetime
from enum import StrEnum

from model.apps import App
from model.backups import BackupRecord, Backups
from model.base import Record
from model.names import DEFAULT_DATABASE, DEFAULT_USER
from model.plans import Plan
from model.storage import AutoGrow, Storage


class PoolMode(StrEnum):
    """When PgBouncer gives a server connection back: at the end of a session or of a transaction."""

    SESSION = "session"
    TRANSACTION = "transaction"


class Durability(StrEnum):
    """Whether an acknowledged commit is on both nodes (``sync``) or on the primary only (``async``)."""

    SYNC = "sync"
    ASYNC = "async"


class Tls(StrEnum):
    """Whether clients can encrypt their connections, and whether they must."""

    OFF = "off"
    """A cluster that was made before there was TLS, and was not given it since."""
    OFFERED = "offered"
    REQUIRED = "required"


class Role(StrEnum):
    """What a user may do: change schemas, change rows, or read."""

    SCHEMA_ADMIN = "schema_admin"
    WRITER = "writer"
    READER = "reader"


class ClusterPhase(StrEnum):
    """Where a cluster is in its life; the values are those of Fly's API."""

    INITIALIZING = "initializing"
    READY = "ready"
    UPDATING = "updating"
    ERROR = "error"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"
    NEEDS_OPERATOR = "needs_operator"


OVER = frozenset({ClusterPhase.DESTROYED, ClusterPhase.ERROR})
"""Phases in which the cluster's workflow ends."""


class NodeRole(StrEnum):
    """Which of the nodes takes writes."""

    PRIMARY = "primary"
    REPLICA = "replica"


class NodePhase(StrEnum):
    """What a node's container is doing."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    MISSING = "missing"


class PoolerPhase(StrEnum):
    """Whether new connections are routed to a pooler."""

    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"


UNKNOWN_PASSWORD = 0
"""The ``password_version`` of a user whose password is not derived from the master key: nobody can show it."""


class User(Record):
    """A user of the cluster. ``password_version`` selects which derived password is in force."""

    name: str
    role: Role
    password_version: int = 1

    @property
    def password_known(self) -> bool:
        """Tell whether the password can be derived. That of a user adopted with another master key cannot."""
        return self.password_version != UNKNOWN_PASSWORD


class FormerUser(Record):
    """A user that was deleted, and the last version that its password had: a new one of its name gets another."""

    name: str
    password_version: int


FORMER_USERS = 1000
"""How many names of deleted users are kept on record, the latest. Postgres keeps them all
(activities/postgres/passwords.py)."""


class Database(Record):
    """A database of the cluster."""

    name: str


class ClusterSpec(Record):
    """What was asked for. ``storage_gb`` is per node."""

    id: str
    name: str
    org: str
    region: str
    host: str
    plan: Plan
    pool_mode: PoolMode = PoolMode.TRANSACTION
    pg_major_version: int = 17
    image: str = "mpg-node:17"
    """Image of its containers, as its host names it."""
    storage_gb: int = 10
    auto_grow: AutoGrow | None = None
    durability: Durability = Durability.SYNC
    postgis_enabled: bool = False
    legacy_roles: bool = False
    users: tuple[User, ...] = (User(name=DEFAULT_USER, role=Role.SCHEMA_ADMIN),)
    databases: tuple[Database, ...] = (Database(name=DEFAULT_DATABASE),)
    former_users: tuple[FormerUser, ...] = ()
    tls: Tls = Tls.OFF
    allow_list: tuple[str, ...] = ()
    """Networks that clients may come from, in CIDR; empty: all."""
    backups: Backups | None = None
    """None: a cluster made before there were backups."""
    apps: tuple[App, ...] = ()
    """Applications that are attached: a note for people, which changes nothing."""
    created_at: datetime

    def user(self, name: str) -> User | None:
        """Return the user called *name*, if there is one."""
        return next((user for user in self.users if user.name == name), None)

    def next_password_version(self, name: str) -> int:
        """Return the least version that a new password of *name* may have, as far as the record knows."""
        versions = [user.password_version for user in (*self.users, *self.former_users) if user.name == name]
        return max(versions, default=0) + 1

    def app(self, name: str) -> App | None:
        """Return the application called *name*, if it is attached."""
        return next((app for app in self.apps if app.name == name), None)

    def database(self, name: str) -> Database | None:
        """Return the database called *name*, if there is one."""
        return next((database for database in self.databases if database.name == name), None)


class Node(Record):
    """A Postgres node as last recorded. ``lag_bytes`` is the replay lag when it was recorded, None if unknown."""

    name: str
    role: NodeRole
    phase: NodePhase
    container: str
    address: str
    plan: str
    cpus: int
    memory_mb: int
    timeline: int | None = None
    lag_bytes: int | None = None
    in_sync: bool = False


class Pooler(Record):
    """A PgBouncer. ``port`` is its own inside the endpoint's network namespace; ``peer_id`` tells it from its peers."""

    name: str
    container: str
    generation: int
    port: int
    peer_id: int
    phase: PoolerPhase
    pool_mode: PoolMode
    tls: Tls = Tls.OFF
    draining_since: datetime | None = None


class Address(Record):
    """Where a client connects."""

    host: str
    port: int


class Endpoint(Record):
    """The addresses clients use; they never change while the cluster lives. ``address`` is inside its network."""

    container: str
    address: str
    pooled: Address
    direct: Address
    read_only: Address


class Network(Record):
    """The cluster's bridge network. ``subnet`` is CIDR."""

    name: str
    subnet: str
    gateway: str


class Condition(Record):
    """Something worth knowing about a cluster, in words."""

    type: str
    status: bool
    since: datetime
    message: str


WRONG_MASTER_KEY = "WrongMasterKey"
"""Type of the condition of a cluster that has another master key than the stack."""
ARCHIVING_FAILS = "ArchivingFails"
"""Type of the condition of a cluster whose WAL does not get to its repository; it holds since the last time it did."""
BACKUP_OVERDUE = "BackupOverdue"
"""Type of the condition of a cluster whose last good backup is older than its schedule allows."""

DRILL_OVERDUE = "DrillOverdue"
"""Type of the condition of a cluster whose backups were proven longer ago than its schedule allows."""
DRILL_FAILED = "DrillFailed"
"""Type of the condition of a cluster whose last drill did not prove a backup."""


class ClusterStatus(Record):
    """What is, as far as it was recorded."""

    phase: ClusterPhase = ClusterPhase.INITIALIZING
    network: Network | None = None
    endpoint: Endpoint | None = None
    nodes: tuple[Node, ...] = ()
    poolers: tuple[Pooler, ...] = ()
    conditions: tuple[Condition, ...] = ()
    backups: BackupRecord = BackupRecord()
    backups_kept_until: datetime | None = None
    """Of a cluster that is destroyed: when its backups are removed. None: with it."""
    absences: tuple[str, ...] = ()
    """Names of what the holder of the turn stops and starts on purpose now: missing it is no alarm.

    The answer to the cluster's query also names what was missed already and is being healed, or left alone for a while.
    """

    storage: Storage = Storage()

    def node(self, name: str) -> Node | None:
        """Return the node called *name*, if there is one."""
        return next((node for node in self.nodes if node.name == name), None)

    def condition(self, type: str) -> Condition | None:
        """Return the condition of that type, if it holds."""
        return next((condition for condition in self.conditions if condition.type == type), None)

    @property
    def primary(self) -> Node | None:
        """The node that takes writes, if one is recorded."""
        return next((node for node in self.nodes if node.role is NodeRole.PRIMARY), None)

    @property
    def replica(self) -> Node | None:
        """The other node, if one is recorded."""
        return next((node for node in self.nodes if node.role is NodeRole.REPLICA), None)

    @property
    def current_poolers(self) -> tuple[Pooler, ...]:
        """The poolers to which new connections are routed."""
        return tuple(pooler for pooler in self.poolers if pooler.phase is PoolerPhase.RUNNING)


class ClusterState(Record):
    """Spec and status together: what the cluster's workflow holds and hands to each operation."""

    spec: ClusterSpec
    status: ClusterStatus


class OperationRef(Record):
    """The operation that holds a cluster's turn. ``id`` is its workflow id."""

    id: str
    run_id: str
    type: str
    phase: str = ""
    started_at: datetime


class ClusterView(Record):
    """The answer to the cluster workflow's query: its state, who holds the turn, how many wait."""

    state: ClusterState
    operation: OperationRef | None = None
    waiting: int = 0
    run_id: str = ""
    """Of the workflow that answers: another one than before has a watch of its own."""
