"""A cluster as it is after its creation, and a request for every operation."""

import itertools
import secrets
from datetime import UTC, datetime, timedelta

from model.addresses import endpoint_address, node_address
from model.backups import Backup, BackupRecord, Backups, BackupType, Repository, RepositoryKind
from model.cluster import (
    Address,
    ClusterPhase,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    Database,
    Durability,
    Endpoint,
    Network,
    Node,
    NodePhase,
    NodeRole,
    PoolMode,
    Role,
    User,
)
from model.effects import DrillReport
from model.facts import InSync, PhaseIs, apply
from model.names import endpoint_container, node_container
from model.operations import (
    AdoptClusterRequest,
    BackupRequest,
    ChangePlanRequest,
    CreateClusterRequest,
    CreateDatabaseRequest,
    CreateUserRequest,
    DeleteDatabaseRequest,
    DeleteUserRequest,
    DestroyClusterRequest,
    DisableExtensionRequest,
    EnableExtensionRequest,
    ForcedFailoverRequest,
    GrowStorageRequest,
    OperationRequest,
    OptInRolesRequest,
    RestartRequest,
    RestoreClusterRequest,
    RotatePasswordRequest,
    SetAllowListRequest,
    SetBackupPolicyRequest,
    SetDurabilityRequest,
    SetPoolModeRequest,
    SetTlsRequest,
    SetUserRoleRequest,
    SwitchoverRequest,
    VerifyBackupRequest,
)
from model.plans import DEFAULT_PLANS
from model.poolers import plan_generation

NETWORK = Network(name="net", subnet="10.213.0.0/28", gateway="10.213.0.1")
INSTALLED = "pg_trgm"
"""The extension that the stubs say is installed."""
BACKUPS = Backups(repository=Repository(kind=RepositoryKind.VOLUME, key_id="0123456789abcdef"))
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = itertools.count(1)


def new_id() -> str:
    """A cluster id of its own."""
    return "t" + secrets.token_hex(4) + f"{next(_numbers):07d}"


def endpoint(cluster_id: str) -> Endpoint:
    return Endpoint(
        container=endpoint_container(cluster_id),
        address=endpoint_address(NETWORK),
        pooled=Address(host="127.0.0.1", port=20000),
        direct=Address(host="127.0.0.1", port=20001),
        read_only=Address(host="127.0.0.1", port=20002),
    )


def node(cluster_id: str, name: str, role: NodeRole, plan: str = "basic") -> Node:
    found = DEFAULT_PLANS[plan]
    return Node(
        name=name,
        role=role,
        phase=NodePhase.RUNNING,
        container=node_container(cluster_id, name),
        address=node_address(NETWORK, name),
        plan=plan,
        cpus=found.cpus,
        memory_mb=found.memory_mb,
        timeline=1,
    )


def backup(type: BackupType, request_id: str | None = None, *, finished_at: datetime = MADE_AT) -> Backup:
    """A backup that is good."""
    letter = type.value[0].upper()
    return Backup(
        id=f"{finished_at:%Y%m%d-%H%M%S}{letter}",
        type=type,
        started_at=finished_at - timedelta(seconds=2),
        finished_at=finished_at,
        prior=None if type is BackupType.FULL else "20251231-000000F",
        size_bytes=30_000_000,
        stored_bytes=4_000_000,
        first_lsn="0/2000028",
        last_lsn="0/2000120",
        first_wal="000000010000000000000002",
        last_wal="000000010000000000000002",
        request_id=request_id,
    )


def backed_up(state: ClusterState, record: BackupRecord | None = None) -> ClusterState:
    """Return *state* with this on record of its backups: by default that there is one."""
    record = record or BackupRecord(last=(backup(BackupType.FULL),))
    return state.model_copy(update={"status": state.status.model_copy(update={"backups": record})})


def ready_cluster(
    *, legacy_roles: bool = False, durability: Durability = Durability.SYNC, cluster_id: str | None = None
) -> ClusterState:
    """A cluster that serves: a is primary, b its replica in sync; with a user and a database more than at first."""
    cluster_id = cluster_id or new_id()
    spec = ClusterSpec(
        id=cluster_id,
        name=f"orders-{cluster_id}",
        org="personal",
        region="local",
        host="local",
        plan=DEFAULT_PLANS["basic"],
        legacy_roles=legacy_roles,
        durability=durability,
        users=(User(name="fly-user", role=Role.SCHEMA_ADMIN), User(name="amy", role=Role.READER)),
        databases=(Database(name="fly-db"), Database(name="shop")),
        backups=BACKUPS,
        created_at=MADE_AT,
    )
    replica = node(cluster_id, "b", NodeRole.REPLICA).model_copy(update={"in_sync": durability is Durability.SYNC})
    status = ClusterStatus(
        phase=ClusterPhase.READY,
        network=NETWORK,
        endpoint=endpoint(cluster_id),
        nodes=(node(cluster_id, "a", NodeRole.PRIMARY), replica),
        poolers=plan_generation(cluster_id, 1, PoolMode.TRANSACTION, ()),
    )
    return ClusterState(spec=spec, status=status)


def without_replica(state: ClusterState) -> ClusterState:
    """The same cluster with its primary alone."""
    nodes = tuple(node for node in state.status.nodes if node.role is NodeRole.PRIMARY)
    return state.model_copy(update={"status": state.status.model_copy(update={"nodes": nodes})})


def cluster_for(scenario: str) -> ClusterState:
    """A cluster as *scenario* wants it."""
    if scenario == "forced-failover":
        lost = [InSync(name="b", value=False), PhaseIs(phase=ClusterPhase.NEEDS_OPERATOR)]
        return apply(ready_cluster(), lost)
    durability = Durability.ASYNC if scenario == "set-durability-sync" else Durability.SYNC
    return ready_cluster(legacy_roles=scenario == "opt-in-roles", durability=durability)


def as_labelled(cluster_id: str, name: str | None = None) -> ClusterState:
    """What the containers of :func:`ready_cluster` tell of it."""
    state = ready_cluster(cluster_id=cluster_id)
    spec = state.spec.model_copy(update={"users": (), "databases": (), "name": name or state.spec.name})
    nodes = tuple(node.model_copy(update={"in_sync": False}) for node in state.status.nodes)
    return ClusterState(spec=spec, status=state.status.model_copy(update={"nodes": nodes}))


REPORT = DrillReport(copied_s=20.0, recovered_s=1.0, archive_s=4.0, restored_bytes=30_000_000, compared=2)
"""Of a drill that proves its backup."""
ARCHIVED_TO = datetime(2026, 1, 2, 12, tzinfo=UTC)

BEGINNINGS = frozenset({"create-cluster", "restore-cluster", "adopt-cluster"})
"""Scenarios in which no workflow has the cluster before."""
SCENARIOS = (
    "create-cluster",
    "restore-cluster",
    "adopt-cluster",
    "destroy-cluster",
    "change-plan",
    "set-pool-mode",
    "set-tls",
    "set-allow-list",
    "set-durability",
    "set-durability-sync",
    "restart",
    "restart-a",
    "restart-b",
    "switchover",
    "forced-failover",
    "create-user",
    "set-user-role",
    "delete-user",
    "rotate-password",
    "create-database",
    "delete-database",
    "enable-extension",
    "disable-extension",
    "opt-in-roles",
    "backup",
    "set-backup-policy",
    "verify-backup",
    "grow-storage",
)


def request_of(scenario: str, state: ClusterState) -> OperationRequest:
    """What *scenario* asks of the cluster."""
    key = state.spec.id
    requests: dict[str, OperationRequest] = {
        "create-cluster": CreateClusterRequest(cluster_id=key, name=state.spec.name),
        "restore-cluster": RestoreClusterRequest(
            cluster_id=key, name=state.spec.name, source_id=new_id(), pitr_time=ARCHIVED_TO
        ),
        "adopt-cluster": AdoptClusterRequest(cluster_id=key),
        "destroy-cluster": DestroyClusterRequest(cluster_id=key),
        "change-plan": ChangePlanRequest(cluster_id=key, plan="launch"),
        "set-pool-mode": SetPoolModeRequest(cluster_id=key, pool_mode=PoolMode.SESSION),
        "set-tls": SetTlsRequest(cluster_id=key, required=True),
        "set-allow-list": SetAllowListRequest(cluster_id=key, add=("192.0.2.0/24",)),
        "set-durability": SetDurabilityRequest(cluster_id=key, durability=Durability.ASYNC),
        "set-durability-sync": SetDurabilityRequest(cluster_id=key, durability=Durability.SYNC),
        "restart": RestartRequest(cluster_id=key),
        "restart-a": RestartRequest(cluster_id=key, node="a"),
        "restart-b": RestartRequest(cluster_id=key, node="b"),
        "switchover": SwitchoverRequest(cluster_id=key),
        "forced-failover": ForcedFailoverRequest(cluster_id=key, accept_loss=True),
        "create-user": CreateUserRequest(cluster_id=key, username="ben", role=Role.WRITER),
        "set-user-role": SetUserRoleRequest(cluster_id=key, username="amy", role=Role.WRITER),
        "delete-user": DeleteUserRequest(cluster_id=key, username="amy"),
        "rotate-password": RotatePasswordRequest(cluster_id=key, username="amy"),
        "create-database": CreateDatabaseRequest(cluster_id=key, database="books"),
        "delete-database": DeleteDatabaseRequest(cluster_id=key, database="shop", force=True),
        "enable-extension": EnableExtensionRequest(cluster_id=key, database="shop", extension="hstore"),
        "disable-extension": DisableExtensionRequest(cluster_id=key, database="shop", extension=INSTALLED),
        "opt-in-roles": OptInRolesRequest(cluster_id=key),
        "backup": BackupRequest(cluster_id=key, type=BackupType.INCR),
        "set-backup-policy": SetBackupPolicyRequest(cluster_id=key, full="0 3 * * 6", keep_days=14),
        "verify-backup": VerifyBackupRequest(cluster_id=key),
        "grow-storage": GrowStorageRequest(cluster_id=key, storage_gb=20),
    }
    return requests[scenario]
