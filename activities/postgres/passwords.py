"""The last version of each name's password, kept in Postgres: no name of a cluster is given the same password twice.

A table of the platform's own in the database ``postgres``, which users cannot enter; only the superuser has rights on
it. It outlives the users, and the cluster's record: a row stays when its user is deleted, or was made in vain. A row is
some hundred bytes, for each name that the cluster ever had.
"""

from psycopg.sql import SQL, Identifier

from activities.postgres.sql import Connection
from activities.postgres.statements import script
from model.cluster import FORMER_USERS, FormerUser
from model.names import PLATFORM_SCHEMA

_TABLE = Identifier(PLATFORM_SCHEMA, "password_versions")
_IS_THERE = "SELECT to_regclass('mpg.password_versions') IS NOT NULL"
_MAKE = script(
    SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(PLATFORM_SCHEMA)),
    SQL("REVOKE ALL ON SCHEMA {} FROM PUBLIC").format(Identifier(PLATFORM_SCHEMA)),
    SQL(
        "CREATE TABLE {} (username text PRIMARY KEY, version integer NOT NULL, changed_at timestamptz NOT NULL)"
    ).format(_TABLE),
    SQL("REVOKE ALL ON TABLE {} FROM PUBLIC").format(_TABLE),
)
_REMEMBER = SQL(
    "INSERT INTO {} AS kept VALUES (%s, %s, now()) ON CONFLICT (username) DO UPDATE"
    " SET version = greatest(kept.version, excluded.version), changed_at = excluded.changed_at"
).format(_TABLE)
_LAST = SQL("SELECT version FROM {} WHERE username = %s").format(_TABLE)
_FORMER = SQL(
    "SELECT username, version FROM {} WHERE username <> ALL(%s) ORDER BY changed_at DESC, username LIMIT %s"
).format(_TABLE)


async def last_version(connection: Connection, name: str) -> int:
    """Return the last version that a password of *name* had; 0 where none is remembered."""
    if not await _is_there(connection):
        return 0
    row = await (await connection.execute(_LAST, (name,))).fetchone()
    return int(row[0]) if row else 0


async def remember(connection: Connection, name: str, version: int) -> None:
    """Keep that *name* had the password of *version*; a later one that is remembered stays."""
    if not await _is_there(connection):
        await connection.execute(_MAKE)
    await connection.execute(_REMEMBER, (name, version))


async def forget_all(connection: Connection) -> None:
    """Forget every name: the passwords are those of another cluster."""
    if await _is_there(connection):
        await connection.execute(SQL("DELETE FROM {}").format(_TABLE))


async def former_users(connection: Connection, present: list[str]) -> tuple[FormerUser, ...]:
    """Return those that had a password and are not *present*: the thousand latest, the latest at the end."""
    if not await _is_there(connection):
        return ()
    rows = await (await connection.execute(_FORMER, (present, FORMER_USERS))).fetchall()
    return tuple(FormerUser(name=name, password_version=version) for name, version in reversed(rows))


async def _is_there(connection: Connection) -> bool:
    row = await (await connection.execute(_IS_THERE)).fetchone()
    return bool(row and row[0])
