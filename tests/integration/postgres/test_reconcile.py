"""Postgres and the record brought to agree, after an operation on a user or a database that was lost halfway."""

from collections.abc import AsyncGenerator

import psycopg
import pytest
from postgres_servers import ANN, MASTER_KEY, Effects, cluster_spec

from activities.postgres.reconcile import ReconcileActivities
from activities.routing.pooled_sessions import PooledSessions
from model.cluster import ClusterSpec, Database, Role, User
from model.effects import ReconcileInput
from model.facts import DatabaseGone, DatabaseIs, Fact
from model.names import DEFAULT_USER

pytest_plugins = ("postgres_fixtures",)
pytestmark = pytest.mark.integration

LOST = "lost"
ROLES = "SELECT rolname::text FROM pg_roles WHERE rolname = 'lost'"
GROUPS = (
    "SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = 'lost'::regrole"
)


@pytest.fixture
async def reconcile() -> AsyncGenerator[ReconcileActivities]:
    made = ReconcileActivities(MASTER_KEY, PooledSessions(MASTER_KEY))
    yield made
    await made.close()


async def settle(
    reconcile: ReconcileActivities,
    effects: Effects,
    recorded: ClusterSpec,
    *,
    user: str | None = None,
    database: str | None = None,
    undone: bool = False,
) -> tuple[Fact, ...]:
    arg = ReconcileInput(target=effects.server.target, spec=recorded, username=user, database=database, undone=undone)
    first = await reconcile.reconcile_record(arg)
    assert await reconcile.reconcile_record(arg) == first, "it can be repeated"
    return first.facts


async def test_user_that_is_not_on_record_goes_and_its_objects_stay(
    people: Effects, reconcile: ReconcileActivities
) -> None:
    await people.make_user(LOST, Role.SCHEMA_ADMIN)
    await people.server.run(LOST, "CREATE TABLE public.left_behind AS SELECT 7 AS n")
    await settle(reconcile, people, cluster_spec(), user=LOST)
    assert await people.server.run("postgres", ROLES) == []
    assert await people.server.run(ANN, "SELECT n FROM public.left_behind") == [(7,)]
    await people.server.run(ANN, "DROP TABLE public.left_behind")


async def test_user_on_record_is_put_back_with_role_and_password(
    people: Effects, reconcile: ReconcileActivities
) -> None:
    recorded = User(name=LOST, role=Role.READER, password_version=3)
    people.server.passwords[LOST] = 3
    for halfway in ("nothing", "another role", "another password"):
        if halfway == "another role":
            await people.roles.set_user_role(people.user_input(LOST, Role.WRITER, 3))
        if halfway == "another password":
            await people.roles.set_password(people.user_input(LOST, Role.READER, 4))
        await settle(reconcile, people, cluster_spec(recorded), user=LOST)
        assert await people.server.run("postgres", GROUPS) == [("reader",)], halfway
        assert await people.server.run(LOST, "SELECT current_user::text") == [(LOST,)], halfway
    await settle(reconcile, people, cluster_spec(), user=LOST)


async def test_database_that_is_there_is_recorded_and_keeps_its_data(
    people: Effects, reconcile: ReconcileActivities
) -> None:
    await people.make_database(LOST)
    await people.server.run(DEFAULT_USER, "CREATE TABLE kept AS SELECT 1 AS n", LOST)
    assert await settle(reconcile, people, cluster_spec(), database=LOST) == (DatabaseIs(database=Database(name=LOST)),)
    assert await settle(reconcile, people, cluster_spec(databases=(LOST,)), database=LOST) == ()
    assert await people.server.run(DEFAULT_USER, "SELECT n FROM kept", LOST) == [(1,)]
    # Its caller was told that it was not made.
    assert await settle(reconcile, people, cluster_spec(), database=LOST, undone=True) == ()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        await people.server.connect(DEFAULT_USER, LOST)


async def test_database_that_is_gone_is_recorded_as_gone(people: Effects, reconcile: ReconcileActivities) -> None:
    assert await settle(reconcile, people, cluster_spec(databases=(LOST,)), database=LOST) == (DatabaseGone(name=LOST),)
    assert await settle(reconcile, people, cluster_spec(), database=LOST) == ()


async def test_database_that_never_took_connections_is_removed(people: Effects, reconcile: ReconcileActivities) -> None:
    await people.server.run("postgres", f"CREATE DATABASE {LOST} ALLOW_CONNECTIONS false", "postgres")
    assert await settle(reconcile, people, cluster_spec(), database=LOST) == ()
    assert await people.server.run("postgres", f"SELECT FROM pg_database WHERE datname = '{LOST}'") == []


async def test_every_user_on_record_gets_the_plans_limit(people: Effects, reconcile: ReconcileActivities) -> None:
    await people.server.run("postgres", f'ALTER ROLE "{DEFAULT_USER}" CONNECTION LIMIT 1', "postgres")
    await settle(reconcile, people, cluster_spec())
    limit = f"SELECT rolconnlimit > 1 FROM pg_roles WHERE rolname = '{DEFAULT_USER}'"
    assert await people.server.run("postgres", limit) == [(True,)]
