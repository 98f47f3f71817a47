"""Counters of statements, from a real primary and its standby."""

import pytest
from postgres_servers import BOB, WILL, Effects, Server

from activities.metrics import statements
from activities.metrics.nodes import NodeMetrics, NodeSeen
from activities.metrics.series import STATEMENT_CALLS, STATEMENT_ROWS, STATEMENT_SECONDS, TRANSACTIONS
from model.cluster import NodeRole
from model.effects import ReadQueriesInput
from model.names import DEFAULT_DATABASE, SUPERUSER
from model.queries import MOST_STATEMENTS_KEPT

pytest_plugins = ("postgres_fixtures",)
pytestmark = pytest.mark.integration

COUNTED = (STATEMENT_CALLS, STATEMENT_SECONDS, STATEMENT_ROWS)
EXTENSION = "SELECT FROM pg_extension WHERE extname = 'pg_stat_statements'"


def metrics_of(effects: Effects, server: Server, role: NodeRole = NodeRole.PRIMARY) -> NodeMetrics:
    return NodeMetrics(effects.sql, server.node(role), server.target.cluster_id)


def counted(seen: NodeSeen | None) -> dict[tuple[str, str], list[float]]:
    """Return calls, seconds and rows by database and statement; the other readings have to be there as well."""
    assert seen is not None
    assert any(each.series is TRANSACTIONS for each in seen.readings)
    found: dict[tuple[str, str], list[float]] = {}
    for series in COUNTED:
        for each in seen.readings:
            if each.series is series:
                assert set(each.labels) == {"database", "statement"}
                found.setdefault((each.labels["database"], each.labels["statement"]), []).append(each.value)
    return found


async def begin_anew(effects: Effects) -> None:
    await effects.queries.read_queries(ReadQueriesInput(target=effects.server.target))
    await effects.server.run(SUPERUSER, "SELECT mpg.pg_stat_statements_reset()", "postgres")


async def test_nothing_is_made_for_counting_and_the_standby_has_none(people: Effects, standby: Server) -> None:
    await people.server.run(SUPERUSER, "DROP EXTENSION IF EXISTS pg_stat_statements", "postgres")
    node = metrics_of(people, people.server)
    assert counted(await node.read()) == {}
    assert await people.server.run(SUPERUSER, EXTENSION, "postgres") == []
    await node.close()
    await begin_anew(people)
    await people.server.run(WILL, "SELECT count(*) FROM notes")
    primary, replica = metrics_of(people, people.server), metrics_of(people, standby, NodeRole.REPLICA)
    assert counted(await primary.read()) != {}
    assert counted(await replica.read()) == {}
    for each in (primary, replica):
        await each.close()


async def test_statement_is_counted_for_all_its_users_once_a_minute_and_the_platforms_are_not(
    people: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begin_anew(people)
    twice = "SELECT id FROM notes ORDER BY text LIMIT 1"
    for user in (WILL, BOB):
        await people.server.run(user, twice)
    await people.server.run(SUPERUSER, "SELECT max(oid::int) FROM pg_class")
    of = "SELECT DISTINCT queryid::text FROM mpg.pg_stat_statements WHERE query LIKE '{}%'"
    ((counts,),) = await people.server.run(SUPERUSER, of.format("SELECT id FROM notes"), "postgres")
    ((platforms,),) = await people.server.run(SUPERUSER, of.format("SELECT max(oid"), "postgres")
    key = DEFAULT_DATABASE, str(counts)
    node = metrics_of(people, people.server)
    first = counted(await node.read())
    calls, seconds, rows = first[key]
    assert (calls, rows) == (2, 2)
    assert 0 < seconds < 1
    assert platforms not in {statement for _, statement in first}
    await people.server.run(WILL, twice)
    assert counted(await node.read()) == first, "within the minute it is the same look"
    monkeypatch.setattr(statements, "EVERY_S", 0.0)
    assert counted(await node.read())[key][0] == 3
    await node.close()


async def test_there_are_never_more_than_twenty_and_they_are_the_slowest(people: Effects) -> None:
    await begin_anew(people)
    for number in range(MOST_STATEMENTS_KEPT + 5):
        await people.server.run(WILL, f"SELECT {' + '.join(['id'] * (number + 1))} FROM notes")
    await people.server.run(WILL, "SELECT pg_sleep(0.2)")
    node = metrics_of(people, people.server)
    found = counted(await node.read())
    assert len(found) == MOST_STATEMENTS_KEPT
    assert max(seconds for _, seconds, _ in found.values()) >= 0.2
    await node.close()


async def test_look_that_takes_too_long_is_a_gap_and_the_rest_is_read(
    people: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "EVERY_S", 0.0)
    await begin_anew(people)
    await people.server.run(WILL, "SELECT count(*) FROM notes")
    node = metrics_of(people, people.server)
    assert counted(await node.read()) != {}
    async with await people.server.connect(SUPERUSER, "postgres") as holder:
        await holder.execute("BEGIN; LOCK TABLE pg_extension")
        assert counted(await node.read()) == {}
    assert counted(await node.read()) != {}
    await node.close()
