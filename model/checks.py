"""Whether a request fits a cluster's state: decided here once, for starters (early) and workflows (with the turn)."""

from model.allow_list import MOST_NETWORKS, changed
from model.cluster import ClusterPhase, ClusterSpec, ClusterState, Durability, NodePhase, Role, User
from model.errors import AlreadyExists, NotFound, Refused
from model.healing import may_promote
from model.names import DEFAULT_DATABASE, DEFAULT_USER
from model.operations import (
    BackupRequest,
    ChangePlanRequest,
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
    RestartRequest,
    RotatePasswordRequest,
    SetAllowListRequest,
    SetBackupPolicyRequest,
    SetDurabilityRequest,
    SetUserRoleRequest,
    SwitchoverRequest,
    VerifyBackupRequest,
)
from model.restore import COPY_IT


def check(state: ClusterState, request: OperationRequest) -> None:
    """Raise the error of a *request* that *state* does not allow; return when it may go on.

    Raises :class:`NotFound`, :class:`AlreadyExists` or :class:`Refused`, each with one sentence.
    """
    _check_alive(state, request)
    match request:
        case CreateUserRequest(username=name):
            _check_roles_adopted(state)
            if state.spec.user(name) is not None:
                raise AlreadyExists(f"Cluster {state.spec.name} has a user {name!r} already.")
        case SetUserRoleRequest(username=name, role=role):
            _check_roles_adopted(state)
            _check_user(state, name)
            if name == DEFAULT_USER and role is not Role.SCHEMA_ADMIN:
                raise Refused(f"User {DEFAULT_USER!r} is the cluster's own and stays schema_admin.")
        case DeleteUserRequest(username=name):
            _check_user(state, name)
            if name == DEFAULT_USER:
                raise Refused(f"User {DEFAULT_USER!r} is the cluster's own and cannot be deleted.")
        case RotatePasswordRequest(username=name):
            _check_user(state, name)
        case CreateDatabaseRequest(database=name):
            if state.spec.database(name) is not None:
                raise AlreadyExists(f"Cluster {state.spec.name} has a database {name!r} already.")
        case DeleteDatabaseRequest(database=name):
            _check_database(state, name)
            if name == DEFAULT_DATABASE:
                raise Refused(f"Database {DEFAULT_DATABASE!r} is the cluster's own and cannot be deleted.")
        case EnableExtensionRequest(database=name) | DisableExtensionRequest(database=name):
            _check_database(state, name)
        case SwitchoverRequest():
            _check_replica(state, "switch over")
        case ForcedFailoverRequest(accept_loss=accepted):
            _check_replica(state, "fail over")
            _check_lost(state, accepted=accepted)
        case SetDurabilityRequest(durability=durability):
            _check_replica(state, "change its durability")
            _check_durability(state, durability)
        case ChangePlanRequest():
            _check_replica(state, "change its plan")
        case BackupRequest() | VerifyBackupRequest() | SetBackupPolicyRequest():
            _check_has_repository(state)
        case SetAllowListRequest():
            _check_allow_list(state, request)
        case GrowStorageRequest():
            _check_growth(state, request)
        case RestartRequest(node=node):
            if node is not None and state.status.node(node) is None:
                raise NotFound(f"Cluster {state.spec.name} has no node {node!r}.")
        case _:
            pass


def _check_alive(state: ClusterState, request: OperationRequest) -> None:
    spec, phase = state.spec, state.status.phase
    if phase in {ClusterPhase.DESTROYED, ClusterPhase.DESTROYING} and not isinstance(request, DestroyClusterRequest):
        raise NotFound(f"Cluster {spec.name} ({spec.id}) was destroyed.")
    if phase is ClusterPhase.ERROR and not isinstance(request, DestroyClusterRequest):
        raise Refused(f"Cluster {spec.name} was never made completely and was removed; create it again.")


def _check_user(state: ClusterState, name: str) -> None:
    require_user(state.spec, name)


def _check_database(state: ClusterState, name: str) -> None:
    require_database(state.spec, name)


def require_user(spec: ClusterSpec, name: str) -> User:
    """Return the cluster's user of that *name*. Raises NotFound."""
    found = spec.user(name)
    if found is None:
        raise NotFound(f"Cluster {spec.name} has no user {name!r}.")
    return found


def require_database(spec: ClusterSpec, name: str) -> None:
    """Check that the cluster has a database of that *name*. Raises NotFound."""
    if spec.database(name) is None:
        raise NotFound(f"Cluster {spec.name} has no database {name!r}.")


def _check_replica(state: ClusterState, what: str) -> None:
    if state.status.replica is None:
        raise Refused(f"Cluster {state.spec.name} cannot {what}: it has no replica.")


def _check_durability(state: ClusterState, wanted: Durability) -> None:
    spec, replica = state.spec, state.status.replica
    if replica is None or wanted is spec.durability:
        return
    if replica.phase is not NodePhase.RUNNING or (wanted is Durability.ASYNC and not replica.in_sync):
        raise Refused(
            f"Cluster {spec.name} cannot become {wanted}: its replica {replica.name} does not follow as it has to.",
            remedy=f"It is repaired by itself; see 'mpg status {spec.name}', and ask again then.",
        )


def _check_has_repository(state: ClusterState) -> None:
    if state.spec.backups is None:
        raise Refused(
            f"Cluster {state.spec.name} was made before there were backups and has no repository.",
            remedy=COPY_IT,
        )


def _check_allow_list(state: ClusterState, request: SetAllowListRequest) -> None:
    name, old = state.spec.name, state.spec.allow_list
    new = changed(old, request.add, request.remove, clear=request.clear)
    if len(new) > MOST_NETWORKS:
        raise Refused(f"Cluster {name} would have {len(new)} networks on its list, and {MOST_NETWORKS} are the most.")
    if old and not new and not request.clear:
        raise Refused(
            f"Cluster {name} would have an empty allow list, which lets everybody in.",
            remedy=f"If that is meant, say 'mpg allow-list {name} --clear'.",
        )


def _check_growth(state: ClusterState, request: GrowStorageRequest) -> None:
    name, has = state.spec.name, state.spec.storage_gb
    wanted = has if request.storage_gb is None else request.storage_gb
    if wanted < has:
        raise Refused(
            f"Cluster {name} has {has} GB per node, and storage never shrinks.",
            remedy="For less storage, dump its databases into a new cluster.",
        )
    most = request.auto_grow_max_gb
    if most is not None and most <= wanted:
        raise Refused(
            f"Cluster {name} would never grow by itself: it has {wanted} GB per node, and {most} GB are to be the most."
        )


def _check_lost(state: ClusterState, *, accepted: bool) -> None:
    name, primary, replica = state.spec.name, state.status.primary, state.status.replica
    if state.status.phase is not ClusterPhase.NEEDS_OPERATOR:
        raise Refused(
            f"Cluster {name} has lost nothing that it could not bring back itself.",
            remedy=f"To make the replica its primary without a loss, run 'mpg switchover {name}'.",
        )
    if replica is not None and may_promote(state):
        raise Refused(
            f"Replica {replica.name} of cluster {name} holds every acknowledged commit, and is promoted by itself.",
            remedy=f"See 'mpg operations list {name}' for what stops it, or run 'mpg switchover {name}'.",
        )
    if not accepted and primary is not None and replica is not None:
        raise Refused(
            f"Replica {replica.name} of cluster {name} is not known to hold every commit that {primary.name} "
            "acknowledged: those that it lacks would be lost for ever.",
            remedy=f"If {primary.name} cannot be saved, say 'mpg failover {name} --accept-loss'.",
        )


def _check_roles_adopted(state: ClusterState) -> None:
    if state.spec.legacy_roles:
        raise Refused(
            f"Cluster {state.spec.name} was made before the role system.",
            remedy=f"Run 'mpg users opt-in-roles {state.spec.name}' first.",
        )
