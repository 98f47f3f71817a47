"""The role system of a cluster: made in a new one, and brought to one that is older than it."""

import asyncio
from typing import LiteralString

from psycopg.sql import Identifier
from temporalio import activity

from activities.heartbeat import heartbeating
from activities.postgres import statements
from activities.postgres.databases import put_database
from activities.postgres.roles import end_sessions, put_user, take_over
from activities.postgres.sql import Connection, SqlSessions
from model import effects
from model.cluster import Role, User
from model.effects import AdoptRolesInput, Nothing, SetUpRolesInput, Target
from model.names import POOLER_USER, REPLICATOR
from model.secrets import scram_verifier

_TEMPLATE = "template1"
_TEMPLATE_FREE_S = 1.0


class RoleSystemActivities:
    """Effects on the whole of a cluster's roles, as the platform's superuser."""

    def __init__(self, sql: SqlSessions, master_key: bytes) -> None:
        """Work through *sql*; verifiers come from *master_key*."""
        self._sql = sql
        self._master_key = master_key

    @activity.defn(name=effects.SET_UP_ROLES.name)
    async def set_up_roles(self, arg: SetUpRolesInput) -> Nothing:
        """Make groups, platform roles and default privileges, then the first users and databases.

        Each part commits by itself, the platform's roles first: the replica's base backup waits for one of them.
        """
        async with heartbeating(), self._sql.use(arg.target) as connection:
            await self._put_system(arg.target, connection)
            for user in arg.users:
                await self._put_user(arg.target, connection, user, arg.connection_limit)
            for database in arg.databases:
                await put_database(connection, database.name)
        return Nothing()

    @activity.defn(name=effects.ADOPT_ROLES.name)
    async def adopt_roles(self, arg: AdoptRolesInput) -> Nothing:
        """Bring users, databases and objects already there under the role system.

        Every object of a role that is neither the platform's nor an extension's becomes the schema admins', in every
        database that can be connected to, and the groups get their rights on it. Attributes and memberships that
        users must not have are taken away. Users' sessions are ended once, because a session keeps the role that it
        logged in with. Raises :class:`~model.errors.NotYet` when something stays locked.
        """
        async with heartbeating(), self._sql.use(arg.target) as connection:
            await self._put_system(arg.target, connection)
            old = await _foreign_roles(connection)
            for name in old:
                await connection.execute(statements.strip_attributes(name))
            for user in arg.users:
                await self._put_user(arg.target, connection, user, arg.connection_limit)
            for database in await _user_databases(connection):
                await put_database(connection, database)
                await self._adopt_database(arg.target, database, old)
            for user in arg.users:
                await end_sessions(connection, user.name)
        return Nothing()

    async def _put_system(self, target: Target, connection: Connection) -> None:
        await self._put_platform_roles(target, connection)
        await connection.execute(statements.CLOSE_PLATFORM_DATABASES)
        async with self._sql.use(target, _TEMPLATE) as template:
            await template.execute(statements.prepare_database())
        await _await_template_free(connection)

    async def _put_platform_roles(self, target: Target, connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute(statements.KEEP_VERIFIERS_OUT)
            cursor = await connection.execute("SELECT rolname::text FROM pg_roles")
            present = {name for (name,) in await cursor.fetchall()}
            groups = [statements.create_group(role) for role in Role if role not in present]
            platform = [
                statements.put_platform_role(
                    name, scram_verifier(self._master_key, target.cluster_id, name), exists=name in present
                )
                for name in (REPLICATOR, POOLER_USER)
            ]
            await connection.execute(statements.script(*groups, *platform))

    async def _put_user(self, target: Target, connection: Connection, user: User, limit: int) -> None:
        # A password that is not ours stays as it is.
        verifier = (
            scram_verifier(self._master_key, target.cluster_id, user.name, user.password_version)
            if user.password_known
            else None
        )
        async with connection.transaction():
            await put_user(connection, user, limit, verifier)

    async def _adopt_database(self, target: Target, database: str, old: list[str]) -> None:
        async with self._sql.use(target, database) as inside:
            for name in old:
                await take_over(inside, name, rights=False)
            await inside.execute(statements.prepare_database())
            schemas, tables, sequences = [await _owned_by_admins(inside, query) for query in _OWNED]
            if grants := statements.grant_existing(schemas, tables, sequences):
                await inside.execute(grants)


async def _await_template_free(connection: Connection) -> None:
    """Wait until nobody is in template1: CREATE DATABASE would look again only after 100 ms."""
    async with asyncio.timeout(_TEMPLATE_FREE_S):
        while True:
            cursor = await connection.execute("SELECT FROM pg_stat_activity WHERE datname = %s", (_TEMPLATE,))
            if not cursor.rowcount:
                return
            await asyncio.sleep(0.002)


async def _foreign_roles(connection: Connection) -> list[str]:
    """Roles that are neither superusers' own, the platform's, Postgres's, nor the groups."""
    cursor = await connection.execute(
        "SELECT rolname::text FROM pg_roles WHERE oid <> 10 AND rolname !~ '^(pg|mpg)_' AND rolname <> ALL(%s)"
        " ORDER BY 1",
        ([str(role) for role in Role],),
    )
    return [name for (name,) in await cursor.fetchall()]


async def _user_databases(connection: Connection) -> list[str]:
    cursor = await connection.execute(
        "SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres'"
        " AND datconnlimit <> -2 ORDER BY 1"
    )
    return [name for (name,) in await cursor.fetchall()]


_OWNED: tuple[LiteralString, LiteralString, LiteralString] = (
    "SELECT nspname::text FROM pg_namespace WHERE nspowner = %s::regrole ORDER BY 1",
    "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE relowner = %s::regrole AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1, 2",
    "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE relowner = %s::regrole AND relkind = 'S' ORDER BY 1, 2",
)
"""Schemas, tables (views too) and sequences that the schema admins own; not those of extensions."""


async def _owned_by_admins(connection: Connection, query: LiteralString) -> list[Identifier]:
    cursor = await connection.execute(query, (str(Role.SCHEMA_ADMIN),))
    return [Identifier(*name) for name in await cursor.fetchall()]
