"""The JSON objects that people and programs are shown: those of the HTTP interface, made from a cluster's state.

Pure functions: a state in, a :class:`~model.base.Record` out. Dumped ``by_alias`` in mode ``json`` it is the object.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import AliasChoices, Field

from model.archive_holes import BACKUP_TIME_ROUNDED
from model.backups import Backup, BackupRun, Backups, BackupType, Hole
from model.base import Record
from model.cluster import (
    ARCHIVING_FAILS,
    Address,
    ClusterPhase,
    ClusterStatus,
    ClusterView,
    Condition,
    Node,
    NodeRole,
    Role,
)
from model.drills import Proof
from model.effects import Extension
from model.names import DEFAULT_USER
from model.operations import OperationOutcome, Step
from model.storage import GB
from starter.client.connection import EndpointKind, connection


class Organization(Record):
    """An organization, by its slug."""

    id: str
    slug: str
    name: str
    rawSlug: str


class IpAssignments(Record):
    """Host of the direct endpoint."""

    direct: str = ""


class AttachedApp(Record):
    """An application that uses the cluster."""

    id: int
    name: str


class ClusterShape(Record):
    """A cluster as lists show it. ``disk`` is in GB per node."""

    id: str
    name: str
    status: str
    engine: str = "postgres"
    plan: str
    region: str
    organization: Organization
    mpgd_cluster_id: str
    """The id again: clients tell the interface's generation by its presence."""
    version: int = 2
    disk: int
    storage_used_bytes: int | None
    """What the fullest node used when it was recorded last; None before that."""
    storage_provisioned_bytes: int
    """For each node."""
    replicas: int
    ip_assignments: IpAssignments
    attached_apps: tuple[AttachedApp, ...] = ()


class DeletedShape(ClusterShape):
    """A cluster that was destroyed. ``restorable_until``: when its backups are removed; None: they were."""

    restorable_until: datetime | None


class Endpoints(Record):
    """The three addresses of a cluster; they never change."""

    pooled: Address
    direct: Address
    read_only: Address


class NodeShape(Record):
    """A Postgres node. ``memory_mb`` is in MB; ``lag_bytes`` the replay lag when last recorded, None if unknown.

    ``in_sync`` is None for a primary, which has nobody to be in sync with.
    """

    name: str
    role: str
    status: str
    plan: str
    cpus: int
    memory_mb: int
    container: str
    timeline: int | None
    lag_bytes: int | None
    in_sync: bool | None


class PoolerShape(Record):
    """A PgBouncer."""

    name: str
    status: str
    pool_mode: str
    container: str


class RunningOperation(Record):
    """The operation that holds the cluster's turn."""

    id: str
    type: str
    phase: str
    started_at: datetime


class ProofShape(Record):
    """What a drill found: ``fault`` is why the backup is not proven, None where it is.

    ``recovery_seconds`` is how long the restore took, to the end of the archive where ``to_end``.
    """

    backup_id: str
    at: datetime
    fault: str | None
    recovery_seconds: float | None
    to_end: bool
    restored_bytes: int | None
    tables_compared: int | None


class BackupShape(Record):
    """A backup as lists show it: what a client of the HTTP interface knows, and what restoring it needs.

    ``status`` is ``completed``, ``running``, or ``damaged`` where its pages are not what they were written as. Sizes
    are in bytes; they and the positions are None while it is made.
    """

    id: str
    status: str
    type: BackupType
    start: datetime
    stop: datetime | None = None
    prior: str | None = None
    size_bytes: int | None = None
    """Of the databases, restored."""
    stored_bytes: int | None = None
    """Of what it added to the repository."""
    first_lsn: str | None = None
    last_lsn: str | None = None
    """It can be restored to this position and every later one."""
    node: str | None = None
    """Which node's files were read: the replica's where it is healthy. None: not known."""
    proven: datetime | None = None
    """When it was last restored, and found to be whole; None: never, or the last time it was not."""
    proof: ProofShape | None = None
    """What the last drill of it found."""
    error: str | None = None


class BackupScheduleShape(Record):
    """When backups are made, as cron lines in UTC, and how long they are kept.

    ``next_full`` and the like are None where nothing is going to start one.
    """

    full: str
    incr: str
    keep_full: int
    keep_days: int
    drill: str = ""
    """When the latest backup is proven; empty: only when somebody asks for it."""
    next_full: datetime | None
    next_incr: datetime | None
    next_drill: datetime | None = None


class RemovedBackups(Record):
    """A destroyed cluster whose backups are not kept any more."""

    id: str
    name: str


class LostMoments(Record):
    """Moments in the window that cannot be restored, because WAL is lost. ``until`` is None before the next backup."""

    since: datetime
    until: datetime | None


class BackupWindow(Record):
    """The moments that can be restored. ``until`` is None while archiving works: a minute ago at most."""

    since: datetime
    until: datetime | None
    lost: tuple[LostMoments, ...] = ()
    """Except for these."""


class FailedBackupShape(Record):
    """The last backup that did not come about, if none has come about since."""

    type: BackupType
    at: datetime
    message: str


class BackupsShape(Record):
    """What is known of a cluster's backups without looking into the repository."""

    repository: str
    last: BackupShape | None
    last_full: BackupShape | None
    running: BackupShape | None
    failed: FailedBackupShape | None
    proof: ProofShape | None = None
    """What the last drill found; None: there was none."""
    drill: str | None = None
    """The id of the drill's operation that is under way."""
    archiving: bool
    window: BackupWindow | None


class ClusterStatusShape(ClusterShape):
    """A cluster with everything that is known about it."""

    pool_mode: str
    durability: str
    tls: str
    allow_list: tuple[str, ...]
    pg_major_version: int
    endpoints: Endpoints | None
    nodes: tuple[NodeShape, ...]
    poolers: tuple[PoolerShape, ...]
    operation: RunningOperation | None
    conditions: tuple[Condition, ...]
    backups: BackupsShape | None
    """None: a cluster made before there were backups."""


class Credentials(Record):
    """How the cluster's own user connects to its own database, through the poolers."""

    status: str
    user: str
    password: str
    dbname: str
    pgbouncer_uri: str


class UserShape(Record):
    """A user and its role."""

    name: str
    role: Role


class DatabaseShape(Record):
    """A database."""

    name: str


class InstalledShape(Record):
    """Version and schema of an installed extension."""

    version: str
    schema_name: str = Field(validation_alias=AliasChoices("schema_name", "schema"), serialization_alias="schema")


class ExtensionShape(Record):
    """An extension that may be enabled, and how it is installed, if it is."""

    name: str
    description: str
    docs_url: str
    reach: str = ""
    default_version: str
    is_system: bool
    installed: InstalledShape | None


class OperationShape(Record):
    """An operation. ``seconds`` in a step is None until it ended."""

    id: str
    type: str
    cluster_id: str
    status: OperationOutcome
    phase: str = ""
    steps: tuple[Step, ...] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None


class VerdictShape(OperationShape):
    """A drill and what it found: ``proven`` is None where it did not come to a verdict."""

    proven: bool | None
    proof: ProofShape | None


def organization(slug: str) -> Organization:
    """Return the organization called *slug*."""
    return Organization(id=slug, slug=slug, name=slug, rawSlug=slug)


def phase(view: ClusterView) -> str:
    """Return a cluster's status for people: its phase, ``updating`` while an operation holds a ready one."""
    recorded = view.state.status.phase
    if recorded is ClusterPhase.READY and view.operation is not None:
        return ClusterPhase.UPDATING.value
    return recorded.value


def cluster(view: ClusterView) -> ClusterShape:
    """Return the cluster as lists show it."""
    return ClusterShape.model_validate(_cluster_fields(view))


def deleted_cluster(view: ClusterView) -> DeletedShape:
    """Return a cluster that was destroyed."""
    until = view.state.status.backups_kept_until
    gone = until is None or until <= datetime.now(UTC)
    return DeletedShape.model_validate(_cluster_fields(view) | {"restorable_until": None if gone else until})


def cluster_status(view: ClusterView) -> ClusterStatusShape:
    """Return the cluster with everything that is known about it. A destroyed one has no nodes, and no window."""
    spec, status = view.state.spec, view.state.status
    gone = status.phase is ClusterPhase.DESTROYED
    if gone:
        status = status.model_copy(update={"nodes": (), "poolers": (), "endpoint": None})
    return ClusterStatusShape.model_validate(
        _cluster_fields(view)
        | {
            "pool_mode": spec.pool_mode.value,
            "durability": spec.durability.value,
            "tls": spec.tls.value,
            "allow_list": spec.allow_list,
            "pg_major_version": spec.pg_major_version,
            "endpoints": status.endpoint and status.endpoint.model_dump(include={"pooled", "direct", "read_only"}),
            "nodes": tuple(_node(node) for node in status.nodes),
            "poolers": tuple(
                PoolerShape(name=p.name, status=p.phase.value, pool_mode=p.pool_mode.value, container=p.container)
                for p in status.poolers
            ),
            "operation": view.operation and view.operation.model_dump(),
            "conditions": status.conditions,
            "backups": None if spec.backups is None or gone else _backups(spec.backups, status),
        }
    )


def _backups(kept: Backups, status: ClusterStatus) -> BackupsShape:
    known, failing = status.backups, status.condition(ARCHIVING_FAILS)
    last, last_full, failure = known.latest(), known.latest(BackupType.FULL), known.failure
    return BackupsShape(
        repository=kept.repository.kind.value,
        last=last and _backup(last),
        last_full=last_full and _backup(last_full),
        running=known.running and running_backup(known.running),
        proof=_proof(known.proofs[-1]) if known.proofs else None,
        drill=known.drill and known.drill.operation_id,
        failed=failure and FailedBackupShape(type=failure.type, at=failure.failed_at, message=failure.message),
        archiving=failing is None,
        window=known.oldest and _window(known.oldest, known.holes, failing and failing.since),
    )


def _window(oldest: Backup, holes: Sequence[Hole], until: datetime | None) -> BackupWindow:
    """As a restore would choose: :func:`model.restore.window`."""
    lost = tuple(LostMoments(since=each.since, until=each.until) for each in holes)
    return BackupWindow(since=oldest.finished_at + BACKUP_TIME_ROUNDED, until=until, lost=lost)


def backups(found: Sequence[Backup], proofs: Sequence[Proof] = ()) -> tuple[BackupShape, ...]:
    """Return the backups of a repository, with what the last drill of each found."""
    by_id = {each.backup_id: each for each in proofs}
    return tuple(_backup(each, by_id.get(each.id)) for each in found)


def verdict(operation: OperationShape, proofs: Sequence[Proof]) -> VerdictShape:
    """Return what the drill that *operation* is found, which is one of *proofs* where it came to a verdict."""
    found = next((each for each in proofs if each.operation_id == operation.id), None)
    return VerdictShape(
        **dict(operation), proven=None if found is None else found.fault is None, proof=found and _proof(found)
    )


def _proof(found: Proof) -> ProofShape:
    return ProofShape(
        backup_id=found.backup_id,
        at=found.at,
        fault=found.fault,
        recovery_seconds=found.recovery_s,
        to_end=found.archive_s is not None,
        restored_bytes=found.restored_bytes,
        tables_compared=found.compared,
    )


def _backup(found: Backup, proof: Proof | None = None) -> BackupShape:
    names = {"id", "type", "prior", "size_bytes", "stored_bytes", "first_lsn", "last_lsn", "node", "error"}
    return BackupShape(
        status="damaged" if found.error else "completed",
        start=found.started_at,
        stop=found.finished_at,
        proven=proof and (proof.at if proof.fault is None else None),
        proof=proof and _proof(proof),
        **found.model_dump(include=names),
    )


def running_backup(run: BackupRun) -> BackupShape:
    """Return a backup that is being made; until it is there its id is that of its operation."""
    return BackupShape(id=run.operation_id, status="running", type=run.type, start=run.started_at)


def _cluster_fields(view: ClusterView) -> dict[str, object]:
    spec, status = view.state.spec, view.state.status
    return {
        "id": spec.id,
        "name": spec.name,
        "status": phase(view),
        "plan": spec.plan.name,
        "region": spec.region,
        "organization": organization(spec.org),
        "mpgd_cluster_id": spec.id,
        "disk": spec.storage_gb,
        "storage_used_bytes": status.storage.look and status.storage.look.used_bytes,
        "storage_provisioned_bytes": spec.storage_gb * GB,
        "attached_apps": tuple(AttachedApp(id=app.app_id, name=app.name) for app in spec.apps),
        "replicas": sum(node.role is NodeRole.REPLICA for node in status.nodes),
        "ip_assignments": IpAssignments(direct=status.endpoint.direct.host if status.endpoint else ""),
    }


def _node(node: Node) -> NodeShape:
    fields = node.model_dump(exclude={"phase", "role", "address", "in_sync"})
    in_sync = node.in_sync if node.role is NodeRole.REPLICA else None
    return NodeShape(role=node.role.value, status=node.phase.value, in_sync=in_sync, **fields)


def credentials(view: ClusterView, master_key: bytes) -> Credentials:
    """Return how the cluster's own user connects; empty strings without an endpoint or a password that is known."""
    status, own_user = view.state.status, view.state.spec.user(DEFAULT_USER)
    if status.endpoint is None or own_user is None or not own_user.password_known:
        return Credentials(status=_credentials_status(status.phase), user="", password="", dbname="", pgbouncer_uri="")
    own = connection(view.state, master_key=master_key, kind=EndpointKind.POOLED)
    return Credentials(
        status=_credentials_status(status.phase),
        user=own.user,
        password=own.password,
        dbname=own.database,
        pgbouncer_uri=own.uri,
    )


def _credentials_status(recorded: ClusterPhase) -> str:
    return recorded.value if recorded in {ClusterPhase.INITIALIZING, ClusterPhase.ERROR} else ClusterPhase.READY.value


def users(view: ClusterView) -> tuple[UserShape, ...]:
    """Return the cluster's users."""
    return tuple(UserShape(name=user.name, role=user.role) for user in view.state.spec.users)


def databases(view: ClusterView) -> tuple[DatabaseShape, ...]:
    """Return the cluster's databases."""
    return tuple(DatabaseShape(name=database.name) for database in view.state.spec.databases)


def extension(found: Extension) -> ExtensionShape:
    """Return an extension with the wire's names."""
    installed = found.installed and InstalledShape(
        version=found.installed.version, schema_name=found.installed.schema_name
    )
    return ExtensionShape(**found.model_dump(exclude={"installed"}), installed=installed)
