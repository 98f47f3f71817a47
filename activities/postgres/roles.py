"""Users: their roles in Postgres, what they may do, and their end."""

import asyncio
import time
from dataclasses import dataclass

import psycopg
from psycopg.sql import SQL, Identifier
from temporalio import activity

from activities.heartbeat import heartbeating
from activities.postgres import statements
from activities.postgres.passwords import last_version, remember
from activities.postgres.sql import Connection, SqlSessions
from model import effects
from model.cluster import Role, User
from model.effects import DropUserInput, Nothing, PasswordIs, SetConnectionLimitsInput, Target, UserInput
from model.errors import NotFound, NotYet, Refused
from model.secrets import scram_verifier

SESSIONS_END_S = 5.0
"""How long ended sessions may take to be gone, in seconds."""
LOCK_TIMEOUT_MS = 3000
"""How long taking over a user's objects waits for their locks, in milliseconds: others queue behind that wait."""
_POLL_S = 0.005


@dataclass(frozen=True)
class RoleSeen:
    """What is known of a role that exists. ``memberships`` are pairs of group and grantor."""

    verifier: str | None
    limit: int
    superuser: bool
    ending_sessions: bool
    memberships: tuple[tuple[str, str], ...]

    def was_admin(self) -> bool:
        """Tell whether its sessions may have become the group ``schema_admin``."""
        return any(group == Role.SCHEMA_ADMIN for group, _ in self.memberships)


class RoleActivities:
    """Effects on users, as the platform's superuser."""

    def __init__(self, sql: SqlSessions, master_key: bytes) -> None:
        """Work through *sql*; verifiers come from *master_key*."""
        self._sql = sql
        self._master_key = master_key

    @activity.defn(name=effects.CREATE_USER.name)
    async def create_user(self, arg: UserInput) -> PasswordIs:
        """Make the user, or put right what is there of it; return which password it has.

        Raises :class:`Refused` for a superuser's name.
        """
        async with self._sql.use(arg.target) as connection, connection.transaction():
            user = await self._with_version(connection, arg, await look(connection, arg.user.name))
            await put_user(connection, user, arg.connection_limit, self._verifier(arg.target, user))
        return PasswordIs(version=user.password_version)

    @activity.defn(name=effects.SET_USER_ROLE.name)
    async def set_user_role(self, arg: UserInput) -> Nothing:
        """Give the user its role's rights, and no others, at once.

        Rights by membership change for open sessions as well. A session that became ``schema_admin`` keeps being it,
        and one that should become it does not: a change from or to that role ends the user's sessions, each with one
        error. Objects that the user owns itself become the schema admins'; rights that a schema admin granted to the
        user by name stay. Raises :class:`NotFound`, and :class:`NotYet` when the sessions do not end.
        """
        name = arg.user.name
        async with self._sql.use(arg.target) as connection:
            async with connection.transaction():
                seen = await _existing(connection, name)
                await put_user(connection, arg.user, arg.connection_limit, None)
                ends = seen.ending_sessions or seen.was_admin() is not (arg.user.role is Role.SCHEMA_ADMIN)
                if ends:
                    # If this process dies after the commit, whoever tries again still knows.
                    await connection.execute(statements.mark_ending_sessions(name, pending=True))
            if ends:
                await end_sessions(connection, name)
                await connection.execute(statements.mark_ending_sessions(name, pending=False))
            await self._take_over(arg.target, connection, name, rights=False)
        return Nothing()

    @activity.defn(name=effects.SET_PASSWORD.name)
    async def set_password(self, arg: UserInput) -> PasswordIs:
        """Put the password of ``user``, or a new one, in force; return which. Open sessions stay, or are ended then.

        Raises :class:`NotFound`, and :class:`NotYet` when sessions that are to end do not.
        """
        async with self._sql.use(arg.target) as connection:
            async with connection.transaction():
                await connection.execute(statements.KEEP_VERIFIERS_OUT)
                seen = await _existing(connection, arg.user.name)
                user = await self._with_version(connection, arg, seen)
                verifier = self._verifier(arg.target, user)
                if seen.verifier != verifier:
                    await connection.execute(statements.set_password(user.name, verifier))
            if arg.end_sessions:
                await end_sessions(connection, user.name)
        return PasswordIs(version=user.password_version)

    @activity.defn(name=effects.DROP_USER.name)
    async def drop_user(self, arg: DropUserInput) -> Nothing:
        """End the user's sessions and remove it; what it owns, in any database, becomes the schema admins'.

        The new owner is always ``schema_admin``: given to the group of a writer, a table could be dropped by every
        writer. Raises :class:`NotYet` when its sessions do not end or an object stays locked.
        """
        async with heartbeating(), self._sql.use(arg.target) as connection:
            seen = await look(connection, arg.username)
            if seen is not None:
                _refuse_superuser(arg.username, seen)
            if arg.password_version:
                # Whoever is made under this name later is not to have this password.
                await remember(connection, arg.username, arg.password_version)
            if seen is None:
                return Nothing()
            await connection.execute(SQL("ALTER ROLE {} NOLOGIN").format(Identifier(arg.username)))
            await end_sessions(connection, arg.username)
            await self._take_over(arg.target, connection, arg.username, rights=True)
            await connection.execute(SQL("DROP ROLE IF EXISTS {}").format(Identifier(arg.username)))
        return Nothing()

    @activity.defn(name=effects.SET_CONNECTION_LIMITS.name)
    async def set_connection_limits(self, arg: SetConnectionLimitsInput) -> Nothing:
        """Give each of these users the limit; those that have it, or are gone, are left alone."""
        async with self._sql.use(arg.target) as connection, connection.transaction():
            different = await connection.execute(
                "SELECT rolname::text FROM pg_roles WHERE rolname = ANY(%s) AND rolconnlimit <> %s",
                (list(arg.usernames), arg.connection_limit),
            )
            for (name,) in await different.fetchall():
                await connection.execute(statements.set_limit(name, arg.connection_limit))
        return Nothing()

    async def _with_version(self, connection: Connection, arg: UserInput, seen: RoleSeen | None) -> User:
        """Return the user with the version that its password is to have, which is remembered with it.

        A new password has a version after all that are remembered, unless it is in force: by a try before this one.
        """
        user = arg.user
        if arg.new_password:
            last = await last_version(connection, user.name)
            tried = user.model_copy(update={"password_version": last})
            later = user.model_copy(update={"password_version": max(user.password_version, last + 1)})
            again = seen is not None and last >= user.password_version
            in_force = seen.verifier if seen is not None and again else None
            user = tried if in_force and in_force == self._verifier(arg.target, tried) else later
        await remember(connection, user.name, user.password_version)
        return user

    def _verifier(self, target: Target, user: User) -> str:
        return scram_verifier(self._master_key, target.cluster_id, user.name, user.password_version)

    async def _take_over(self, target: Target, connection: Connection, name: str, *, rights: bool) -> None:
        """Reassign what *name* owns wherever it owns something; with *rights* drop its rights there as well."""
        for database in await _databases_with(connection, name, owned_only=not rights):
            # What is shared between databases is dealt with from any of them.
            if database in (None, "postgres"):
                await take_over(connection, name, rights=rights)
            else:
                async with self._sql.use(target, database) as inside:
                    await take_over(inside, name, rights=rights)


async def put_user(connection: Connection, user: User, limit: int, verifier: str | None) -> None:
    """Make the user's role as it should be, inside the caller's transaction. None keeps the password.

    *limit* is the number of sessions. Raises :class:`Refused` for a superuser's name.
    """
    await connection.execute(statements.KEEP_VERIFIERS_OUT)
    seen = await look(connection, user.name)
    if seen is not None:
        _refuse_superuser(user.name, seen)
    memberships = seen.memberships if seen else ()
    await connection.execute(
        statements.script(
            statements.shape_user(user.name, user.role, limit, verifier, exists=seen is not None),
            *(statements.revoke_membership(group, user.name, grantor) for group, grantor in memberships),
            statements.grant_group(user.name, user.role),
        )
    )


async def look(connection: Connection, name: str) -> RoleSeen | None:
    """Return what there is of role *name*."""
    cursor = await connection.execute(
        "SELECT a.rolpassword, a.rolconnlimit, a.rolsuper,"
        " EXISTS (SELECT FROM pg_db_role_setting s, unnest(s.setconfig) AS c (setting)"
        "  WHERE s.setrole = a.oid AND c.setting = %s),"
        " ARRAY(SELECT ARRAY[g.rolname::text, o.rolname::text] FROM pg_auth_members m"
        "  JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles o ON o.oid = m.grantor WHERE m.member = a.oid)"
        " FROM pg_authid a WHERE a.rolname = %s",
        (f"{statements.ENDING_SESSIONS}=on", name),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    verifier, limit, superuser, ending, memberships = row
    return RoleSeen(verifier, limit, superuser, ending, tuple((group, grantor) for group, grantor in memberships))


async def end_sessions(connection: Connection, name: str) -> None:
    """End every session of role *name*, and wait until they are gone. Raises :class:`NotYet` after 5 s."""
    bound = time.monotonic() + SESSIONS_END_S
    while await _terminate(connection, name):
        if time.monotonic() > bound:
            raise NotYet(f"Sessions of {name!r} did not end within {SESSIONS_END_S:g} s.")
        await asyncio.sleep(_POLL_S)


async def _terminate(connection: Connection, name: str) -> int:
    cursor = await connection.execute(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = %s", (name,)
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def take_over(connection: Connection, name: str, *, rights: bool) -> None:
    """Make what *name* owns in the connection's database the schema admins'; with *rights* drop its rights too.

    Raises :class:`NotYet` when something stays locked.
    """
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('lock_timeout', %s, true)", (str(LOCK_TIMEOUT_MS),))
            await connection.execute(statements.reassign_owned(name))
            if rights:
                await connection.execute(statements.drop_owned(name))
    except psycopg.errors.LockNotAvailable:
        raise NotYet(f"Objects of {name!r} in database {connection.info.dbname!r} are locked by others.") from None


async def _databases_with(connection: Connection, name: str, *, owned_only: bool) -> list[str | None]:
    """Databases in which *name* owns something (or has a right); None stands for what all databases share."""
    cursor = await connection.execute(
        "SELECT DISTINCT d.datname::text FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid"
        " WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = %s)"
        " AND (s.deptype = 'o' OR NOT %s) ORDER BY 1",
        (name, owned_only),
    )
    return [database for (database,) in await cursor.fetchall()]


async def _existing(connection: Connection, name: str) -> RoleSeen:
    seen = await look(connection, name)
    if seen is None:
        raise NotFound(f"Postgres has no user {name!r}.")
    return seen


def _refuse_superuser(name: str, seen: RoleSeen) -> None:
    if seen.superuser:
        raise Refused(f"{name!r} is a superuser of Postgres, not a user of the cluster.")
