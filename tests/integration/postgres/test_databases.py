"""Databases: made complete, made once, and removed only when nobody is in them."""

import asyncio
from collections.abc import AsyncGenerator

import psycopg
import pytest
from docker.models.networks import Network as DockerNetwork
from postgres_servers import CLUSTER_ID, MASTER_KEY, Effects, start_pooler
from psycopg.errors import InsufficientPrivilege

from activities.postgres.databases import put_database
from activities.routing.pooler_console import Console
from model.cluster import Endpoint, Pooler, PoolMode, Role
from model.effects import DropDatabaseInput
from model.errors import NotYet, Refused

pytest_plugins = ("postgres_fixtures",)
pytestmark = pytest.mark.integration

Pooled = tuple[Endpoint, Pooler]

ODD_NAMES = ('d"b', "d-b", "dä", "d" * 63, "Select", "{x}", "$1")


@pytest.fixture(scope="module", params=list(PoolMode))
async def pooled(
    request: pytest.FixtureRequest, effects: Effects, sql_network: DockerNetwork
) -> AsyncGenerator[tuple[Endpoint, Pooler]]:
    """A pooler in front of the primary, in each mode."""
    container, endpoint, pooler = start_pooler(sql_network, effects.server, request.param)
    try:
        console = await Console.wait_until_answers(
            endpoint.address, pooler.port, master_key=MASTER_KEY, cluster_id=CLUSTER_ID
        )
        await console.close()
        yield endpoint, pooler
    finally:
        container.remove(force=True, v=True)


async def drop(effects: Effects, name: str, *, force: bool = False) -> None:
    arg = DropDatabaseInput(target=effects.server.target, database=name, force=force)
    await effects.databases.drop_database(arg)


async def exists(effects: Effects, name: str) -> bool:
    rows = await effects.server.run("postgres", "SELECT datname::text FROM pg_database", "postgres")
    return (name,) in rows


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_database_with_an_odd_name_can_be_made_used_and_removed(effects: Effects, name: str) -> None:
    await effects.make_database(name)
    assert await effects.server.run("fly-user", "SELECT current_database()::text", name) == [(name,)]
    await drop(effects, name)
    assert not await exists(effects, name)


async def test_making_a_database_twice_keeps_what_is_in_it(effects: Effects) -> None:
    await effects.make_database("kept")
    await effects.server.run("fly-user", "CREATE TABLE t (id int)", "kept")
    await effects.make_database("kept")
    await effects.server.run("fly-user", "SELECT * FROM t", "kept")


async def test_database_left_half_made_is_not_connectable_until_it_is_finished(effects: Effects) -> None:
    await effects.server.run("postgres", "CREATE DATABASE half ALLOW_CONNECTIONS false", "postgres")
    with pytest.raises(psycopg.OperationalError):
        await effects.server.connect("fly-user", "half")
    await effects.make_database("half")
    await effects.server.run("fly-user", "CREATE SCHEMA s; CREATE TEMP TABLE t (id int)", "half")
    await effects.make_user("half-reader", Role.READER)
    with pytest.raises(InsufficientPrivilege):
        await effects.server.run("half-reader", "CREATE TEMP TABLE t (id int)", "half")


async def test_database_whose_removal_was_interrupted_is_made_anew(effects: Effects) -> None:
    await effects.make_database("invalid")
    query = "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'invalid'"
    await effects.server.run("postgres", query, "postgres")
    await effects.make_database("invalid")
    await effects.server.run("fly-user", "SELECT 1", "invalid")


async def test_connection_that_made_a_database_waits_for_the_standby_as_before(effects: Effects) -> None:
    """Making one changes settings of the platform's session, which is kept and used for everything else."""
    settings = "SELECT current_setting('synchronous_commit'), current_setting('wal_compression')"
    async with await effects.sql.open(effects.server.target) as connection:
        before = await (await connection.execute(settings)).fetchone()
        await put_database(connection, "made")
        assert await (await connection.execute(settings)).fetchone() == before
        async with await effects.sql.open(effects.server.target, "template1"):
            with pytest.raises(NotYet):
                await put_database(connection, "not-made")
        assert await (await connection.execute(settings)).fetchone() == before


async def test_databases_made_at_once_are_all_made(effects: Effects) -> None:
    names = [f"at-once-{n}" for n in range(4)]
    await asyncio.gather(*(effects.make_database(name) for name in names))
    for name in names:
        await effects.server.run("fly-user", "SELECT 1", name)
        # Its session has been closed, and may take a moment to be gone.
        await drop(effects, name, force=True)


async def test_database_with_sessions_is_removed_only_by_force(effects: Effects) -> None:
    await effects.make_database("busy")
    sessions = [await effects.server.connect("fly-user", "busy") for _ in range(2)]
    with pytest.raises(Refused, match="there are 2 sessions in it") as refusal:
        await drop(effects, "busy")
    assert "--force" in refusal.value.remedy
    for session in sessions:
        await session.execute("SELECT 1")
    await drop(effects, "busy", force=True)
    assert not await exists(effects, "busy")
    with pytest.raises(psycopg.OperationalError):
        await sessions[0].execute("SELECT 1")


async def test_removing_a_database_that_is_gone_is_done(effects: Effects) -> None:
    await drop(effects, "never-was")


async def drop_behind(effects: Effects, pooled: Pooled, name: str) -> None:
    endpoint, pooler = pooled
    await effects.databases.drop_database(
        DropDatabaseInput(
            target=effects.server.target, database=name, force=False, endpoint=endpoint, poolers=(pooler,)
        )
    )


@pytest.mark.parametrize("name", ["released", 'rel"eased', "rel-eäsed"])
async def test_server_connection_that_a_pooler_keeps_for_nobody_does_not_keep_a_database(
    effects: Effects, pooled: Pooled, name: str
) -> None:
    await effects.make_database(name)
    async with await effects.server.connect("fly-user", name, through=pooled[0].pooled) as client:
        await client.execute("SELECT 1")
    with pytest.raises(Refused, match="there is 1 session in it"):
        await drop(effects, name)
    await drop_behind(effects, pooled, name)
    assert not await exists(effects, name)


async def test_idle_client_of_a_pooler_keeps_a_database(effects: Effects, pooled: Pooled) -> None:
    await effects.make_database("kept-by-client")
    async with await effects.server.connect("fly-user", "kept-by-client", through=pooled[0].pooled) as client:
        await client.execute("SELECT 1")
        with pytest.raises(Refused, match="there is 1 session in it"):
            await drop_behind(effects, pooled, "kept-by-client")
        await client.execute("SELECT 1")
    await drop_behind(effects, pooled, "kept-by-client")


async def test_idle_direct_session_keeps_a_database_that_a_pooler_released(effects: Effects, pooled: Pooled) -> None:
    await effects.make_database("kept-direct")
    async with await effects.server.connect("fly-user", "kept-direct") as session:
        with pytest.raises(Refused, match="there is 1 session in it"):
            await drop_behind(effects, pooled, "kept-direct")
        await session.execute("SELECT 1")
    await drop_behind(effects, pooled, "kept-direct")


async def test_new_user_and_database_work_through_a_pooler_at_once_with_the_users_role(
    effects: Effects, pooled: Pooled
) -> None:
    name = f"new-{pooled[1].pool_mode}"
    await effects.make_database(name)
    await effects.make_user(name, Role.SCHEMA_ADMIN)
    for table in ("first", "second"):
        async with await effects.server.connect(name, name, through=pooled[0].pooled) as client:
            await client.execute(f"CREATE TABLE {table} (id int)".encode())
    owners = await effects.server.run(
        "postgres", "SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'public'", name
    )
    assert owners == [("schema_admin",)]


async def test_role_change_reaches_server_connections_that_a_pooler_keeps(effects: Effects, pooled: Pooled) -> None:
    name = f"lowered-{pooled[1].pool_mode}"
    await effects.make_user(name, Role.SCHEMA_ADMIN)
    async with await effects.server.connect(name, through=pooled[0].pooled) as client:
        await client.execute("SELECT 1")
    await effects.roles.set_user_role(effects.user_input(name, Role.READER))
    async with await effects.server.connect(name, through=pooled[0].pooled) as client:
        with pytest.raises(InsufficientPrivilege):
            await client.execute("CREATE TABLE public.not_any_more (id int)")


@pytest.mark.parametrize("user", ["postgres", "mpg_replicator"])
async def test_platforms_roles_do_not_log_in_through_a_pooler(effects: Effects, pooled: Pooled, user: str) -> None:
    with pytest.raises(psycopg.OperationalError):
        await effects.server.connect(user, through=pooled[0].pooled)
