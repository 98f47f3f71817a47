"""What each role may and may not do, in every database, for what exists and what is made later."""

import psycopg
import pytest
from postgres_servers import ANN, BOB, CLUSTER_ID, MASTER_KEY, RITA, WILL, Effects, allowed
from psycopg.errors import InsufficientPrivilege

from model.cluster import Role
from model.names import POOLER_USER, REPLICATOR
from model.secrets import scram_verifier

pytest_plugins = ("postgres_fixtures",)
pytestmark = pytest.mark.integration

ADMIN, WRITING, ALL, NOBODY = {Role.SCHEMA_ADMIN}, {Role.SCHEMA_ADMIN, Role.WRITER}, set(Role), set[Role]()
USERS = {Role.SCHEMA_ADMIN: BOB, Role.WRITER: WILL, Role.READER: RITA}
MATRIX: dict[str, tuple[str, set[Role]]] = {
    "create a table": ("CREATE TABLE made (id int)", ADMIN),
    "create a view": ("CREATE VIEW seen AS SELECT 1", ADMIN),
    "create a function": ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", ADMIN),
    "create a schema": ("CREATE SCHEMA made", ADMIN),
    "create a table of another owner's schema": ("CREATE TABLE mpg.made (id int)", NOBODY),
    "select": ("SELECT * FROM notes", ALL),
    "insert with a serial": ("INSERT INTO notes (text) VALUES ('x')", WRITING),
    "update": ("UPDATE notes SET text = 'x'", WRITING),
    "delete": ("DELETE FROM notes", WRITING),
    "truncate": ("TRUNCATE notes", ADMIN),
    "alter another's table": ("ALTER TABLE notes ADD extra int", ADMIN),
    "drop another's table": ("DROP TABLE notes", ADMIN),
    "comment on another's table": ("COMMENT ON TABLE notes IS 'x'", ADMIN),
    "index another's table": ("CREATE INDEX ON notes (text)", ADMIN),
    "read a sequence": ("SELECT last_value FROM notes_id_seq", ALL),
    "advance a sequence": ("SELECT nextval('notes_id_seq')", WRITING),
    "make a temporary table": ("CREATE TEMPORARY TABLE t (id int)", WRITING),
    "create a trusted extension": ("CREATE EXTENSION citext", ADMIN),
    "create an untrusted extension": ("CREATE EXTENSION dblink", NOBODY),
    "create a role": ("CREATE ROLE made", NOBODY),
    "become a group it is not in": ("SET ROLE mpg_replicator", NOBODY),
    "become superuser": ("SET ROLE postgres", NOBODY),
    "set the session's user": ("SET SESSION AUTHORIZATION postgres", NOBODY),
    "join a predefined role": ("GRANT pg_read_all_data TO CURRENT_USER", NOBODY),
    "give itself replication": ("ALTER ROLE SESSION_USER REPLICATION", NOBODY),
    "give itself CREATEDB": ("ALTER ROLE SESSION_USER CREATEDB", NOBODY),
    "lift its connection limit": ("ALTER ROLE SESSION_USER CONNECTION LIMIT -1", NOBODY),
    "bring others into its group": ("GRANT schema_admin TO rita", NOBODY),
    "create a database": ("CREATE DATABASE made", NOBODY),
    "rename the database": ('ALTER DATABASE "fly-db" RENAME TO taken', NOBODY),
    "drop the database": ("DROP DATABASE other", NOBODY),
    "change the database's settings": ('ALTER DATABASE "fly-db" SET work_mem = 1', NOBODY),
    "read pg_authid": ("SELECT rolpassword FROM pg_authid", NOBODY),
    "read pg_shadow": ("SELECT passwd FROM pg_shadow", NOBODY),
    "call the poolers' lookup": ("SELECT * FROM mpg.user_lookup('ann')", NOBODY),
    "replace the poolers' lookup": ("DROP FUNCTION mpg.user_lookup(text)", NOBODY),
    "copy to a program": ("COPY (SELECT 1) TO PROGRAM 'true'", NOBODY),
    "copy from a file": ("CREATE TEMP TABLE c (t text); COPY c FROM '/etc/passwd'", NOBODY),
    "read a file": ("SELECT pg_read_file('/etc/passwd')", NOBODY),
    "list a directory": ("SELECT pg_ls_dir('/')", NOBODY),
    "alter the system": ("ALTER SYSTEM SET work_mem = '1MB'", NOBODY),
    "turn off waiting for the standby for all": ("ALTER ROLE ALL SET synchronous_commit = off", NOBODY),
    "switch WAL": ("SELECT pg_switch_wal()", NOBODY),
    "make a replication slot": ("SELECT pg_create_physical_replication_slot('s')", NOBODY),
    "follow every table": ("CREATE PUBLICATION p FOR ALL TABLES", NOBODY),
    "end the platform's sessions": (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
        NOBODY,
    ),
    "create an event trigger": (
        "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        " CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION e()",
        NOBODY,
    ),
}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("action", list(MATRIX))
async def test_each_role_may_do_what_the_table_says_and_nothing_else(people: Effects, action: str, role: Role) -> None:
    if action == "drop the database":
        await people.make_database("other")
    statement, may = MATRIX[action]
    assert await allowed(people, USERS[role], statement) is (role in may)


async def test_reader_reads_a_table_that_another_schema_admin_makes_later_in_a_new_database(people: Effects) -> None:
    await people.make_database("later")
    await people.server.run(BOB, "CREATE SCHEMA s", "later")
    await people.server.run(BOB, "CREATE TABLE s.t AS SELECT 7 AS n", "later")
    assert await people.server.run(RITA, "SELECT n FROM s.t", "later") == [(7,)]
    assert not await allowed(people, RITA, "INSERT INTO s.t VALUES (1)", "later")


async def test_writer_writes_a_table_made_later_in_a_schema_made_later(people: Effects) -> None:
    await people.make_database("later-still")
    await people.server.run(ANN, "CREATE SCHEMA s", "later-still")
    await people.server.run(BOB, "CREATE TABLE s.t (id bigserial, n int)", "later-still")
    await people.server.run(WILL, "INSERT INTO s.t (n) VALUES (1)", "later-still")
    assert not await allowed(people, WILL, "CREATE TABLE s.u (id int)", "later-still")


async def test_users_made_after_the_tables_have_their_rights(people: Effects) -> None:
    await people.make_user("late-reader", Role.READER)
    assert await people.server.run("late-reader", "SELECT count(*) FROM notes") == [(1,)]


async def test_what_a_schema_admin_makes_belongs_to_the_group(people: Effects) -> None:
    await people.server.run(ANN, "CREATE TABLE IF NOT EXISTS owned (id int)")
    owner = await people.server.run("postgres", "SELECT tableowner::text FROM pg_tables WHERE tablename = 'owned'")
    assert owner == [("schema_admin",)]


async def test_schema_admin_that_leaves_its_group_can_make_nothing(people: Effects) -> None:
    async with await people.server.connect(ANN) as connection:
        await connection.execute("SET ROLE NONE")
        for statement in ("CREATE TABLE public.mine (id int)", "CREATE SCHEMA mine", "SELECT * FROM public.notes"):
            with pytest.raises(InsufficientPrivilege):
                await connection.execute(statement.encode())


async def test_discard_all_leaves_a_schema_admin_in_its_group(people: Effects) -> None:
    """PgBouncer sends it between clients in session mode."""
    async with await people.server.connect(ANN) as connection:
        await connection.execute("DISCARD ALL")
        cursor = await connection.execute("SELECT current_user::text")
        assert await cursor.fetchone() == ("schema_admin",)


@pytest.mark.parametrize("database", ["postgres", "template1"])
@pytest.mark.parametrize("user", [ANN, WILL, RITA, POOLER_USER])
async def test_nobody_but_the_platform_connects_to_its_databases(people: Effects, user: str, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        await people.server.connect(user, database)


async def test_schema_admin_can_drop_a_trusted_extension_it_created(people: Effects) -> None:
    await people.server.run(ANN, "CREATE EXTENSION hstore")
    await people.server.run(WILL, "SELECT 'a=>1'::hstore")
    await people.server.run(BOB, "DROP EXTENSION hstore")


# --- the poolers' role ----------------------------------------------------------------------------------------------


async def test_pooler_finds_users_in_every_database_and_nothing_else(people: Effects) -> None:
    await people.make_database("looked-up")
    query = "SELECT username, password FROM mpg.user_lookup('rita')"
    found = await people.server.run(POOLER_USER, query, "looked-up")
    assert found == [(RITA, scram_verifier(MASTER_KEY, CLUSTER_ID, RITA))]
    for statement in ("SELECT * FROM pg_authid", "CREATE TABLE t (id int)", "CREATE TEMP TABLE t (id int)"):
        assert not await allowed(people, POOLER_USER, statement, "looked-up")
    assert not await allowed(people, POOLER_USER, "SELECT * FROM notes")


@pytest.mark.parametrize("name", ["postgres", REPLICATOR, POOLER_USER, "schema_admin", "nobody", ""])
async def test_pooler_finds_neither_superusers_nor_platform_roles(people: Effects, name: str) -> None:
    assert await people.server.run(POOLER_USER, f"SELECT * FROM mpg.user_lookup('{name}')") == []
