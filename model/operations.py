"""Input and result of every operation, and the messages between an operation and its cluster.

A workflow's type is the name of its request without ``Request``; its id is :func:`workflow_id`. Anyone can start one,
in any language, with the same JSON on task queue ``mpg``.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from model.allow_list import MOST_NETWORKS, Cidr
from model.backups import MOST_KEPT, BackupType, Repository
from model.base import Record, Request
from model.cluster import ClusterState, Durability, PoolMode, Role
from model.cron import CronLine, CronLineOrOff
from model.facts import Fact
from model.names import (
    DEFAULT_HOST,
    DEFAULT_ORG,
    ClusterId,
    ClusterName,
    DatabaseName,
    HostName,
    OrgName,
    SchemaName,
    Username,
    operation_workflow_id,
)
from model.restore import RestoreTarget, check_lsn, check_time
from model.storage import MAX_STORAGE_GB

MAX_STORAGE_AT_CREATION_GB = MAX_STORAGE_GB // 2
DEFAULT_DAYS_KEPT = 7
"""Of the backups of a cluster that is destroyed."""
MOST_DAYS_KEPT = 3650
DEFAULT_MAX_PAUSE_S = 30.0
LONGEST_PAUSE_S = 100.0
"""The poolers give up on a client that they held for 120 s (query_wait_timeout)."""


def _one_of_nodes(value: str | None) -> str | None:
    if value not in {None, "a", "b"}:
        raise ValueError(f"There is no node {value!r}: the nodes are a and b.")
    return value


def _storage(value: int) -> int:
    if not 1 <= value <= MAX_STORAGE_AT_CREATION_GB:
        raise ValueError(f"Storage of {value} GB is not possible: 1 to {MAX_STORAGE_AT_CREATION_GB} GB at creation.")
    return value


def _days_kept(value: int) -> int:
    if not 0 <= value <= MOST_DAYS_KEPT:
        raise ValueError(f"Backups cannot be kept for {value} days: 0 to {MOST_DAYS_KEPT}.")
    return value


def _grown(value: int | None) -> int | None:
    if value is not None and not 1 <= value <= MAX_STORAGE_GB:
        raise ValueError(
            f"Storage of {value} GB is not possible: not less than it has, up to {MAX_STORAGE_GB} GB in all."
        )
    return value


def _step(value: int) -> int:
    if not 0 <= value <= MAX_STORAGE_GB:
        raise ValueError(f"A step of {value} GB is not possible: 1 to {MAX_STORAGE_GB} GB, or 0 for no growth.")
    return value


def _pause(value: float) -> float:
    if not 0 < value <= LONGEST_PAUSE_S:
        raise ValueError(
            f"A pause of at most {value:g} s is not possible: more than 0 and up to {LONGEST_PAUSE_S:g} s."
        )
    return value


def _kept(value: int | None, info: ValidationInfo) -> int | None:
    if value is not None and not 1 <= value <= MOST_KEPT:
        what = "days" if info.field_name == "keep_days" else "full backups"
        raise ValueError(f"Keeping {value} {what} is not possible: 1 to {MOST_KEPT}.")
    return value


MaxPause = Annotated[float, AfterValidator(_pause)]


class OperationRequest(Request):
    """What every operation is told: its cluster."""

    operation: ClassVar[str]
    """The workflow type."""
    cluster_id: ClusterId


class CreateClusterRequest(OperationRequest):
    """Make a cluster. ``cluster_id`` is chosen by the caller: 16 random lowercase letters and digits."""

    operation: ClassVar[str] = "CreateCluster"
    name: ClusterName
    org: OrgName = DEFAULT_ORG
    region: str = "local"
    host: HostName = DEFAULT_HOST
    """The host whose worker makes the containers."""
    plan: str = "basic"
    storage_gb: Annotated[int, AfterValidator(_storage)] = 10
    pg_major_version: int = 17
    pool_mode: PoolMode = PoolMode.TRANSACTION
    durability: Durability = Durability.SYNC
    postgis_enabled: bool = False
    require_tls: bool = False
    """Refuse connections that are not encrypted."""


class RestoreClusterRequest(OperationRequest):
    """Make a cluster from the backups of another one, ``source_id``, which may be destroyed.

    It has the data, users and databases of one moment: the end of the backup ``backup_id``, ``pitr_time`` (with an
    offset from UTC), the position ``lsn``, or the ``latest``. What is None is as the source has it. ``cluster_id`` is
    the new one's, chosen by the caller.
    """

    operation: ClassVar[str] = "RestoreCluster"
    name: ClusterName
    org: OrgName = DEFAULT_ORG
    region: str = "local"
    host: HostName = DEFAULT_HOST
    """The host whose worker makes the containers: the source's, where its backups are on a volume."""
    source_id: ClusterId
    backup_id: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    pitr_time: Annotated[datetime | None, AfterValidator(check_time)] = None
    lsn: Annotated[str | None, AfterValidator(check_lsn)] = None
    latest: bool = False
    plan: str | None = None
    storage_gb: Annotated[int, AfterValidator(_storage)] | None = None
    pool_mode: PoolMode | None = None
    durability: Durability | None = None

    @model_validator(mode="after")
    def _one_moment(self) -> Self:
        asked = (self.backup_id, self.pitr_time, self.lsn, self.latest or None)
        if sum(each is not None for each in asked) != 1:
            raise ValueError("Say one of backup_id, pitr_time, lsn and latest: which moment is restored.")
        return self

    @property
    def target(self) -> RestoreTarget:
        """The moment that is asked for."""
        return RestoreTarget(backup_id=self.backup_id, pitr_time=self.pitr_time, lsn=self.lsn)


class AdoptClusterRequest(OperationRequest):
    """Rebuild the record of a cluster that no workflow knows, from its containers on ``host`` and from Postgres.

    ``new_key`` gives the platform's roles passwords of another master key, where the old one is lost; users keep
    theirs. ``name`` is another one than on the containers' labels, where that is taken.
    """

    operation: ClassVar[str] = "AdoptCluster"
    host: HostName = DEFAULT_HOST
    new_key: bool = False
    name: ClusterName | None = None


class FindClustersRequest(Request):
    """Ask which clusters' containers ``host`` has: input of the workflow ``FindClusters``, which changes nothing.

    With ``read`` those that no workflow knows are looked at closely, as their adoption would.
    """

    workflow: ClassVar[str] = "FindClusters"
    host: HostName = DEFAULT_HOST
    read: bool = True


class DestroyClusterRequest(OperationRequest):
    """Remove a cluster with all its data; its backups stay for ``keep_backups_days`` days, 0 for none."""

    operation: ClassVar[str] = "DestroyCluster"
    keep_backups_days: Annotated[int, AfterValidator(_days_kept)] = DEFAULT_DAYS_KEPT


class ChangePlanRequest(OperationRequest):
    """Move a cluster to another plan, with one switchover. ``max_pause_s`` bounds the wait for transactions."""

    operation: ClassVar[str] = "ChangePlan"
    plan: str
    max_pause_s: MaxPause = DEFAULT_MAX_PAUSE_S


class GrowStorageRequest(OperationRequest):
    """Give each node ``storage_gb`` GB, which is never less than before, or say how storage grows by itself, or both.

    By ``auto_grow_step_gb`` each time that it is low, up to ``auto_grow_max_gb``; a step of 0 ends that. None: as is.
    """

    operation: ClassVar[str] = "GrowStorage"
    storage_gb: Annotated[int | None, AfterValidator(_grown)] = None
    auto_grow_step_gb: Annotated[int, AfterValidator(_step)] | None = None
    auto_grow_max_gb: Annotated[int | None, AfterValidator(_grown)] = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.storage_gb is None and self.auto_grow_step_gb is None:
            raise ValueError("Say to how many GB storage is to grow, or in which steps it is to grow by itself.")
        if bool(self.auto_grow_step_gb) is not (self.auto_grow_max_gb is not None):
            raise ValueError("Growth by itself needs both a step and the most that it may grow to.")
        return self


class SetPoolModeRequest(OperationRequest):
    """Give new pooled connections another pool mode."""

    operation: ClassVar[str] = "SetPoolMode"
    pool_mode: PoolMode


class SetTlsRequest(OperationRequest):
    """Have the cluster offer TLS to new connections, or with ``required`` refuse those without."""

    operation: ClassVar[str] = "SetTls"
    required: bool = False


class SetDurabilityRequest(OperationRequest):
    """Say whether commits wait for the replica. ``sync`` is not claimed before the replica holds every commit."""

    operation: ClassVar[str] = "SetDurability"
    durability: Durability


class SetAllowListRequest(OperationRequest):
    """Say from which networks clients may come: ``clear`` empties the list, then what is to go goes, then comes.

    An empty list lets everybody in.
    """

    operation: ClassVar[str] = "SetAllowList"
    add: Annotated[tuple[Cidr, ...], Field(max_length=MOST_NETWORKS)] = ()
    remove: Annotated[tuple[Cidr, ...], Field(max_length=MOST_NETWORKS)] = ()
    clear: bool = False

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not (self.add or self.remove or self.clear):
            raise ValueError("Say which networks are to be added or removed, or that the list is to be emptied.")
        return self


class RestartRequest(OperationRequest):
    """Restart one node, or each in turn with a switchover between."""

    operation: ClassVar[str] = "Restart"
    node: Annotated[str | None, AfterValidator(_one_of_nodes)] = None
    max_pause_s: MaxPause = DEFAULT_MAX_PAUSE_S


class SwitchoverRequest(OperationRequest):
    """Make the replica the primary and the primary a replica."""

    operation: ClassVar[str] = "Switchover"
    max_pause_s: MaxPause = DEFAULT_MAX_PAUSE_S


class ForcedFailoverRequest(OperationRequest):
    """Promote a replica that may lack acknowledged commits. ``accept_loss`` says that this is meant."""

    operation: ClassVar[str] = "ForcedFailover"
    accept_loss: bool = False


class CreateUserRequest(OperationRequest):
    """Add a user."""

    operation: ClassVar[str] = "CreateUser"
    username: Username
    role: Role


class SetUserRoleRequest(OperationRequest):
    """Give a user another role."""

    operation: ClassVar[str] = "SetUserRole"
    username: Username
    role: Role


class DeleteUserRequest(OperationRequest):
    """Remove a user; what it owns becomes its group's."""

    operation: ClassVar[str] = "DeleteUser"
    username: Username


class RotatePasswordRequest(OperationRequest):
    """Give a user a new password. Sessions that are open stay, unless ``kill_sessions`` says otherwise."""

    operation: ClassVar[str] = "RotatePassword"
    username: Username
    kill_sessions: bool = False


class CreateDatabaseRequest(OperationRequest):
    """Add a database."""

    operation: ClassVar[str] = "CreateDatabase"
    database: DatabaseName


class DeleteDatabaseRequest(OperationRequest):
    """Remove a database with its data. Sessions in it are ended only with ``force``."""

    operation: ClassVar[str] = "DeleteDatabase"
    database: DatabaseName
    force: bool = False


class EnableExtensionRequest(OperationRequest):
    """Install an extension in a database."""

    operation: ClassVar[str] = "EnableExtension"
    database: DatabaseName
    extension: str = Field(min_length=1, max_length=63)
    schema_name: SchemaName | None = None
    create_schema_if_needed: bool = False


class DisableExtensionRequest(OperationRequest):
    """Remove an extension from a database; ``force`` also removes what depends on it."""

    operation: ClassVar[str] = "DisableExtension"
    database: DatabaseName
    extension: str = Field(min_length=1, max_length=63)
    force: bool = False


class OptInRolesRequest(OperationRequest):
    """Bring a cluster made before the role system under it, objects already there included."""

    operation: ClassVar[str] = "OptInRoles"


class BackupRequest(OperationRequest):
    """Back the cluster up. It takes no turn: other operations run beside it.

    ``scheduled``: where another backup is being made already, leave this one out without an error.
    """

    operation: ClassVar[str] = "Backup"
    type: BackupType = BackupType.FULL
    scheduled: bool = False


class VerifyBackupRequest(OperationRequest):
    """Restore a backup to a place that is thrown away, and read everything in it. It takes no turn.

    Without ``backup_id`` it is the latest good one, with the archive after it. ``scheduled``: where another one is
    being verified already, leave this one out without an error.
    """

    operation: ClassVar[str] = "VerifyBackup"
    backup_id: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    scheduled: bool = False


class SetBackupPolicyRequest(OperationRequest):
    """Change when backups are made and proven, and how long they are kept. What is None stays as it is."""

    operation: ClassVar[str] = "SetBackupPolicy"
    full: CronLine | None = None
    incr: CronLine | None = None
    keep_full: Annotated[int | None, AfterValidator(_kept)] = None
    keep_days: Annotated[int | None, AfterValidator(_kept)] = None
    drill: CronLineOrOff | None = None


class ReadBackupsRequest(Request):
    """Ask what is in a cluster's repository: input of the workflow ``ReadBackups``, which changes nothing."""

    workflow: ClassVar[str] = "ReadBackups"
    cluster_id: ClusterId
    host: HostName = DEFAULT_HOST
    repository: Repository
    image: str


class HealRequest(OperationRequest):
    """What the cluster tells an operation that it starts itself: its state, and what was lost and how."""

    state: ClusterState
    lost: str
    how: str


class FailoverRequest(HealRequest):
    """The primary is lost: promote the replica if it holds every acknowledged commit, else restart in place."""

    operation: ClassVar[str] = "Failover"


class RepairRequest(HealRequest):
    """The replica, a pooler or the endpoint is lost: bring it back."""

    operation: ClassVar[str] = "Repair"


HEALING = frozenset({FailoverRequest.operation, RepairRequest.operation})
"""Operations that a cluster starts itself. Whatever they stop and start, they do on purpose."""


REQUESTS: dict[str, type[OperationRequest]] = {
    cls.operation: cls
    for cls in (
        CreateClusterRequest,
        RestoreClusterRequest,
        AdoptClusterRequest,
        DestroyClusterRequest,
        ChangePlanRequest,
        GrowStorageRequest,
        SetPoolModeRequest,
        SetTlsRequest,
        SetAllowListRequest,
        SetDurabilityRequest,
        RestartRequest,
        SwitchoverRequest,
        ForcedFailoverRequest,
        CreateUserRequest,
        SetUserRoleRequest,
        DeleteUserRequest,
        RotatePasswordRequest,
        CreateDatabaseRequest,
        DeleteDatabaseRequest,
        EnableExtensionRequest,
        DisableExtensionRequest,
        OptInRolesRequest,
        BackupRequest,
        VerifyBackupRequest,
        SetBackupPolicyRequest,
    )
}
"""Every operation's request, by workflow type."""
WITHOUT_TURN = frozenset({BackupRequest.operation, VerifyBackupRequest.operation})
"""Operations that run beside the one that has the turn, and give way to it."""
MAKES_CLUSTER = (CreateClusterRequest, RestoreClusterRequest)
"""Those whose cluster is made, under an id that the caller draws anew at each call."""
OPERATIONS = frozenset({*REQUESTS, *HEALING})
"""The types of all workflows that are operations."""


def workflow_id(request: OperationRequest, cluster_name: str, request_id: str) -> str:
    """Workflow id of *request*: the same request id names the same operation, so a repeated call starts nothing."""
    return operation_workflow_id(request.operation, cluster_name, request_id)


class OperationOutcome(StrEnum):
    """How an operation stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ROLLED_BACK = "rolled_back"


REFUSED = "refused"
"""What metrics call the end of an operation that failed before its first step."""


class StepStatus(StrEnum):
    """How a step of an operation stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    UNDONE = "undone"
    FAILED = "failed"


class Step(Record):
    """A step of an operation, as people see it. ``seconds`` is None until it ended."""

    name: str
    status: StepStatus = StepStatus.PENDING
    started_at: datetime | None = None
    seconds: float | None = None


class Progress(Record):
    """The answer to an operation workflow's query ``progress``, and the core of its result."""

    type: str
    cluster_id: str
    status: OperationOutcome = OperationOutcome.RUNNING
    phase: str = "waiting for its turn"
    steps: tuple[Step, ...] = ()
    error: str | None = None


class OperationResult(Record):
    """What an operation that completed returns. ``changed`` is false when there was nothing to do."""

    cluster_id: str
    changed: bool = True
    message: str
    steps: tuple[Step, ...] = ()


class OperationFailure(Record):
    """The detail of an operation's failure. ``began`` is false when it was refused before its first step."""

    outcome: OperationOutcome
    began: bool


class TurnRequest(Record):
    """An operation asks the cluster for its turn (signal ``request_turn``)."""

    operation_id: str
    run_id: str
    type: str
    requested_at: datetime


class TurnGrant(Record):
    """The cluster hands the turn over, with its state (signal ``grant_turn`` to the operation)."""

    state: ClusterState


class Commit(Record):
    """An operation reports facts (signal ``commit`` to the cluster)."""

    operation_id: str
    facts: tuple[Fact, ...]
