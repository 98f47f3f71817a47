"""No name is given the same password twice, whatever became of its user: Postgres remembers, where no user can look."""

from collections.abc import AsyncGenerator

import psycopg
import pytest
from postgres_servers import CLUSTER_ID, MASTER_KEY, Effects, cluster_spec
from psycopg.conninfo import make_conninfo

from activities.postgres.catalog import CatalogActivities
from activities.postgres.passwords import former_users, last_version
from activities.postgres.reconcile import ReconcileActivities
from activities.routing.pooled_sessions import PooledSessions
from model.cluster import UNKNOWN_PASSWORD, FormerUser, Role, User
from model.effects import DropUserInput, ReconcileInput
from model.facts import UserIs
from model.names import POOLER_USER, REPLICATOR
from model.secrets import derive_password, scram_verifier

pytest_plugins = ("postgres_fixtures",)
pytestmark = pytest.mark.integration


class Names:
    """What operations do about one user."""

    def __init__(self, effects: Effects, name: str) -> None:
        self.effects, self.name = effects, name

    async def create(self, least: int = 1) -> int | None:
        arg = self.effects.user_input(self.name, Role.WRITER, least)
        return (await self.effects.roles.create_user(arg.model_copy(update={"new_password": True}))).version

    async def rotate(self, least: int) -> int | None:
        arg = self.effects.user_input(self.name, Role.WRITER, least)
        return (await self.effects.roles.set_password(arg.model_copy(update={"new_password": True}))).version

    async def put(self, version: int) -> int | None:
        return (await self.effects.roles.set_password(self.effects.user_input(self.name, Role.WRITER, version))).version

    async def delete(self, version: int = 0) -> None:
        target = self.effects.server.target
        arg = DropUserInput(target=target, username=self.name, role=Role.WRITER, password_version=version)
        await self.effects.roles.drop_user(arg)

    async def lets_in(self, version: int) -> bool:
        address, password = self.effects.server.address, derive_password(MASTER_KEY, CLUSTER_ID, self.name, version)
        conninfo = make_conninfo(host=address, user=self.name, password=password, dbname="fly-db", connect_timeout=5)
        try:
            async with await psycopg.AsyncConnection.connect(conninfo):
                return True
        except psycopg.OperationalError as error:
            if "password authentication failed" not in str(error):
                raise
            return False


async def test_user_made_again_has_another_password_and_the_old_one_is_refused(effects: Effects) -> None:
    amy = Names(effects, "again")
    assert await amy.create() == 1
    await amy.delete(1)
    assert await amy.create() == 2
    assert (await amy.lets_in(1), await amy.lets_in(2)) == (False, True)
    assert await amy.rotate(3) == 3
    await amy.delete()
    assert await amy.create() == 4
    assert [await amy.lets_in(version) for version in range(1, 5)] == [False, False, False, True]


async def test_second_try_gives_the_same_password(effects: Effects) -> None:
    ben = Names(effects, "twice-tried")
    assert [await ben.create() for _ in range(2)] == [1, 1]
    assert [await ben.rotate(2) for _ in range(2)] == [2, 2]


async def test_creation_that_was_undone_and_rotation_that_was_undone_use_up_a_password(effects: Effects) -> None:
    cleo = Names(effects, "undone")
    await cleo.create()
    await cleo.delete()
    assert await cleo.create() == 2
    assert await cleo.rotate(3) == 3
    assert await cleo.put(2) == 2, "what was in force before is put back as it was"
    assert await cleo.lets_in(2)
    assert await cleo.rotate(3) == 4


async def test_what_the_record_knows_counts_where_postgres_has_forgotten(effects: Effects) -> None:
    dan = Names(effects, "known-on-record")
    assert await dan.create(least=7) == 7
    other = Names(effects, "deleted-unseen")
    await other.delete(3)
    assert await other.create() == 4
    # A role that the record does not name any more: its end was lost with the last commits of an old primary.
    await other.rotate(5)
    assert await other.create(least=6) == 6


async def test_password_that_is_not_known_is_followed_by_one_that_was_never_in_force(
    effects: Effects, reconcile: ReconcileActivities
) -> None:
    eve = Names(effects, "unknown")
    await eve.create()
    await effects.server.run("postgres", "ALTER ROLE unknown PASSWORD 'chosen'")
    assert await eve.rotate(1) == 2
    await eve.delete()
    user = User(name=eve.name, role=Role.WRITER, password_version=UNKNOWN_PASSWORD)
    arg = ReconcileInput(target=effects.server.target, spec=cluster_spec(user), username=eve.name)
    assert (await reconcile.reconcile_record(arg)).facts == (
        UserIs(user=user.model_copy(update={"password_version": 3})),
    )
    assert await eve.lets_in(3)


@pytest.fixture
async def reconcile() -> AsyncGenerator[ReconcileActivities]:
    made = ReconcileActivities(MASTER_KEY, PooledSessions(MASTER_KEY))
    yield made
    await made.close()


async def test_deleted_users_are_read_back_from_postgres(effects: Effects) -> None:
    for name, version in (("gone-a", 3), ("gone-b", 1)):
        await Names(effects, name).create(version)
        await Names(effects, name).delete(version)
    await Names(effects, "stays").create()
    found = (await CatalogActivities(effects.sql, MASTER_KEY).read_catalog(effects.server.target)).former_users
    assert found[-2:] == tuple(
        FormerUser(name=name, password_version=version) for name, version in (("gone-a", 3), ("gone-b", 1))
    )
    assert "stays" not in {each.name for each in found}


async def test_nobody_but_the_platform_sees_or_changes_what_is_remembered(effects: Effects) -> None:
    await Names(effects, "curious").create()
    query = (
        "SELECT r.rolname::text FROM pg_roles r, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS may"
        " WHERE NOT r.rolsuper AND has_table_privilege(r.rolname, 'mpg.password_versions', may)"
        " AND r.rolname NOT IN ('pg_read_all_data', 'pg_write_all_data')"
    )
    assert await effects.server.run("postgres", query, "postgres") == []
    for name in ("curious", POOLER_USER, REPLICATOR):
        may_connect = f"SELECT has_database_privilege('{name}', 'postgres', 'CONNECT')"
        assert await effects.server.run("postgres", may_connect, "postgres") == [(name == REPLICATOR,)]


async def test_cluster_without_memory_answers_and_begins_one(effects: Effects) -> None:
    await effects.server.run("postgres", "DROP TABLE IF EXISTS mpg.password_versions", "postgres")
    async with effects.sql.use(effects.server.target) as connection:
        assert await last_version(connection, "anybody") == 0
        assert await former_users(connection, []) == ()
    fred = Names(effects, "older")
    await effects.make_user(fred.name, Role.WRITER)
    assert await fred.rotate(2) == 2
    verifier = scram_verifier(MASTER_KEY, CLUSTER_ID, fred.name, 2)
    found = await effects.server.run("postgres", "SELECT rolpassword FROM pg_authid WHERE rolname = 'older'")
    assert found == [(verifier,)]
