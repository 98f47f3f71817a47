"""What clients run, what they ran, what deserves a look; cancelling and ending."""

import asyncio

import psycopg
import pytest
from postgres_servers import Effects

from model.cluster import Role
from model.effects import ReadQueriesInput, SignalSessionInput
from model.errors import NotFound
from model.names import SUPERUSER
from model.queries import MOST_STATEMENTS, Queries, Session, StatementOrder, SuggestionKind, ordered

pytest_plugins = ("postgres_fixtures",)
pytestmark = pytest.mark.integration

DB = "asked"
BOUND_S = 30


@pytest.fixture(scope="module")
async def asked(effects: Effects) -> Effects:
    await effects.make_database(DB)
    return effects


async def look(effects: Effects, database: str | None = None) -> Queries:
    return await effects.queries.read_queries(ReadQueriesInput(target=effects.server.target, database=database))


async def forget_statements(effects: Effects) -> None:
    """Forget what was counted: other tests ran more on this server than is listed."""
    schema = "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_stat_statements'"
    ((where,),) = await effects.server.run(SUPERUSER, schema, "postgres")
    await effects.server.run(SUPERUSER, f"SELECT {where}.pg_stat_statements_reset()", "postgres")


async def until_session(effects: Effects, text: str, *, blocked: bool = False) -> Session:
    async with asyncio.timeout(BOUND_S):
        while True:
            for each in (await look(effects)).sessions:
                if text in each.query and (each.blocked_by or not blocked):
                    return each
            await asyncio.sleep(0.05)


async def signal(effects: Effects, session: Session, *, end: bool) -> bool:
    arg = SignalSessionInput(target=effects.server.target, pid=session.pid, began=session.began, end=end)
    return (await effects.queries.signal_session(arg)).there


async def test_session_shows_who_blocks_it_and_each_can_be_cancelled_and_ended(asked: Effects) -> None:
    async with (
        await asked.server.connect("fly-user", DB) as waiter,
        await asked.server.connect("fly-user", DB) as holder,  # closed first: nobody waits for it then
    ):
        await holder.execute("CREATE TABLE held (id int)")
        await holder.execute("BEGIN")
        await holder.execute("LOCK TABLE held")
        waiting = asyncio.create_task(waiter.execute("SELECT count(*) FROM held"))
        waits = await until_session(asked, "count(*) FROM held", blocked=True)
        holds = await until_session(asked, "LOCK TABLE held")
        assert waits.blocked_by == (holds.pid,)
        counted = {each.state: each for each in (await look(asked)).counts if each.user == "fly-user"}
        assert (counted["active"].sessions, counted["active"].waiting) == (1, 1)
        in_one = counted["idle in transaction"]
        assert (in_one.sessions, in_one.waiting) == (1, 0)
        assert in_one.longest_transaction_s is not None
        assert (holds.state, waits.state) == ("idle in transaction", "active")
        assert holds.transaction_seconds is not None
        assert (waits.user, waits.database) == ("fly-user", DB)
        other = waits.model_copy(update={"began": holds.began})
        assert not await signal(asked, other, end=True), "a process id alone names no session: it comes again"
        assert await signal(asked, waits, end=False)
        with pytest.raises(psycopg.errors.QueryCanceled):
            await waiting
        assert await signal(asked, holds, end=True)
        with pytest.raises(psycopg.OperationalError):
            await holder.execute("SELECT 1")
        assert await (await waiter.execute("SELECT count(*) FROM held")).fetchone() == (0,)


async def test_platform_is_neither_listed_nor_ended(asked: Effects) -> None:
    async with await asked.server.connect(SUPERUSER, "postgres") as platform:
        row = await (
            await platform.execute("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        ).fetchone()
        assert row is not None
        found = await look(asked)
        assert row[0] not in {each.pid for each in found.sessions}
        arg = SignalSessionInput(target=asked.server.target, pid=row[0], began=row[1], end=True)
        assert not (await asked.queries.signal_session(arg)).there
        assert await (await platform.execute("SELECT 1")).fetchone() == (1,)


async def test_statements_are_counted_without_their_values(asked: Effects) -> None:
    await look(asked)
    await forget_statements(asked)
    for number in range(3):
        await asked.server.run("fly-user", f"SELECT {number} AS marked_statement", DB)
    found = next(each for each in (await look(asked)).statements if "marked_statement" in each.query)
    assert (found.calls, found.rows, found.user, found.database) == (3, 3, Role.SCHEMA_ADMIN, DB)
    assert "$1" in found.query
    assert found.total_ms >= found.mean_ms > 0


async def test_slowest_and_most_frequent_statements_are_there_however_little_time_they_took(asked: Effects) -> None:
    await look(asked)
    await forget_statements(asked)
    async with await asked.server.connect("fly-user", DB) as session:
        for width in range(1, MOST_STATEMENTS + 11):  # 50 ms in all each
            columns = ", ".join(["1"] * width)
            for _ in range(5):
                await session.execute(f"SELECT {columns}, pg_sleep(0.01)".encode())
        await session.execute("SELECT pg_sleep(0.025) AS marked_slow")
        for _ in range(100):
            await session.execute("SELECT 'frequent'::text AS marked_frequent")
    found = (await look(asked)).statements
    marked = [each for each in found if "marked_" in each.query]
    slow, frequent = sorted(marked, key=lambda each: each.calls)
    assert (slow.calls, frequent.calls) == (1, 100)
    by_time = ordered(found, StatementOrder.TIME)
    assert len(by_time) == MOST_STATEMENTS
    assert slow not in by_time
    assert frequent not in by_time
    assert slow in ordered(found, StatementOrder.MEAN)
    assert ordered(found, StatementOrder.CALLS)[0] == frequent


async def test_statements_are_found_in_whichever_schema_they_are(asked: Effects) -> None:
    await look(asked)
    await asked.server.run(SUPERUSER, "ALTER EXTENSION pg_stat_statements SET SCHEMA public", "postgres")
    try:
        assert (await look(asked)).statements
    finally:
        await asked.server.run(SUPERUSER, "CREATE SCHEMA IF NOT EXISTS mpg", "postgres")
        await asked.server.run(SUPERUSER, "ALTER EXTENSION pg_stat_statements SET SCHEMA mpg", "postgres")


async def test_suggestions_are_right_and_their_statements_run(asked: Effects) -> None:
    admin = asked.server
    for line in (
        "CREATE TABLE customers (id int PRIMARY KEY)",
        'CREATE TABLE "Orders" (id int, customer int REFERENCES customers, note text)',
        "CREATE TABLE covered (id int, customer int REFERENCES customers)",
        "CREATE INDEX ON covered (customer, id)",
        "CREATE TABLE parted (id int, customer int REFERENCES customers) PARTITION BY RANGE (id)",
        "INSERT INTO \"Orders\" SELECT n, NULL, repeat('x', 40) || n FROM generate_series(1, 40000) n",
        'CREATE INDEX unread ON "Orders" (note)',
        'UPDATE "Orders" SET id = id + 1',
    ):
        await admin.run("fly-user", line, DB)
    async with asyncio.timeout(BOUND_S):  # sessions tell of their rows when they end
        while len(found := (await look(asked, DB)).suggestions) < 4:
            await asyncio.sleep(0.1)
    by_kind = {each.kind: each for each in found}
    keys = {each.about for each in found if each.kind is SuggestionKind.NO_INDEX_FOR_KEY}
    assert keys == {'public."Orders" (customer)', "public.parted (customer)"}
    assert (len(found), by_kind[SuggestionKind.UNUSED_INDEX].about) == (4, "public.unread")
    assert by_kind[SuggestionKind.NEEDS_VACUUM].about == 'public."Orders"'
    for each in found:
        await admin.run("fly-user", each.statement, DB)
    async with asyncio.timeout(BOUND_S):
        while SuggestionKind.NO_INDEX_FOR_KEY in {each.kind for each in (await look(asked, DB)).suggestions}:
            await asyncio.sleep(0.1)


async def test_what_is_locked_costs_the_suggestions_only_and_leaves_no_session(asked: Effects) -> None:
    await asked.server.run("fly-user", "CREATE TABLE kept_busy AS SELECT n FROM generate_series(1, 10) n", DB)
    await asked.server.run("fly-user", "CREATE INDEX busy ON kept_busy (n)", DB)
    async with await asked.server.connect("fly-user", DB) as holder:
        await holder.execute("BEGIN")
        await holder.execute("DROP INDEX busy")
        seen = await look(asked, DB)
        assert "is locked" in (seen.no_suggestions or "")
        assert "DROP INDEX busy" in {each.query for each in seen.sessions}
        left = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{DB}' AND usename = 'postgres'"
        assert await asked.server.run(SUPERUSER, left, "postgres") == [(0,)]
        await holder.execute("ROLLBACK")


async def test_database_that_is_not_there_is_said_to_be(asked: Effects) -> None:
    with pytest.raises(NotFound, match="no database 'nowhere'"):
        await look(asked, "nowhere")
