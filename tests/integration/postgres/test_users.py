"""Users made, changed and deleted; what nobody may see of them; clusters older than the role system."""

import asyncio

import psycopg
import pytest
from postgres_servers import (
    ANN,
    BOB,
    CLUSTER_ID,
    LIMIT,
    MASTER_KEY,
    RITA,
    WILL,
    Effects,
    allowed,
    drop,
    owner_of,
)
from psycopg.errors import AdminShutdown, InsufficientPrivilege, TooManyConnections

from activities.postgres import roles
from model.cluster import Database, Role, User
from model.effects import AdoptRolesInput, ReadQueriesInput, SetConnectionLimitsInput
from model.errors import NotYet, Refused
from model.names import DEFAULT_DATABASE, POOLER_USER, REPLICATOR
from model.secrets import scram_verifier

pytest_plugins = ("postgres_fixtures",)
pytestmark = pytest.mark.integration

ODD_NAMES = ('a"b', "a-b", "ä", "u" * 63, "Select", "{x}", "$1")


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_user_with_an_odd_name_can_be_made_changed_and_deleted(people: Effects, name: str) -> None:
    await people.make_user(name, Role.SCHEMA_ADMIN)
    assert await people.server.run(name, "SELECT session_user::text, current_user::text") == [(name, "schema_admin")]
    await people.roles.set_user_role(people.user_input(name, Role.READER))
    assert await people.server.run(name, "SELECT current_user::text") == [(name,)]
    await drop(people, name)
    with pytest.raises(psycopg.OperationalError):
        await people.server.connect(name)


async def test_making_a_user_twice_changes_nothing(people: Effects) -> None:
    query = (
        "SELECT a.*, m.roleid, m.admin_option, s.setconfig FROM pg_authid a JOIN pg_auth_members m ON m.member = a.oid"
        " JOIN pg_db_role_setting s ON s.setrole = a.oid WHERE rolname = 'twice'"
    )
    shapes: list[list[tuple[object, ...]]] = []
    for _ in range(2):
        await people.make_user("twice", Role.SCHEMA_ADMIN)
        shapes.append(await people.server.run("postgres", query))
    assert shapes[0] == shapes[1]
    assert len(shapes[0]) == 1


async def test_user_may_have_as_many_sessions_as_its_limit(people: Effects) -> None:
    await people.make_user("limited", Role.READER)
    limits = SetConnectionLimitsInput(target=people.server.target, usernames=("limited", "gone"), connection_limit=1)
    await people.roles.set_connection_limits(limits)
    async with await people.server.connect("limited"):
        with pytest.raises((TooManyConnections, psycopg.OperationalError), match="too many connections"):
            await people.server.connect("limited")
    await people.roles.set_connection_limits(limits.model_copy(update={"connection_limit": LIMIT}))


async def test_a_superuser_is_not_made_a_user(people: Effects) -> None:
    with pytest.raises(Refused, match="superuser"):
        await people.roles.create_user(people.user_input("postgres", Role.READER))
    with pytest.raises(Refused, match="superuser"):
        await drop(people, "postgres")


async def test_rotated_password_replaces_the_old_one_and_open_sessions_stay(people: Effects) -> None:
    await people.make_user("rotating", Role.READER)
    async with await people.server.connect("rotating") as session:
        await people.roles.set_password(people.user_input("rotating", Role.READER, version=2))
        await session.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await people.server.connect("rotating")
        people.server.passwords["rotating"] = 2
        await people.server.run("rotating", "SELECT 1")


async def test_rotated_password_ends_sessions_where_that_is_asked_for(people: Effects) -> None:
    await people.make_user("killed", Role.READER)
    session = await people.server.connect("killed")
    arg = people.user_input("killed", Role.READER, version=2).model_copy(update={"end_sessions": True})
    await people.roles.set_password(arg)
    with pytest.raises((AdminShutdown, psycopg.OperationalError)):
        await session.execute("SELECT 1")
    people.server.passwords["killed"] = 2
    await people.server.run("killed", "SELECT 1")


async def test_role_change_takes_a_schema_admins_rights_away_at_once(people: Effects) -> None:
    await people.make_user("demoted", Role.SCHEMA_ADMIN)
    session = await people.server.connect("demoted")
    await people.roles.set_user_role(people.user_input("demoted", Role.READER))
    with pytest.raises((AdminShutdown, psycopg.OperationalError)):
        await session.execute("CREATE TABLE public.late (id int)")
    assert not await allowed(people, "demoted", "CREATE TABLE public.late (id int)")
    assert not await allowed(people, "demoted", "SET ROLE schema_admin")
    assert await allowed(people, "demoted", "SELECT * FROM notes")


async def test_role_change_between_writer_and_reader_holds_for_open_sessions_without_ending_them(
    people: Effects,
) -> None:
    await people.make_user("changing", Role.WRITER)
    async with await people.server.connect("changing") as session:
        await session.execute("UPDATE notes SET text = text")
        await people.roles.set_user_role(people.user_input("changing", Role.READER))
        with pytest.raises(InsufficientPrivilege):
            await session.execute("UPDATE notes SET text = text")
        await session.execute("SELECT * FROM notes")


async def test_reader_made_schema_admin_can_create_at_its_next_session(people: Effects) -> None:
    await people.make_user("promoted", Role.READER)
    await people.roles.set_user_role(people.user_input("promoted", Role.SCHEMA_ADMIN))
    assert await people.server.run("promoted", "SELECT current_user::text") == [("schema_admin",)]
    assert await allowed(people, "promoted", "CREATE TABLE public.fresh (id int)")


async def test_role_change_that_died_before_it_ended_sessions_ends_them_when_tried_again(people: Effects) -> None:
    await people.make_user("interrupted", Role.SCHEMA_ADMIN)
    session = await people.server.connect("interrupted")
    await people.server.run("postgres", "REVOKE schema_admin FROM interrupted; GRANT reader TO interrupted")
    await people.server.run("postgres", "ALTER ROLE interrupted SET mpg.ending_sessions = 'on'")
    await people.roles.set_user_role(people.user_input("interrupted", Role.READER))
    with pytest.raises(psycopg.OperationalError):
        await session.execute("SELECT 1")
    async with await people.server.connect("interrupted") as fresh:
        await people.roles.set_user_role(people.user_input("interrupted", Role.READER))
        await fresh.execute("SELECT 1")


async def test_objects_a_user_owns_itself_become_the_groups_with_its_role_change(people: Effects) -> None:
    await people.make_user("owner", Role.SCHEMA_ADMIN)
    await people.server.run("postgres", "CREATE TABLE own (id int); ALTER TABLE own OWNER TO owner")
    await people.roles.set_user_role(people.user_input("owner", Role.READER))
    assert await owner_of(people, "own") == "schema_admin"


async def test_deleted_users_tables_belong_to_the_group_in_every_database(people: Effects) -> None:
    await people.make_user("leaving", Role.SCHEMA_ADMIN)
    await people.make_database("left")
    for database in (DEFAULT_DATABASE, "left"):
        await people.server.run("leaving", "CREATE TABLE by_group (id int)", database)
        await people.server.run("postgres", "CREATE TABLE by_self (id int)", database)
        await people.server.run("postgres", "ALTER TABLE by_self OWNER TO leaving", database)
        await people.server.run(ANN, "GRANT SELECT ON by_group TO leaving", database)
    session = await people.server.connect("leaving", "left")
    await drop(people, "leaving")
    with pytest.raises(psycopg.OperationalError):
        await session.execute("SELECT 1")
    for database in (DEFAULT_DATABASE, "left"):
        assert await owner_of(people, "by_group", database) == "schema_admin"
        assert await owner_of(people, "by_self", database) == "schema_admin"
    assert await allowed(people, ANN, "DROP TABLE by_self")
    await drop(people, "leaving")


async def test_deleting_a_user_with_locked_objects_says_so_and_can_be_tried_again(
    people: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roles, "LOCK_TIMEOUT_MS", 50)
    await people.make_user("locked", Role.READER)
    await people.server.run("postgres", "CREATE TABLE busy (id int); ALTER TABLE busy OWNER TO locked")
    async with await people.server.connect(BOB) as other:
        await other.set_autocommit(False)
        await people.server.run("postgres", "GRANT SELECT ON busy TO schema_admin")
        await other.execute("SELECT * FROM busy")
        with pytest.raises(NotYet, match="locked by others"):
            await drop(people, "locked")
    await drop(people, "locked")


async def test_concurrent_creations_of_users_all_succeed(people: Effects) -> None:
    names = [f"many-{n}" for n in range(8)]
    await asyncio.gather(*(people.make_user(name, Role.READER) for name in names))
    for name in names:
        await people.server.run(name, "SELECT 1")
        await drop(people, name)


# --- what must not be seen --------------------------------------------------------------------------------------------


async def test_no_verifier_and_no_password_is_in_the_log_or_in_pg_stat_statements(people: Effects) -> None:
    # Where the platform has it: other tests share this server.
    await people.queries.read_queries(ReadQueriesInput(target=people.server.target))
    await people.make_user("secret", Role.WRITER)
    await people.roles.set_password(people.user_input("secret", Role.WRITER, version=2))
    rows = await people.server.run("postgres", "SELECT query FROM mpg.pg_stat_statements", "postgres")
    seen = people.server.log() + "\n".join(str(query) for (query,) in rows)
    assert "statement: SELECT 1" in seen
    assert "SCRAM-SHA-256$" not in seen
    for version in (1, 2):
        assert scram_verifier(MASTER_KEY, CLUSTER_ID, "secret", version) not in seen
    for user in ("secret", ANN, REPLICATOR, POOLER_USER):
        assert people.server.password(user) not in seen


async def test_no_user_can_read_verifiers(people: Effects) -> None:
    for user in (ANN, WILL, RITA):
        rows = await people.server.run(user, "SELECT rolpassword FROM pg_roles WHERE rolpassword <> '********'")
        assert rows == []
        assert not await allowed(people, user, "SELECT * FROM pg_authid")


async def test_platforms_sessions_find_nothing_of_the_users_by_an_unqualified_name(people: Effects) -> None:
    await people.server.run(
        ANN, "CREATE FUNCTION public.count(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'mine'; END $$"
    )
    async with people.sql.use(people.server.target, DEFAULT_DATABASE) as connection:
        cursor = await connection.execute("SHOW search_path")
        assert await cursor.fetchone() == ("pg_catalog",)


# --- clusters older than the role system ------------------------------------------------------------------------------


async def test_opting_in_takes_over_what_users_and_old_roles_own(people: Effects) -> None:
    run = people.server.run
    await run(
        "postgres", "CREATE ROLE old_app LOGIN CREATEDB CREATEROLE; CREATE ROLE elder LOGIN SUPERUSER", "postgres"
    )
    await run("postgres", "GRANT pg_read_all_data TO elder", "postgres")
    await run("postgres", "CREATE DATABASE legacy OWNER old_app TEMPLATE template0", "postgres")
    await run("postgres", "CREATE SCHEMA app AUTHORIZATION elder", "legacy")
    await run("postgres", "CREATE TABLE app.t AS SELECT 1 AS n; ALTER TABLE app.t OWNER TO elder", "legacy")
    await run("postgres", "CREATE TABLE public.u (id serial); ALTER TABLE public.u OWNER TO old_app", "legacy")
    admins = [User(name=name, role=Role.SCHEMA_ADMIN) for name in ("elder", ANN)]
    adopt = AdoptRolesInput(
        target=people.server.target,
        users=(*admins, User(name=WILL, role=Role.WRITER), User(name=RITA, role=Role.READER)),
        databases=(Database(name="legacy"),),
        connection_limit=LIMIT,
    )
    for _ in range(2):
        await people.system.adopt_roles(adopt)
    assert await owner_of(people, "t", "legacy") == await owner_of(people, "u", "legacy") == "schema_admin"
    assert await run("elder", "SELECT current_user::text", "legacy") == [("schema_admin",)]
    assert await allowed(people, "elder", "DROP TABLE app.t", "legacy")
    assert not await allowed(people, "elder", "SELECT * FROM pg_authid", "legacy")
    assert await allowed(people, WILL, "INSERT INTO public.u DEFAULT VALUES", "legacy")
    assert await run(RITA, "SELECT n FROM app.t", "legacy") == [(1,)]
    await run(ANN, "CREATE TABLE app.later AS SELECT 2 AS n", "legacy")
    assert await run(RITA, "SELECT n FROM app.later", "legacy") == [(2,)]
    assert await run(POOLER_USER, "SELECT username FROM mpg.user_lookup('elder')", "legacy") == [("elder",)]
    rights = await run("postgres", "SELECT rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = 'old_app'")
    owner = await run("postgres", "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'legacy'")
    assert (rights, owner) == ([(False,)], [("postgres",)])
