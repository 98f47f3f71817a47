"""Effect that reads from Postgres what was only in a cluster's record: its users and its databases."""

import asyncio

from temporalio import activity

from activities.heartbeat import heartbeating
from activities.postgres.passwords import former_users
from activities.postgres.sql import Connection, SqlSessions
from activities.postgres.storage_notes import read_notes
from model import effects
from model.adoption import Catalog
from model.cluster import UNKNOWN_PASSWORD, Database, Role, User
from model.effects import Target
from model.errors import Refused
from model.names import DEFAULT_USER
from model.secrets import find_password_version


class CatalogActivities:
    """The effect ``read_catalog``."""

    def __init__(self, sql: SqlSessions, master_key: bytes) -> None:
        """Ask through *sql*; which version of a password is in force is found with *master_key*."""
        self._sql = sql
        self._master_key = master_key

    @activity.defn(name=effects.READ_CATALOG.name)
    async def read_catalog(self, arg: Target) -> Catalog:
        """Return users and databases in the order in which they were made. Nothing is changed, nobody logs in.

        A user's role is its group; one in no group is older than the role system, which makes the cluster
        ``legacy_roles``, and counts as ``schema_admin``. Raises :class:`Refused` for a cluster that was never
        finished.
        """
        async with heartbeating(), self._sql.use(arg) as connection:
            groups = await _column(connection, _GROUPS, [str(role) for role in Role])
            found = await _users(connection)
            databases = await _column(connection, _DATABASES)
            if DEFAULT_USER not in {name for name, _, _ in found} or not databases:
                raise Refused(
                    f"Cluster {arg.cluster_id} is not whole: it lacks its first user or its first database.",
                    remedy="Its creation was cut off. If nothing in it is wanted, remove what carries the label "
                    f"mpg.cluster={arg.cluster_id}.",
                )
            users = [await self._user(arg, name, verifier, roles) for name, verifier, roles in found]
            former = await former_users(connection, [user.name for user in users])
            storage_gb, auto_grow = await read_notes(connection)
        legacy = len(groups) < len(Role) or any(not roles for _, _, roles in found)
        return Catalog(
            users=tuple(users),
            databases=tuple(Database(name=name) for name in databases),
            legacy_roles=legacy,
            former_users=former,
            storage_gb=storage_gb,
            auto_grow=auto_grow,
        )

    async def _user(self, target: Target, name: str, verifier: str | None, roles: list[str]) -> User:
        # In a thread: it is work for the processor, and a password that is not ours takes all tries.
        version = await asyncio.to_thread(find_password_version, self._master_key, target.cluster_id, name, verifier)
        role = next((role for role in Role if role in roles), Role.SCHEMA_ADMIN)
        return User(name=name, role=role, password_version=version or UNKNOWN_PASSWORD)


async def user_names(connection: Connection) -> list[str]:
    """Return the names of the users, in the order in which they were made."""
    return [name for name, _, _ in await _users(connection)]


async def _users(connection: Connection) -> list[tuple[str, str | None, list[str]]]:
    """Return each user's name, verifier and groups."""
    return await (await connection.execute(_USERS, ([str(role) for role in Role],))).fetchall()


_GROUPS = "SELECT rolname::text FROM pg_roles WHERE rolname = ANY(%s)"
_USERS = (
    "SELECT a.rolname::text, a.rolpassword,"
    " ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid"
    "  WHERE m.member = a.oid AND g.rolname = ANY(%s))"
    " FROM pg_authid a WHERE a.rolcanlogin AND NOT a.rolsuper AND NOT a.rolreplication"
    " AND a.rolname !~ '^(pg|mpg)_' ORDER BY a.oid"
)
_DATABASES = (
    "SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres'"
    " AND datconnlimit <> -2 ORDER BY oid"
)
"""Those that let somebody in: one that is half made does not, and one that is half removed is invalid."""


async def _column(connection: Connection, query: str, *parameters: object) -> list[str]:
    cursor = await connection.execute(query.encode(), parameters)
    return [value for (value,) in await cursor.fetchall()]
