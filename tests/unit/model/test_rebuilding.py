"""A cluster's state from what its containers tell."""

from datetime import UTC, datetime
from typing import Any

import pytest

from activities.engine.labels import Kind, StateLabel, make_labels, read_state
from model.adoption import AdoptionReading, Origin
from model.backups import Repository, RepositoryKind
from model.cluster import (
    Address,
    Durability,
    Endpoint,
    Network,
    NodePhase,
    NodeRole,
    Pooler,
    PoolerPhase,
    PoolMode,
    Tls,
)
from model.effects import NodeSpec
from model.errors import InvalidInput, MpgError, NeedsOperator, Refused
from model.names import LABEL_STATE
from model.plans import DEFAULT_PLANS, Plan, Resources
from model.poolers import plan_generation
from model.rebuilding import AccessPart, EndpointPart, NodePart, Parts, rebuild
from model.settling import Seen

ID = "abcdefgh01234567"
MADE, NOW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC)
NETWORK = Network(name=f"mpg-{ID}", subnet="10.213.0.0/28", gateway="10.213.0.1")
ORIGIN = Origin(
    org="shop",
    region="fra",
    host="local",
    durability=Durability.ASYNC,
    storage_gb=7,
    postgis_enabled=True,
    created_at=datetime(2025, 12, 31, tzinfo=UTC),
)
ENDPOINT = Endpoint(
    container=f"mpg-{ID}-endpoint",
    address="10.213.0.2",
    pooled=Address(host="127.0.0.1", port=20000),
    direct=Address(host="127.0.0.1", port=20001),
    read_only=Address(host="127.0.0.1", port=20002),
)
OLD = plan_generation(ID, 1, PoolMode.TRANSACTION, ())
NEW = plan_generation(ID, 2, PoolMode.SESSION, OLD)


def node(name: str, seen: Seen, *, plan: str = "basic", whole: Plan | None = None) -> NodePart:
    spec = NodeSpec(
        cluster_id=ID,
        cluster_name="orders",
        name=name,
        role=NodeRole.REPLICA,  # the label's role is that of its making, and says nothing
        plan=plan,
        resources=Resources(cpus=2, memory_mb=512),
        image="mpg-node:17",
        network=NETWORK,
    )
    return NodePart(spec=spec, plan=whole, seen=seen)


def parts(**other: Any) -> Parts:
    told: dict[str, Any] = {
        "cluster_id": ID,
        "cluster_name": "orders",
        "host": "local",
        "region": "here",
        "endpoint": EndpointPart(endpoint=ENDPOINT, origin=ORIGIN, made_at=MADE),
        "nodes": (node("a", Seen.STANDBY), node("b", Seen.PRIMARY)),
        "poolers": OLD,
        "pooled_ports": tuple(pooler.port for pooler in OLD),
    }
    return Parts(**told | other)


def rebuilt(name: str | None = None, **other: Any) -> AdoptionReading:
    return rebuild(parts(**other), DEFAULT_PLANS, name=name, now=NOW)


def test_state_is_what_labels_and_files_tell() -> None:
    reading = rebuilt()
    spec, status = reading.state.spec, reading.state.status
    assert Origin.of(spec) == ORIGIN
    assert (spec.id, spec.name, spec.plan, spec.image) == (ID, "orders", DEFAULT_PLANS["basic"], "mpg-node:17")
    assert (status.network, status.endpoint, status.poolers) == (NETWORK, ENDPOINT, OLD)
    assert [(each.name, each.role, each.in_sync, each.memory_mb) for each in status.nodes] == [
        ("a", NodeRole.REPLICA, False, 512),
        ("b", NodeRole.PRIMARY, False, 512),
    ]
    assert reading.notes == ()


def test_another_name_is_taken_where_it_is_asked_for() -> None:
    assert rebuilt("orders-2").state.spec.name == "orders-2"


def test_plan_on_the_label_is_taken_before_that_of_the_table() -> None:
    own = DEFAULT_PLANS["basic"].model_copy(update={"reserve_pool": 3})
    nodes = (node("a", Seen.PRIMARY, whole=own), node("b", Seen.STANDBY))
    assert rebuilt(nodes=nodes).state.spec.plan == own


def test_plan_that_nobody_knows_is_one_sentence() -> None:
    with pytest.raises(InvalidInput, match="on plan 'huge', which is not in the plan table"):
        rebuilt(nodes=(node("a", Seen.PRIMARY, plan="huge"),))


def test_labels_of_older_code_are_completed_and_that_is_said() -> None:
    reading = rebuilt(endpoint=EndpointPart(endpoint=ENDPOINT, made_at=MADE))
    spec = reading.state.spec
    assert (spec.org, spec.region, spec.durability, spec.storage_gb) == ("personal", "here", Durability.SYNC, 10)
    assert spec.created_at == MADE
    assert "were taken for granted" in reading.notes[0]


def test_nodes_on_different_plans_follow_the_primary_and_that_is_said() -> None:
    reading = rebuilt(nodes=(node("a", Seen.STANDBY), node("b", Seen.PRIMARY, plan="starter")))
    assert reading.state.spec.plan.name == "starter"
    assert [each.plan for each in reading.state.status.nodes] == ["basic", "starter"]
    assert reading.notes[0].startswith("Node a is on plan basic and the primary on starter")


def test_missing_replica_is_on_record_so_that_it_is_made_again() -> None:
    reading = rebuilt(nodes=(node("a", Seen.PRIMARY),))
    replica = reading.state.status.replica
    assert replica is not None
    assert (replica.name, replica.phase, replica.address) == ("b", NodePhase.MISSING, "10.213.0.4")
    assert reading.notes == ("Node b is missing; it is made again.",)


def drains(*poolers: Pooler) -> dict[str, datetime | None]:
    return {each.name: each.draining_since for each in poolers if each.phase is PoolerPhase.DRAINING}


@pytest.mark.parametrize(
    ("led_to", "drained", "mode"),
    [
        (NEW, OLD, PoolMode.SESSION),
        # A change of mode was cut off before new connections were routed to the new poolers.
        (OLD, NEW, PoolMode.TRANSACTION),
        ((), OLD, PoolMode.SESSION),
    ],
)
def test_poolers_that_nobody_is_led_to_drain(
    led_to: tuple[Pooler, ...], drained: tuple[Pooler, ...], mode: PoolMode
) -> None:
    state = rebuilt(poolers=(*NEW, *OLD), pooled_ports=tuple(each.port for each in led_to)).state
    assert state.spec.pool_mode is mode
    assert drains(*state.status.poolers) == {each.name: NOW for each in drained}
    assert [each.name for each in state.status.poolers] == [each.name for each in (*OLD, *NEW)]


@pytest.mark.parametrize(
    ("lacking", "sentence"),
    [
        ({"endpoint": None}, "it has no endpoint"),
        ({"nodes": ()}, "it has no node"),
        ({"poolers": ()}, "it has no pooler"),
        ({"endpoint": None, "poolers": ()}, "it has no endpoint and no pooler"),
    ],
)
def test_what_was_never_finished_is_refused(lacking: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refused, match=f"Cluster orders \\({ID}\\) is not whole: {sentence}."):
        rebuilt(**lacking)


@pytest.mark.parametrize(
    ("a", "b", "primary"),
    [
        (Seen.PRIMARY, Seen.STANDBY, "a"),
        (Seen.STOPPED_PRIMARY, Seen.STOPPED_STANDBY, "a"),
        (Seen.STOPPED_STANDBY, Seen.PRIMARY, "b"),
        (Seen.PRIMARY, Seen.STOPPED_PRIMARY, "a"),
        (Seen.MISSING, Seen.PRIMARY, "b"),
        (Seen.PRIMARY, Seen.PRIMARY, NeedsOperator),
        (Seen.STOPPED_PRIMARY, Seen.STOPPED_PRIMARY, NeedsOperator),
        (Seen.MISSING, Seen.STANDBY, NeedsOperator),
        (Seen.STANDBY, Seen.STOPPED_STANDBY, NeedsOperator),
    ],
)
def test_primary_is_the_one_node_that_takes_writes(a: Seen, b: Seen, primary: str | type[MpgError]) -> None:
    nodes = (node("a", a), node("b", b))
    if not isinstance(primary, str):
        with pytest.raises(primary):
            rebuilt(nodes=nodes)
        return
    found = rebuilt(nodes=nodes).state.status.primary
    assert found is not None
    assert found.name == primary


def test_label_keeps_what_was_settled_and_holds_no_field_that_is_not_known() -> None:
    state = StateLabel(cluster_id=ID, cluster_name="orders", endpoint=ENDPOINT, origin=ORIGIN)
    assert read_state(make_labels(ID, Kind.ENDPOINT, "endpoint", state=state)) == state
    older = {LABEL_STATE: f'{{"cluster_id": "{ID}", "cluster_name": "orders"}}'}
    assert read_state(older) == StateLabel(cluster_id=ID, cluster_name="orders")


def test_repository_is_on_the_nodes_labels_and_has_the_key_that_it_is_written_with_from_now_on() -> None:
    repository = Repository(kind=RepositoryKind.VOLUME, key_id="former")
    told = node("a", Seen.PRIMARY)
    told = told.model_copy(update={"spec": told.spec.model_copy(update={"repository": repository})})
    reading = rebuild(parts(nodes=(told,)), DEFAULT_PLANS, name=None, now=NOW, key_id="present")
    backups = reading.state.spec.backups
    assert backups is not None
    assert (backups.repository.kind, backups.repository.key_id) == (RepositoryKind.VOLUME, "present")
    assert any("none is removed before" in note for note in reading.notes)
    assert rebuilt().state.spec.backups is None


def test_tls_is_what_an_operation_made_of_it_or_else_what_it_was_made_with() -> None:
    made_with = ORIGIN.model_copy(update={"tls": Tls.OFFERED})
    for access, origin, tls in (
        (AccessPart(), ORIGIN, Tls.OFF),
        (AccessPart(), made_with, Tls.OFFERED),
        (AccessPart(tls=Tls.REQUIRED), made_with, Tls.REQUIRED),
    ):
        state = rebuilt(endpoint=EndpointPart(endpoint=ENDPOINT, origin=origin, access=access, made_at=MADE)).state
        assert state.spec.tls is tls
        assert {pooler.tls for pooler in state.status.poolers} == {tls}


def test_allow_list_and_durability_are_what_the_endpoint_has() -> None:
    access = AccessPart(allow_list=("192.0.2.0/24",), durability=Durability.SYNC)
    found = rebuilt(endpoint=EndpointPart(endpoint=ENDPOINT, origin=ORIGIN, access=access, made_at=MADE)).state.spec
    assert found.allow_list == access.allow_list
    assert found.tls is ORIGIN.tls
    assert (ORIGIN.durability, found.durability) == (Durability.ASYNC, Durability.SYNC)
