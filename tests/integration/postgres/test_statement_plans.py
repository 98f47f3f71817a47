"""Plans of statements that ran: by whom they are made, and which are not."""

import asyncio

import psycopg
import pytest
from postgres_servers import BOB, WILL, Effects

from activities.postgres.statement_plans import MOST_PLANNED, plan_as
from model.cluster import UNKNOWN_PASSWORD, Role, User
from model.effects import ExplainStatementInput, ReadQueriesInput
from model.errors import NotFound, Refused
from model.names import DEFAULT_DATABASE, DEFAULT_USER, SUPERUSER
from model.queries import GONE_USER, StatementAsked, StatementPlan

pytest_plugins = ("postgres_fixtures",)
pytestmark = pytest.mark.integration

USERS = (
    User(name=DEFAULT_USER, role=Role.SCHEMA_ADMIN),
    User(name=BOB, role=Role.SCHEMA_ADMIN),
    User(name=WILL, role=Role.WRITER),
)
WHO_PLANS = """
CREATE FUNCTION who_plans() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_read_only')::bool THEN
        RAISE 'user %, role %, superuser %', session_user, current_user, current_setting('is_superuser');
    END IF;
    RETURN 1;
END $$
"""
"""Says who plans it. It is immutable, so planning calls it; what it was asked for is let run."""
WRITES = """
CREATE TABLE written (by text);
CREATE FUNCTION write() RETURNS int LANGUAGE sql AS 'INSERT INTO written VALUES (current_user) RETURNING 1';
CREATE FUNCTION writes() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN write(); END $$
"""
SLEEPS = """
CREATE FUNCTION sleeps() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(60) WHERE current_setting('transaction_read_only')::bool;
    RETURN 1;
END $$
"""


@pytest.fixture(scope="module")
async def asked(people: Effects) -> Effects:
    await people.queries.read_queries(ReadQueriesInput(target=people.server.target))
    # Other tests ran statements that look alike on this server.
    await people.server.run(SUPERUSER, "SELECT mpg.pg_stat_statements_reset()", "postgres")
    for script in (WHO_PLANS, WRITES, SLEEPS):
        await people.server.run(BOB, script)
    return people


async def statement_of(effects: Effects, text: str) -> str:
    """Return the id of the statement whose text has *text*; statements that differ in names alone have one."""
    query = (
        "SELECT DISTINCT queryid::text FROM mpg.pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid"
        f" WHERE query LIKE '%{text}%' AND query NOT LIKE '%pg_stat_statements%' AND query NOT LIKE 'EXPLAIN%'"
    )
    ((found,),) = await effects.server.run(SUPERUSER, query, "postgres")
    return str(found)


async def ran(effects: Effects, user: str, statement: str, marked: str) -> str:
    """Run a *statement* as *user* and return its id."""
    await effects.server.run(user, statement)
    return await statement_of(effects, marked)


async def plan(
    effects: Effects, statement: str, *, users: tuple[User, ...] = USERS, database: str | None = None, user: str = ""
) -> StatementPlan:
    chosen = StatementAsked(id=statement, database=database, user=user or None, users=users)
    arg = ExplainStatementInput(target=effects.server.target, statement=chosen)
    return await effects.plans.explain_statement(arg)


async def test_plan_is_for_any_values_and_of_the_role_that_the_statement_ran_as(asked: Effects) -> None:
    await asked.server.run(WILL, "SELECT text AS of_will FROM notes WHERE id = 7")
    found = await plan(asked, await statement_of(asked, "of_will"), database=DEFAULT_DATABASE)
    assert "notes" in found.plan
    assert "$1" in found.plan
    assert "$1" in found.query
    assert (found.user, found.database) == (WILL, DEFAULT_DATABASE)
    listed = (await asked.queries.read_queries(ReadQueriesInput(target=asked.server.target))).statements
    assert not any(each.query.startswith("EXPLAIN") for each in listed), "it was no user who asked for that"
    await asked.server.run(BOB, "UPDATE notes SET text = 'by bob' WHERE id = 7")
    assert (await plan(asked, await statement_of(asked, "UPDATE notes SET text"))).user == Role.SCHEMA_ADMIN


@pytest.mark.parametrize(
    ("user", "planner", "role"), [(WILL, WILL, WILL), (BOB, DEFAULT_USER, Role.SCHEMA_ADMIN.value)]
)
async def test_functions_that_planning_calls_run_as_a_user_and_never_as_the_superuser(
    asked: Effects, user: str, planner: str, role: str
) -> None:
    statement = await ran(asked, user, f"SELECT who_plans() AS by_{user}", f"who_plans() AS by_{user}")
    with pytest.raises(Refused, match=f"user {planner}, role {role}, superuser off"):
        await plan(asked, statement, user=role)


async def test_what_planning_calls_cannot_write(asked: Effects) -> None:
    statement = await ran(asked, WILL, "SELECT writes() AS by_will_too", "writes() AS by_will_too")
    by = await asked.server.run(BOB, "SELECT by FROM written")
    assert set(by) == {(WILL,)}
    with pytest.raises(Refused, match="INSERT in a read-only transaction"):
        await plan(asked, statement)
    assert await asked.server.run(BOB, "SELECT by FROM written") == by


async def test_several_commands_in_one_text_are_not_begun(asked: Effects) -> None:
    async with await asked.sql.open_as(asked.server.target, DEFAULT_DATABASE, USERS[0], options="") as session:
        with pytest.raises(Refused, match="multiple commands"):
            await plan_as(session, Role.SCHEMA_ADMIN, "SELECT 1; COMMIT; CREATE TABLE made (id int)")
    assert await asked.server.run(BOB, "SELECT to_regclass('made') IS NULL") == [(True,)]


async def test_group_is_planned_as_a_member_of_it_and_not_as_a_superuser_who_may_become_it(asked: Effects) -> None:
    async with await asked.server.connect(WILL) as session:
        await session.execute("SET ROLE writer")
        await session.execute("SELECT who_plans() AS as_group")
    statement = await statement_of(asked, "as_group")
    with pytest.raises(Refused, match=f"user {WILL}, role writer, superuser off"):
        await plan(asked, statement, user=Role.WRITER)
    with pytest.raises(Refused, match="A superuser does not plan"):
        await plan(asked, statement, user=Role.WRITER, users=(User(name=SUPERUSER, role=Role.WRITER),))


async def test_without_a_user_that_has_its_rights_it_says_so(asked: Effects) -> None:
    statement = await ran(asked, WILL, "SELECT count(*) AS nobodys FROM notes", "nobodys")
    for users in (USERS[:2], (User(name=WILL, role=Role.WRITER, password_version=UNKNOWN_PASSWORD),)):
        with pytest.raises(Refused, match="ran as will, and no user"):
            await plan(asked, statement, users=users)
    with pytest.raises(Refused, match=r"User will cannot log in .* password authentication failed"):
        await plan(asked, statement, users=(User(name=WILL, role=Role.WRITER, password_version=7),))
    await asked.server.run(SUPERUSER, "CREATE ROLE passing LOGIN", "postgres")
    async with await asked.server.connect(SUPERUSER) as session:
        await session.execute("SET SESSION AUTHORIZATION passing")
        await session.execute("SELECT pi() AS of_the_passing")
    statement = await statement_of(asked, "of_the_passing")
    await asked.server.run(SUPERUSER, "DROP ROLE passing", "postgres")
    for user in ("", GONE_USER):
        with pytest.raises(Refused, match="is gone"):
            await plan(asked, statement, user=user)


async def test_platform_and_utility_statements_have_no_plan_and_each_says_why(asked: Effects) -> None:
    statement = await ran(asked, SUPERUSER, "SELECT exp(1) AS of_the_platform", "of_the_platform")
    with pytest.raises(Refused, match="the platform's own"):
        await plan(asked, statement)
    statement = await ran(asked, BOB, "/* why */ ANALYZE notes", "ANALYZE notes")
    with pytest.raises(Refused, match="begins with ANALYZE"):
        await plan(asked, statement)


async def test_id_that_is_none_is_not_found_and_neither_is_another_databases_or_users(asked: Effects) -> None:
    with pytest.raises(NotFound, match="no statement 9999999999999999999"):
        await plan(asked, "9999999999999999999")
    statement = await ran(asked, WILL, "SELECT max(id) AS mine FROM notes", "AS mine")
    with pytest.raises(NotFound, match=f"{statement} of nowhere"):
        await plan(asked, statement, database="nowhere")
    with pytest.raises(NotFound, match=f"{statement} of rita"):
        await plan(asked, statement, user="rita")


async def test_text_that_is_not_whole_is_not_planned(asked: Effects) -> None:
    long = f"SELECT min(id) /* {'x' * MOST_PLANNED} */ AS too_long FROM notes"
    with pytest.raises(Refused, match="more than 100,000 characters"):
        await plan(asked, await ran(asked, WILL, long, "too_long"))
    statement = await ran(asked, WILL, "SELECT avg(id) AS to_be_lost FROM notes", "to_be_lost")
    # Postgres goes on counting, and writes the next text where the file ended.
    lose = "COPY (SELECT) TO '{}/pg_stat_tmp/pgss_query_texts.stat'"
    ((data,),) = await asked.server.run(SUPERUSER, "SHOW data_directory", "postgres")
    await asked.server.run(SUPERUSER, lose.format(data), "postgres")
    try:
        with pytest.raises(Refused, match="lost the text"):
            await plan(asked, statement)
    finally:
        await asked.server.run(SUPERUSER, "SELECT mpg.pg_stat_statements_reset()", "postgres")


async def test_planning_that_waits_or_lasts_is_given_up_and_leaves_no_session(asked: Effects) -> None:
    statement = await ran(asked, WILL, "SELECT text AS held_up FROM notes", "held_up")
    async with await asked.server.connect(BOB) as holder:
        await holder.execute("BEGIN; LOCK TABLE notes")
        with pytest.raises(Refused, match="is locked"):
            await plan(asked, statement)
    statement = await ran(asked, WILL, "SELECT sleeps() AS to_last", "to_last")
    with pytest.raises(Refused, match="took more than 5 s"):
        await plan(asked, statement)
    left = f"SELECT FROM pg_stat_activity WHERE usename = '{WILL}'"
    async with asyncio.timeout(30):
        while await asked.server.run(SUPERUSER, left, "postgres"):
            await asyncio.sleep(0.05)


async def test_table_that_is_gone_is_told_in_postgres_own_words(asked: Effects) -> None:
    await asked.server.run(BOB, "CREATE TABLE brief (id int)")
    statement = await ran(asked, WILL, "SELECT id AS was_brief FROM brief", "was_brief")
    await asked.server.run(BOB, "DROP TABLE brief")
    with pytest.raises(Refused, match=r'As will .* cannot be planned: relation "brief" does not exist'):
        await plan(asked, statement)
    with pytest.raises(psycopg.errors.UndefinedTable):
        await asked.server.run(WILL, "SELECT id FROM brief")
