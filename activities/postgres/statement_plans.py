"""The effect that has Postgres plan a statement, as a user of the cluster.

Planning runs functions: those that are immutable, operators, input functions of types. A user may have made them, so a
superuser must not plan. The superuser's session here only reads pg_stat_statements; the plan is made in a session that
the user itself could have begun, in a transaction that cannot write and is rolled back.
"""

from typing import LiteralString, NamedTuple

import psycopg
from psycopg import generators
from psycopg.sql import SQL, Identifier
from temporalio import activity

from activities.postgres.queries import BOUND_S, statistics_schema
from activities.postgres.sql import Connection, SqlSessions, bounded
from model import effects
from model.cluster import Role, User
from model.effects import ExplainStatementInput
from model.errors import NotFound, NotYet, Refused
from model.names import PLATFORM_ROLES
from model.queries import (
    EXPLAIN,
    GONE_USER,
    MOST_CHARACTERS,
    MOST_PLAN_LINES,
    PLANNED,
    StatementAsked,
    StatementPlan,
    utility_command,
)

PLAN_S = 5.0
"""For a plan, in seconds; Postgres gives it up after that, and the session is cut after twice that."""
MOST_PLANNED = 100_000
"""Characters of a statement that is planned."""
_OPTIONS = f"-c statement_timeout={PLAN_S:g}s -c lock_timeout=1s -c default_transaction_read_only=on"
_KEPT: LiteralString = """
SELECT rolname::text, datname::text, left(query, %(characters)s), length(query) > %(characters)s
FROM {schema}.pg_stat_statements
JOIN pg_database ON pg_database.oid = dbid
LEFT JOIN pg_roles ON pg_roles.oid = userid
WHERE queryid::text = %(id)s AND (%(database)s::text IS NULL OR datname = %(database)s)
    AND (%(user)s::text IS NULL OR coalesce(rolname, %(gone)s) = %(user)s)
ORDER BY rolname IS NULL, total_exec_time DESC
LIMIT 1
"""
_NO_TEXT = "Postgres has lost the text of this statement."
"""With the file of all texts, in which it then has none, or zeros."""


class _Kept(NamedTuple):
    """What pg_stat_statements has of a statement: the role that it ran as, None where that is gone."""

    role: str | None
    database: str
    query: str | None
    cut: bool


class PlanActivities:
    """The effect ``explain_statement``."""

    def __init__(self, sql: SqlSessions) -> None:
        """Ask through *sql*."""
        self._sql = sql

    @activity.defn(name=effects.EXPLAIN_STATEMENT.name)
    async def explain_statement(self, arg: ExplainStatementInput) -> StatementPlan:
        """Return the generic plan of a statement that ran, made with the rights that it ran with.

        Raises:
            NotFound: there is no such statement.
            NotYet: the primary does not answer.
            Refused: it has no plan, or nobody to make it as, or Postgres does not make it; the sentence says which.
        """
        asked = arg.statement
        try:
            async with self._sql.use(arg.target) as connection, bounded(connection, BOUND_S):
                kept = await _find(connection, asked)
        except psycopg.errors.CharacterNotInRepertoire as error:
            raise Refused(_NO_TEXT) from error
        except psycopg.OperationalError as error:
            raise NotYet(f"The primary does not answer: {error}.") from error
        query = _whole_text(kept)
        role, user = _who_plans(kept, asked.users)
        try:
            session = await self._sql.open_as(arg.target, kept.database, user, options=_OPTIONS)
        except psycopg.OperationalError as error:
            raise Refused(f"User {user.name} cannot log in to have it planned: {_said(error)}.") from error
        async with session, bounded(session, 2 * PLAN_S):
            lines = await plan_as(session, role, query)
        return StatementPlan(
            id=asked.id, user=role, database=kept.database, query=query[:MOST_CHARACTERS], plan=_cut(lines)
        )


async def _find(connection: Connection, asked: StatementAsked) -> _Kept:
    schema = await statistics_schema(connection)
    named = {"id": asked.id, "database": asked.database, "user": asked.user, "gone": GONE_USER}
    found = await connection.execute(SQL(_KEPT).format(schema=Identifier(schema)), named | {"characters": MOST_PLANNED})
    if (row := await found.fetchone()) is None:
        of = "".join(f" of {each}" for each in (asked.user, asked.database) if each is not None)
        raise NotFound(f"There is no statement {asked.id}{of} among those that Postgres has counted.")
    return _Kept(*row)


def _whole_text(kept: _Kept) -> str:
    """Return the text of a statement that can be planned. Raises Refused."""
    if kept.role in PLATFORM_ROLES:
        raise Refused("This statement is the platform's own: it is not planned for others.")
    if kept.query is None:
        raise Refused(_NO_TEXT)
    if kept.cut:
        raise Refused(f"This statement is not planned: it has more than {MOST_PLANNED:,} characters.")
    command = utility_command(kept.query)
    if command is not None:
        planned = f"{', '.join(PLANNED[:-1])} and {PLANNED[-1]}"
        raise Refused(f"This statement has no plan: it begins with {command}, and Postgres plans {planned} only.")
    return kept.query


def _who_plans(kept: _Kept, users: tuple[User, ...]) -> tuple[str, User]:
    """Return the role that the statement ran as, and a user of the cluster who is it, or becomes it. Raises Refused."""
    if kept.role is None:
        raise Refused("The user that ran this statement is gone, and nobody else has its rights.")
    themselves = [user for user in users if user.name == kept.role]
    of_group = [user for user in users if kept.role in set(Role) and user.role == kept.role]
    able = [user for user in (*themselves, *of_group) if user.password_known]
    if not able:
        raise Refused(f"This statement ran as {kept.role}, and no user whose password is known has just its rights.")
    return kept.role, able[0]


async def plan_as(session: Connection, role: str, query: str) -> list[str]:
    """Return the lines of the plan that *role*, which the user of a new *session* may become, gets. Raises Refused."""
    if session.info.parameter_status("is_superuser") != "off":
        raise Refused("A superuser does not plan a user's statement.")
    await session.set_read_only(True)
    try:
        await session.execute(SQL("SET LOCAL ROLE {}").format(Identifier(role)))
        explain = f"{EXPLAIN}{query}".encode()
        await _refuse_several(session, explain)
        # Without parameters it goes by the simple protocol: by the extended one its $1 would want a value.
        rows = await (await session.execute(explain, prepare=False)).fetchall()
        await session.rollback()
    except psycopg.errors.LockNotAvailable as error:
        raise Refused("A table of this statement is locked.", remedy="See who holds it, and try again.") from error
    except psycopg.errors.QueryCanceled as error:
        raise Refused(f"Planning this statement took more than {PLAN_S:g} s, and was given up.") from error
    except psycopg.Error as error:
        raise Refused(f"As {role} this statement cannot be planned: {_said(error)}.") from error
    return [str(line) for (line,) in rows]


async def _refuse_several(session: Connection, explain: bytes) -> None:
    """Raise a ``psycopg.Error`` where it is not one statement: after a COMMIT the next one could write.

    Only the extended protocol refuses that. Nothing is planned here.
    """
    session.pgconn.send_prepare(b"", explain)
    for result in await session.wait(generators.execute(session.pgconn)):
        if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)


def _said(error: psycopg.Error) -> str:
    """Return what the server said, without where it is."""
    return error.diag.message_primary or str(error).rpartition("FATAL:")[2].strip().partition("\n")[0]


def _cut(lines: list[str]) -> str:
    more = len(lines) - MOST_PLAN_LINES
    shown = lines if more <= 0 else [*lines[:MOST_PLAN_LINES], f"… and {more} more lines"]
    return "\n".join(shown)
