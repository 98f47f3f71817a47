"""How facts change the record."""

from datetime import UTC, datetime, timedelta

import pytest

from model.cluster import (
    FORMER_USERS,
    UNKNOWN_PASSWORD,
    ClusterPhase,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    Condition,
    Database,
    Durability,
    FormerUser,
    Network,
    Node,
    NodePhase,
    NodeRole,
    PoolMode,
    Role,
    Tls,
    User,
)
from model.facts import (
    AllowListIs,
    ArchiveClosed,
    BackupsKept,
    CatalogIs,
    ConditionIs,
    DatabaseGone,
    DatabaseIs,
    DurabilityIs,
    Fact,
    InSync,
    NetworkIs,
    NodeIs,
    PhaseIs,
    PlanIs,
    PoolersAre,
    PoolModeIs,
    PrimaryIs,
    RolesAdopted,
    TlsIs,
    UserGone,
    UserIs,
    apply,
)
from model.operations import Commit
from model.plans import DEFAULT_PLANS
from model.poolers import plan_generation

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def node(name: str, role: NodeRole, *, in_sync: bool = False) -> Node:
    return Node(
        name=name,
        role=role,
        phase=NodePhase.RUNNING,
        container=name,
        address="10.0.0.3",
        plan="basic",
        cpus=2,
        memory_mb=1024,
        in_sync=in_sync,
    )


@pytest.fixture
def state() -> ClusterState:
    spec = ClusterSpec(
        id="0123456789abcdef",
        name="orders",
        org="personal",
        region="local",
        host="local",
        plan=DEFAULT_PLANS["basic"],
        legacy_roles=True,
        created_at=NOW,
    )
    nodes = (node("a", NodeRole.PRIMARY), node("b", NodeRole.REPLICA, in_sync=True))
    return ClusterState(spec=spec, status=ClusterStatus(nodes=nodes))


def condition(status: bool) -> ConditionIs:
    return ConditionIs(condition=Condition(type="Backup", status=status, since=NOW, message="It is old."))


EVERY: list[Fact] = [
    UserIs(user=User(name="amy", role=Role.READER)),
    UserGone(name="fly-user"),
    DatabaseIs(database=Database(name="shop")),
    DatabaseGone(name="fly-db"),
    PlanIs(plan=DEFAULT_PLANS["launch"]),
    PoolModeIs(pool_mode=PoolMode.SESSION),
    TlsIs(tls=Tls.REQUIRED),
    DurabilityIs(durability=Durability.ASYNC),
    AllowListIs(networks=("192.0.2.0/24",)),
    RolesAdopted(),
    NetworkIs(network=Network(name="n", subnet="10.0.0.0/28", gateway="10.0.0.1")),
    NodeIs(node=node("c", NodeRole.REPLICA)),
    PrimaryIs(name="b", timeline=2),
    InSync(name="b", value=False),
    PoolersAre(poolers=plan_generation("0123456789abcdef", 1, PoolMode.SESSION, ())),
    PhaseIs(phase=ClusterPhase.READY),
    condition(True),
]


@pytest.mark.parametrize("fact", EVERY, ids=lambda fact: fact.kind)
def test_fact_changes_the_record_once_and_survives_the_wire(state: ClusterState, fact: Fact):
    after = apply(state, [fact])
    assert after != state
    assert apply(after, [fact]) == after
    sent = Commit(operation_id="x", facts=(fact,))
    assert Commit.model_validate_json(sent.model_dump_json()) == sent


def test_kinds_are_as_histories_have_them():
    # As lasting as histories: a class that is renamed keeps its fact's kind.
    assert [fact.kind for fact in EVERY] == [
        "user_is",
        "user_gone",
        "database_is",
        "database_gone",
        "plan_is",
        "pool_mode_is",
        "tls_is",
        "durability_is",
        "allow_list_is",
        "roles_adopted",
        "network_is",
        "node_is",
        "primary_is",
        "in_sync",
        "poolers_are",
        "phase_is",
        "condition_is",
    ]


def test_user_is_changed_in_place(state: ClusterState):
    after = apply(state, [UserIs(user=User(name="fly-user", role=Role.SCHEMA_ADMIN, password_version=2))])
    assert [user.password_version for user in after.spec.users] == [2]


def user_is(version: int) -> UserIs:
    return UserIs(user=User(name="amy", role=Role.READER, password_version=version))


def test_deleted_user_leaves_the_version_of_its_last_password(state: ClusterState):
    assert state.spec.next_password_version("amy") == 1
    deleted = apply(state, [user_is(3), UserGone(name="amy")])
    assert deleted.spec.former_users == (FormerUser(name="amy", password_version=3),)
    assert deleted.spec.next_password_version("amy") == 4
    assert apply(deleted, [UserGone(name="amy"), UserGone(name="nobody")]) == deleted
    again = apply(deleted, [user_is(4)])
    assert (again.spec.former_users, again.spec.next_password_version("amy")) == ((), 5)


def test_password_that_is_not_known_does_not_make_the_record_forget(state: ClusterState):
    deleted = apply(state, [user_is(3), UserGone(name="amy"), user_is(UNKNOWN_PASSWORD)])
    assert deleted.spec.next_password_version("amy") == 4
    assert apply(deleted, [UserGone(name="amy")]).spec.next_password_version("amy") == 4


def test_record_keeps_the_latest_of_the_deleted_users(state: ClusterState):
    names = [f"user{number}" for number in range(FORMER_USERS + 2)]
    for name in names:
        state = apply(state, [UserIs(user=User(name=name, role=Role.READER)), UserGone(name=name)])
    assert [former.name for former in state.spec.former_users] == names[2:]


def test_record_of_older_code_has_no_memory(state: ClusterState):
    old = state.spec.model_dump(mode="json")
    del old["former_users"]
    assert ClusterSpec.model_validate(old) == state.spec


def test_new_primary_makes_the_other_a_replica_that_is_not_known_in_sync(state: ClusterState):
    status = apply(state, [PrimaryIs(name="b", timeline=2)]).status
    assert status.primary is not None
    assert status.replica is not None
    assert (status.primary.name, status.primary.timeline) == ("b", 2)
    assert (status.replica.name, status.replica.in_sync) == ("a", False)


LATER = NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("facts", "since"),
    [
        ([PrimaryIs(name="b", since=NOW)], NOW),
        ([PrimaryIs(name="b", since=NOW), PrimaryIs(name="b", timeline=2, since=LATER)], NOW),
        ([PrimaryIs(name="b", since=NOW), PrimaryIs(name="a", since=LATER)], NOW),
        ([PrimaryIs(name="a", timeline=3, since=NOW)], None),  # as before
        ([PrimaryIs(name="b")], None),  # of older code
        ([PrimaryIs(name="b", since=NOW), ArchiveClosed()], None),
        ([PrimaryIs(name="b", since=NOW), ArchiveClosed(), PrimaryIs(name="a", since=LATER)], LATER),
    ],
)
def test_takeover_is_on_record_until_it_was_seen_what_the_archive_lacks(
    state: ClusterState, facts: list[Fact], since: datetime | None
):
    after = apply(state, facts)
    assert after.status.backups.unclosed_since == since
    sent = Commit(operation_id="x", facts=tuple(facts))
    assert Commit.model_validate_json(sent.model_dump_json()) == sent


def test_condition_that_is_over_is_removed(state: ClusterState):
    assert apply(state, [condition(True), condition(False)]).status.conditions == ()


def test_catalog_of_a_restored_cluster_takes_the_place_of_what_was_known(state: ClusterState) -> None:
    users, databases = (User(name="zoe", role=Role.READER),), (Database(name="old"),)
    found = apply(state, [UserGone(name="amy"), CatalogIs(users=users, databases=databases, legacy_roles=True)]).spec
    assert (found.users, found.databases, found.former_users, found.legacy_roles) == (users, databases, (), True)


def test_backups_that_are_kept_are_on_record(state: ClusterState) -> None:
    assert apply(state, [BackupsKept(until=NOW)]).status.backups_kept_until == NOW
