"""Making Postgres and the record agree about a user and a database, after an operation on them that was lost.

For a user the record decides: what was recorded is put back, what was not is taken away, because nobody was told of
it. For a database what is there decides, because what is gone is gone, and data is not removed unasked: one that is
there and not on record is recorded, unless the operation that made it said that it did not.
"""

import psycopg
from temporalio import activity

from activities.postgres.databases import DatabaseActivities, PooledDatabases, put_database
from activities.postgres.roles import RoleActivities, look
from activities.postgres.sql import SqlSessions
from model import effects
from model.cluster import Database, Role
from model.effects import (
    DropDatabaseInput,
    DropUserInput,
    Observation,
    ReconcileInput,
    SetConnectionLimitsInput,
    UserInput,
)
from model.facts import DatabaseGone, DatabaseIs, Fact, UserIs
from model.tuning import connection_limit


class ReconcileActivities:
    """The effect ``reconcile_record``."""

    def __init__(self, master_key: bytes, pooled: PooledDatabases) -> None:
        """Derive passwords from *master_key*; *pooled* is as for :class:`DatabaseActivities`."""
        # The standby may be away just now: what is done here is on it once it has caught up.
        self._sql = SqlSessions(master_key, local_commits=True)
        self._users = RoleActivities(self._sql, master_key)
        self._databases = DatabaseActivities(self._sql, pooled)

    @activity.defn(name=effects.RECONCILE_RECORD.name)
    async def reconcile_record(self, arg: ReconcileInput) -> Observation:
        """Put the user as it is on record, and return what is to be recorded of the database.

        Every user on record gets the plan's connection limit. Raises what the effects on users and databases raise.
        """
        facts: tuple[Fact, ...] = ()
        if arg.username is not None and not arg.spec.legacy_roles:
            facts = await self._user(arg, arg.username)
        if arg.database is not None:
            facts = await self._database(arg, arg.database)
        names = tuple(user.name for user in arg.spec.users)
        limits = SetConnectionLimitsInput(
            target=arg.target, usernames=names, connection_limit=connection_limit(arg.spec.plan)
        )
        await self._users.set_connection_limits(limits)
        return Observation(facts=facts)

    async def _user(self, arg: ReconcileInput, name: str) -> tuple[Fact, ...]:
        user = arg.spec.user(name)
        if user is None:
            # Its objects, if it made any, are the schema admins' then, whatever its role was.
            await self._users.drop_user(DropUserInput(target=arg.target, username=name, role=Role.SCHEMA_ADMIN))
            return ()
        async with self._sql.use(arg.target) as connection:
            there = await look(connection, name) is not None
        facts: tuple[Fact, ...] = ()
        recorded = UserInput(target=arg.target, user=user, connection_limit=connection_limit(arg.spec.plan))
        if user.password_known:
            await self._users.create_user(recorded)
        elif not there:
            # The password that nobody here knew is gone with the role.
            least = user.model_copy(update={"password_version": arg.spec.next_password_version(name)})
            anew = recorded.model_copy(update={"user": least, "new_password": True})
            facts = (UserIs(user=(await self._users.create_user(anew)).of(user)),)
        if there:
            # Ends the sessions that still are what a lost change of role made them.
            await self._users.set_user_role(recorded)
        return facts

    async def _database(self, arg: ReconcileInput, name: str) -> tuple[Fact, ...]:
        async with self._sql.use(arg.target) as connection:
            cursor = await connection.execute("SELECT datallowconn FROM pg_database WHERE datname = %s", (name,))
            row = await cursor.fetchone()
            recorded = arg.spec.database(name) is not None
            if row is None:
                return (DatabaseGone(name=name),) if recorded else ()
            if recorded or (row[0] and not arg.undone):
                try:
                    await put_database(connection, name)
                except psycopg.errors.InvalidCatalogName:  # a DROP that was under way has ended meanwhile
                    return (DatabaseGone(name=name),) if recorded else ()
                return () if recorded else (DatabaseIs(database=Database(name=name)),)
        # Never open to anybody, or made by an operation whose caller was told that it is not there.
        await self._databases.drop_database(DropDatabaseInput(target=arg.target, database=name, force=True))
        return ()

    async def close(self) -> None:
        """Close the connections."""
        await self._sql.close()
