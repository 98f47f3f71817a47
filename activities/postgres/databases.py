"""Databases: made complete or not at all as far as clients can see, and removed when nobody is in them."""

import asyncio
import time
from typing import NamedTuple, Protocol

import psycopg
from psycopg.sql import SQL, Identifier
from temporalio import activity

from activities.heartbeat import heartbeating
from activities.postgres import statements
from activities.postgres.sql import Connection, SqlSessions
from model import effects
from model.cluster import Endpoint, Pooler
from model.effects import DatabaseInput, DropDatabaseInput, Nothing
from model.errors import NotYet, Refused
from model.names import POOLER_USER, SUPERUSER

RELEASE_S = 2.0
"""How long sessions that were closed, by their clients or by the poolers, may take to be gone, in seconds."""
_POLL_S = 0.005
_INVALID = -2
"""``pg_database.datconnlimit`` of a database whose DROP was interrupted (DATCONNLIMIT_INVALID_DB)."""

_BEFORE_CREATION = SQL(
    # The copy is 4.4 MB of WAL, and 1.9 with lz4. A build without it goes on as it is set.
    "SELECT set_config('wal_compression', 'lz4', false) FROM pg_settings"
    " WHERE name = 'wal_compression' AND 'lz4' = ANY (enumvals);"
    # Nobody is told of the database yet: the commit that opens it waits for the standby, and so for all before it.
    " SET synchronous_commit = local"
)
_AFTER_CREATION = SQL("RESET wal_compression; RESET synchronous_commit")


class _Sessions(NamedTuple):
    """Sessions in a database: all, and those that are not the poolers' own to look users up."""

    any: int
    people: int


class PooledDatabases(Protocol):
    """The poolers in front of Postgres, as far as a database that is to be dropped needs them."""

    async def release_database(
        self, cluster_id: str, endpoint: Endpoint, poolers: tuple[Pooler, ...], database: str
    ) -> int:
        """Return how many clients are connected to *database*; if none, close the server connections kept for it."""
        ...


class DatabaseActivities:
    """Effects on databases, as the platform's superuser."""

    def __init__(self, sql: SqlSessions, pooled: PooledDatabases) -> None:
        """Work through *sql*, and ask *pooled* who uses a database through the poolers."""
        self._sql = sql
        self._pooled = pooled

    @activity.defn(name=effects.CREATE_DATABASE.name)
    async def create_database(self, arg: DatabaseInput) -> Nothing:
        """Make the database with the groups' rights on it, or finish what is there of it."""
        async with self._sql.use(arg.target) as connection:
            await put_database(connection, arg.database.name)
        return Nothing()

    @activity.defn(name=effects.DROP_DATABASE.name)
    async def drop_database(self, arg: DropDatabaseInput) -> Nothing:
        """Remove the database.

        A client of a pooler counts as a session whether or not a transaction of it runs; a server connection that a
        pooler keeps for nobody does not, and is closed first. Raises :class:`Refused` when there are sessions and
        ``force`` is not set.
        """
        async with heartbeating(), self._sql.use(arg.target) as connection:
            if await _limit(connection, arg.database) is None:
                return Nothing()
            if not arg.force:
                await self._refuse_sessions(connection, arg)
            await _drop(connection, arg)
        return Nothing()

    async def _refuse_sessions(self, connection: Connection, arg: DropDatabaseInput) -> None:
        clients = 0
        if arg.endpoint is not None and arg.poolers:
            cluster_id = arg.target.cluster_id
            clients = await self._pooled.release_database(cluster_id, arg.endpoint, arg.poolers, arg.database)
        bound = time.monotonic() + (0.0 if clients else RELEASE_S)
        # Postgres does not tell when a session ends; asking is all there is.
        while (there := await _sessions(connection, arg.database)).any and time.monotonic() < bound:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
        if clients or there.people:
            raise _in_use(arg.database, max(clients, there.people))


async def put_database(connection: Connection, name: str) -> None:
    """Make database *name*, unless it is there, and give the groups their rights on it.

    It accepts connections only once it has them, so nobody meets one that is half made. Raises :class:`NotYet` when
    somebody is connected to the template.
    """
    limit = await _limit(connection, name)
    if limit == _INVALID:
        await connection.execute(SQL("DROP DATABASE {}").format(Identifier(name)))
    if limit is None or limit == _INVALID:
        await _create(connection, name)
    await connection.execute(
        statements.script(
            statements.grant_database(name),
            SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(Identifier(name)),
        )
    )


async def _create(connection: Connection, name: str) -> None:
    # WAL_LOG needs no checkpoint; FILE_COPY makes two, which a busy primary feels (docs/architecture.md).
    create = SQL("CREATE DATABASE {} OWNER {} TEMPLATE template1 STRATEGY wal_log ALLOW_CONNECTIONS false")
    await connection.execute(_BEFORE_CREATION)
    try:
        await connection.execute(create.format(Identifier(name), Identifier(SUPERUSER)))
    except psycopg.errors.ObjectInUse:
        raise NotYet("Database template1 is being used, so that no database can be made from it.") from None
    finally:
        if not connection.closed:
            await connection.execute(_AFTER_CREATION)


async def _drop(connection: Connection, arg: DropDatabaseInput) -> None:
    options = SQL(" WITH (FORCE)") if arg.force else SQL("")
    try:
        await connection.execute(SQL("DROP DATABASE IF EXISTS {}{}").format(Identifier(arg.database), options))
    except psycopg.errors.ObjectInUse as error:
        if arg.force:
            raise Refused(
                f"Database {arg.database!r} is in use by something that is not a session: {error.diag.message_detail}",
                remedy="Remove its replication slots and subscriptions first.",
            ) from None
        there = await _sessions(connection, arg.database)
        raise _in_use(arg.database, max(1, there.people)) from None


async def _limit(connection: Connection, name: str) -> int | None:
    """Return the database's connection limit, which also tells whether it is valid; None if there is none."""
    cursor = await connection.execute("SELECT datconnlimit FROM pg_database WHERE datname = %s", (name,))
    row = await cursor.fetchone()
    return int(row[0]) if row else None


async def _sessions(connection: Connection, name: str) -> _Sessions:
    # Parallel workers and autovacuum are nobody's: DROP DATABASE waits for the former and ends the latter.
    cursor = await connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE usename <> %s) FROM pg_stat_activity"
        " WHERE datname = %s AND backend_type IN ('client backend', 'walsender')",
        (POOLER_USER, name),
    )
    row = await cursor.fetchone()
    return _Sessions(*row) if row else _Sessions(0, 0)


def _in_use(database: str, sessions: int) -> Refused:
    are = "is 1 session" if sessions == 1 else f"are {sessions} sessions"
    return Refused(
        f"Database {database!r} is in use: there {are} in it.", remedy="Close them, or end them with --force."
    )
