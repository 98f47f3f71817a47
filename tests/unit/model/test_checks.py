"""Which requests a cluster's state refuses, and with which sentence."""

from datetime import UTC, datetime

import pytest

from model.checks import check
from model.cluster import ClusterPhase, ClusterSpec, ClusterState, ClusterStatus, Role
from model.errors import AlreadyExists, MpgError, NotFound, Refused
from model.facts import Fact, InSync, PhaseIs, apply
from model.operations import (
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
    OptInRolesRequest,
    RestartRequest,
    RotatePasswordRequest,
    SetUserRoleRequest,
    SwitchoverRequest,
)
from model.plans import DEFAULT_PLANS
from tests.workflows.samples import ready_cluster, without_replica

ID = "0123456789abcdef"
CREATE_AMY = CreateUserRequest(cluster_id=ID, username="amy", role=Role.READER)


def cluster(phase: ClusterPhase = ClusterPhase.READY, *, legacy_roles: bool = False) -> ClusterState:
    spec = ClusterSpec(
        id=ID,
        name="orders",
        org="personal",
        region="local",
        host="local",
        plan=DEFAULT_PLANS["basic"],
        legacy_roles=legacy_roles,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return ClusterState(spec=spec, status=ClusterStatus(phase=phase))


REFUSED: list[tuple[OperationRequest, type[MpgError], str]] = [
    (CreateUserRequest(cluster_id=ID, username="fly-user", role=Role.READER), AlreadyExists, "has a user 'fly-user'"),
    (SetUserRoleRequest(cluster_id=ID, username="amy", role=Role.READER), NotFound, "has no user 'amy'"),
    (SetUserRoleRequest(cluster_id=ID, username="fly-user", role=Role.READER), Refused, "stays schema_admin"),
    (DeleteUserRequest(cluster_id=ID, username="amy"), NotFound, "has no user 'amy'"),
    (DeleteUserRequest(cluster_id=ID, username="fly-user"), Refused, "cannot be deleted"),
    (RotatePasswordRequest(cluster_id=ID, username="amy"), NotFound, "has no user 'amy'"),
    (CreateDatabaseRequest(cluster_id=ID, database="fly-db"), AlreadyExists, "has a database 'fly-db'"),
    (DeleteDatabaseRequest(cluster_id=ID, database="shop"), NotFound, "has no database 'shop'"),
    (DeleteDatabaseRequest(cluster_id=ID, database="fly-db"), Refused, "cannot be deleted"),
    (EnableExtensionRequest(cluster_id=ID, database="shop", extension="x"), NotFound, "has no database 'shop'"),
    (DisableExtensionRequest(cluster_id=ID, database="shop", extension="x"), NotFound, "has no database 'shop'"),
    (SwitchoverRequest(cluster_id=ID), Refused, "has no replica"),
    (ChangePlanRequest(cluster_id=ID, plan="launch"), Refused, "has no replica"),
    (RestartRequest(cluster_id=ID, node="a"), NotFound, "has no node 'a'"),
    (GrowStorageRequest(cluster_id=ID, storage_gb=9), Refused, "has 10 GB per node, and storage never shrinks"),
    (GrowStorageRequest(cluster_id=ID, auto_grow_step_gb=5, auto_grow_max_gb=10), Refused, "never grow by itself"),
    (
        GrowStorageRequest(cluster_id=ID, storage_gb=20, auto_grow_step_gb=5, auto_grow_max_gb=15),
        Refused,
        "never grow by itself: it has 20 GB per node",
    ),
]


@pytest.mark.parametrize(("request_", "error", "said"), REFUSED)
def test_refused(request_: OperationRequest, error: type[MpgError], said: str):
    with pytest.raises(error, match=said):
        check(cluster(), request_)


ALLOWED: list[OperationRequest] = [
    CREATE_AMY,
    RotatePasswordRequest(cluster_id=ID, username="fly-user"),
    GrowStorageRequest(cluster_id=ID, storage_gb=10),
    GrowStorageRequest(cluster_id=ID, storage_gb=1000, auto_grow_step_gb=0),
    GrowStorageRequest(cluster_id=ID, auto_grow_step_gb=5, auto_grow_max_gb=11),
    SetUserRoleRequest(cluster_id=ID, username="fly-user", role=Role.SCHEMA_ADMIN),
    CreateDatabaseRequest(cluster_id=ID, database="shop"),
    OptInRolesRequest(cluster_id=ID),
    RestartRequest(cluster_id=ID),
]


@pytest.mark.parametrize("request_", ALLOWED, ids=lambda request: request.operation)
def test_allowed(request_: OperationRequest):
    check(cluster(), request_)


@pytest.mark.parametrize(
    ("phase", "error"),
    [
        (ClusterPhase.DESTROYED, NotFound),
        (ClusterPhase.DESTROYING, NotFound),
        (ClusterPhase.ERROR, Refused),
    ],
)
def test_cluster_that_is_over_can_only_be_destroyed(phase: ClusterPhase, error: type[MpgError]):
    with pytest.raises(error):
        check(cluster(phase), CREATE_AMY)
    check(cluster(phase), DestroyClusterRequest(cluster_id=ID))


def test_legacy_cluster_takes_no_users_until_it_opted_in():
    with pytest.raises(Refused, match="opt-in-roles orders"):
        check(cluster(legacy_roles=True), CREATE_AMY)
    check(cluster(legacy_roles=True), OptInRolesRequest(cluster_id=ID))


@pytest.mark.parametrize(
    ("facts", "accept", "said"),
    [
        ([InSync(name="b", value=False)], True, "lost nothing .* run 'mpg switchover orders-"),
        ([PhaseIs(phase=ClusterPhase.NEEDS_OPERATOR)], True, "holds every .* run 'mpg switchover orders-"),
        (
            [InSync(name="b", value=False), PhaseIs(phase=ClusterPhase.NEEDS_OPERATOR)],
            False,
            "those that it lacks would be lost for ever. .* --accept-loss",
        ),
    ],
)
def test_forced_failover_is_refused_where_nothing_need_be_lost_and_unless_it_is_accepted(
    facts: list[Fact], accept: bool, said: str
):
    state = apply(ready_cluster(), facts)
    with pytest.raises(Refused, match=said):
        check(state, ForcedFailoverRequest(cluster_id=state.spec.id, accept_loss=accept))


def test_forced_failover_is_refused_where_there_is_no_replica():
    state = apply(without_replica(ready_cluster()), [PhaseIs(phase=ClusterPhase.NEEDS_OPERATOR)])
    with pytest.raises(Refused, match="has no replica"):
        check(state, ForcedFailoverRequest(cluster_id=state.spec.id, accept_loss=True))


def test_forced_failover_is_allowed_where_a_lost_primary_is_all_that_has_every_commit():
    state = apply(ready_cluster(), [InSync(name="b", value=False), PhaseIs(phase=ClusterPhase.NEEDS_OPERATOR)])
    check(state, ForcedFailoverRequest(cluster_id=state.spec.id, accept_loss=True))
