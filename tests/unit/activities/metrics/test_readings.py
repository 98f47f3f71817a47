"""From what Postgres, PgBouncer and the engine answer to readings."""

from typing import Any

from activities.engine.docker_types import ContainerUsage
from activities.metrics.nodes import NodeSeen, database_readings, session_readings
from activities.metrics.poolers import pool_readings
from activities.metrics.replication import LagMeter
from activities.metrics.series import LAG_BYTES, LAG_SECONDS, Reading
from activities.routing.pooler_console import Pool
from model.cluster import NodeRole


def by_labels(readings: list[Reading]) -> dict[tuple[str, ...], float]:
    return {(each.series.name, *each.labels.values()): each.value for each in readings}


def test_each_counter_of_a_database_is_a_reading_of_its_own() -> None:
    readings = by_labels(database_readings([("shop", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)]))
    assert readings["mpg_database_rows_total", "shop", "inserted"] == 1
    assert readings["mpg_database_rows_total", "shop", "returned"] == 5
    assert readings["mpg_database_transactions_total", "shop", "rolled_back"] == 7
    assert readings["mpg_database_blocks_total", "shop", "read"] == 9
    assert readings["mpg_database_deadlocks_total", "shop"] == 10
    assert readings["mpg_database_temporary_bytes_total", "shop"] == 11
    assert sorted(readings.values()) == list(range(1, 12))


def test_sessions_are_counted_in_every_state_also_where_there_are_none() -> None:
    rows: list[tuple[Any, ...]] = [
        ("shop", "active", 2),
        ("shop", "idle in transaction", 1),
        ("shop", "idle in transaction (aborted)", 4),
        ("shop", None, 1),
        ("shop", "fastpath function call", 1),
        ("template1", "idle", 9),
    ]
    readings = by_labels(session_readings(["shop", "empty"], rows))
    states = ("active", "idle", "idle_in_transaction", "other")
    assert [readings["mpg_database_connections", "shop", state] for state in states] == [2, 0, 5, 2]
    assert [readings["mpg_database_connections", "empty", state] for state in states] == [0, 0, 0, 0]
    assert len(readings) == 8


def pool(database: str, user: str, **counts: int) -> Pool:
    none = dict.fromkeys(Pool.model_fields.keys() - {"database", "user"}, 0)
    return Pool.model_validate({"database": database, "user": user, **none, **counts})


def test_pools_of_several_users_of_a_database_are_added_up() -> None:
    readings = by_labels(
        pool_readings(
            "1-2",
            [
                pool("shop", "ann", cl_active=3, cl_waiting=1, sv_active=2, sv_used=1, maxwait=2, maxwait_us=500_000),
                pool("shop", "bob", cl_active=1, sv_idle=4, sv_login=1, maxwait_us=100),
            ],
        )
    )
    assert readings == {
        ("mpg_pooler_clients", "1-2", "shop", "active"): 4,
        ("mpg_pooler_clients", "1-2", "shop", "waiting"): 1,
        ("mpg_pooler_servers", "1-2", "shop", "active"): 3,
        ("mpg_pooler_servers", "1-2", "shop", "idle"): 5,
        ("mpg_pooler_longest_wait_seconds", "1-2", "shop"): 2.5,
    }


def test_memory_is_without_idle_cache_by_either_version_of_cgroups() -> None:
    cpu = {"cpu_usage": {"total_usage": 1_500_000_000}, "online_cpus": 4}
    for name in ("inactive_file", "total_inactive_file"):
        memory = {"usage": 100, "limit": 1000, "stats": {name: 30}}
        usage = ContainerUsage.parse({"memory_stats": memory, "cpu_stats": cpu})
        assert usage == ContainerUsage(cpu_seconds=1.5, cpus=4, memory_bytes=70, memory_limit_bytes=1000)
    assert ContainerUsage.parse({"memory_stats": {}, "cpu_stats": cpu}) is None


def seen(role: NodeRole, position: int, *, behind_s: float | None = None, replayed_s: float | None = None) -> NodeSeen:
    name = "a" if role is NodeRole.PRIMARY else "b"
    return NodeSeen(name, role, position, behind_s, replayed_s, ())


def lag(readings: list[Reading]) -> dict[str, float]:
    return {each.series.name: each.value for each in readings}


def test_lag_of_a_replica_that_gets_on_is_what_it_says_itself() -> None:
    meter = LagMeter()
    primary, replica = seen(NodeRole.PRIMARY, 500, behind_s=0.2), seen(NodeRole.REPLICA, 400, replayed_s=3600)
    assert lag(meter.read(primary, replica)) == {LAG_BYTES.name: 100, LAG_SECONDS.name: 0.2}
    caught_up = seen(NodeRole.REPLICA, 600, replayed_s=3600)
    assert lag(meter.read(seen(NodeRole.PRIMARY, 500), caught_up)) == {LAG_BYTES.name: 0, LAG_SECONDS.name: 0}


def test_lag_of_a_replica_that_is_stuck_is_the_age_of_what_it_replayed_last() -> None:
    meter = LagMeter()
    stuck = seen(NodeRole.REPLICA, 400, replayed_s=42)
    meter.read(seen(NodeRole.PRIMARY, 500, behind_s=0.2), stuck)
    assert lag(meter.read(seen(NodeRole.PRIMARY, 500, behind_s=0.2), stuck))[LAG_SECONDS.name] == 42


def test_lag_is_not_known_unless_both_nodes_answer() -> None:
    meter = LagMeter()
    assert meter.read(seen(NodeRole.PRIMARY, 500), None) == []
    assert meter.read(None, seen(NodeRole.REPLICA, 400)) == []
