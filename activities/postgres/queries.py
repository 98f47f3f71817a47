"""Effects that look at what clients run, and cancel or end it."""

from typing import LiteralString

import psycopg
from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier
from temporalio import activity

from activities.postgres.sql import Connection, SqlSessions, bounded
from model import effects
from model.effects import ReadQueriesInput, Signalled, SignalSessionInput, Target
from model.errors import NotFound, NotYet
from model.names import PLATFORM_ROLES
from model.queries import (
    EXPLAIN,
    GONE_USER,
    MOST_CHARACTERS,
    MOST_SESSIONS,
    MOST_STATEMENTS,
    MOST_SUGGESTIONS,
    Queries,
    Session,
    SessionCount,
    Statement,
    Suggestion,
    SuggestionKind,
)

BOUND_S = 10.0
"""For a whole look: one at a database with very many tables is given up rather than left running."""


class QueryActivities:
    """The effects ``read_queries`` and ``signal_session``."""

    def __init__(self, sql: SqlSessions) -> None:
        """Ask through *sql*."""
        self._sql = sql

    @activity.defn(name=effects.READ_QUERIES.name)
    async def read_queries(self, arg: ReadQueriesInput) -> Queries:
        """Return clients' sessions, the statements that cost most by any measure, and suggestions for one database.

        The platform's own sessions and statements are left out. Raises :class:`NotYet` where the primary does not
        answer in time, :class:`NotFound` for a database that is not there.
        """
        try:
            async with self._sql.use(arg.target) as connection, bounded(connection, BOUND_S):
                found = await self._look(connection, await statistics_schema(connection))
                there = await connection.execute("SELECT FROM pg_database WHERE datname = %s", (arg.database,))
            if arg.database is not None and not there.rowcount:
                raise NotFound(f"There is no database {arg.database!r}.")
            return found if arg.database is None else await self._with_suggestions(found, arg.target, arg.database)
        except psycopg.OperationalError as error:
            raise NotYet(f"The primary does not answer: {error}.") from error

    async def _look(self, connection: Connection, schema: str) -> Queries:
        statements_query, since_query = (SQL(each).format(schema=Identifier(schema)) for each in (_STATEMENTS, _SINCE))
        named = {
            "platform": list(PLATFORM_ROLES),
            "characters": MOST_CHARACTERS,
            "gone": GONE_USER,
            "explain": EXPLAIN,
        }
        row = await (await connection.execute(since_query)).fetchone()
        assert row is not None
        async with connection.cursor(row_factory=class_row(Session)) as cursor:
            sessions = await (await cursor.execute(_SESSIONS, named | {"most": MOST_SESSIONS})).fetchall()
        async with connection.cursor(row_factory=class_row(SessionCount)) as cursor:
            counts = await (await cursor.execute(_COUNTS, named)).fetchall()
        async with connection.cursor(row_factory=class_row(Statement)) as cursor:
            statements = await (await cursor.execute(statements_query, named | {"most": MOST_STATEMENTS})).fetchall()
        return Queries(
            at=row[0],
            sessions=tuple(sessions),
            counts=tuple(counts),
            statements=tuple(statements),
            statements_since=row[1],
        )

    async def _with_suggestions(self, found: Queries, target: Target, database: str) -> Queries:
        try:
            return found.model_copy(update={"suggestions": await self._suggest(target, database)})
        except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled):
            # Those who hold the lock are what is looked for: they are shown.
            why = f"An index or a table of {database} is locked, or there are too many to look at."
            return found.model_copy(update={"no_suggestions": why})

    async def _suggest(self, target: Target, database: str) -> tuple[Suggestion, ...]:
        async with self._sql.use(target, database) as connection, bounded(connection, BOUND_S):
            # Whoever waits for a lock, or for long, ends there too: a session that is cut goes on.
            await connection.execute(_PATIENCE)
            found: list[Suggestion] = []
            for kind, query in _SUGGESTIONS.items():
                rows = await (await connection.execute(SQL(query), {"most": MOST_SUGGESTIONS})).fetchall()
                found += (Suggestion(kind=kind, about=about, why=why, statement=line) for about, why, line in rows)
        return tuple(found)

    @activity.defn(name=effects.SIGNAL_SESSION.name)
    async def signal_session(self, arg: SignalSessionInput) -> Signalled:
        """Cancel what a session runs, or end it; one that is gone, or is the platform's, is not there."""
        try:
            async with self._sql.use(arg.target, fresh=True) as connection, bounded(connection, BOUND_S):
                query = _END if arg.end else _CANCEL
                cursor = await connection.execute(query, (arg.pid, arg.began, list(PLATFORM_ROLES)))
                return Signalled(there=cursor.rowcount == 1)
        except psycopg.OperationalError as error:
            raise NotYet(f"The primary does not answer: {error}.") from error


async def statistics_schema(connection: Connection) -> str:
    """Return where pg_stat_statements is; made where only the platform reads it, if it is nowhere.

    Its library is loaded on every node.
    """
    found = await find_statistics_schema(connection)
    if found is not None:
        return found
    async with connection.transaction():
        # This is no change that anybody would miss: it waits for no standby.
        await connection.execute("SET LOCAL synchronous_commit = local")
        await connection.execute("CREATE SCHEMA IF NOT EXISTS mpg")
        await connection.execute("REVOKE ALL ON SCHEMA mpg FROM PUBLIC")
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA mpg")
    return "mpg"


async def find_statistics_schema(connection: Connection) -> str | None:
    """Return where pg_stat_statements is; None where it is nowhere."""
    there = await connection.execute(
        "SELECT nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE extname = 'pg_stat_statements'"
    )
    row = await there.fetchone()
    return None if row is None else row[0]


_PATIENCE: LiteralString = "SET lock_timeout = '100ms'; SET statement_timeout = '5s'"
_CLIENTS: LiteralString = """
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND usename IS NOT NULL AND datname IS NOT NULL
    AND usename <> ALL(%(platform)s)
"""
_SESSIONS: LiteralString = (
    """
SELECT pid, backend_start AS began, usename::text AS user, datname::text AS database,
    application_name AS application, coalesce(host(client_addr), 'local') AS client,
    coalesce(state, 'unknown') AS state,
    CASE WHEN state = 'active' THEN wait_event_type || ': ' || wait_event END AS waits_for,
    CASE WHEN wait_event_type = 'Lock' THEN pg_blocking_pids(pid) ELSE '{}' END AS blocked_by,
    greatest(extract(epoch FROM clock_timestamp() - coalesce(state_change, backend_start)), 0)::float8 AS state_seconds,
    greatest(extract(epoch FROM clock_timestamp() - xact_start), 0)::float8 AS transaction_seconds,
    left(coalesce(query, ''), %(characters)s) AS query
"""
    + _CLIENTS
    + "ORDER BY state = 'idle', xact_start NULLS LAST, state_change, pid LIMIT %(most)s"
)
_COUNTS: LiteralString = (
    """
SELECT usename::text AS user, coalesce(state, 'unknown') AS state, count(*) AS sessions,
    count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting,
    greatest(extract(epoch FROM clock_timestamp() - min(xact_start)), 0)::float8 AS longest_transaction_s
"""
    + _CLIENTS
    + "GROUP BY usename, state ORDER BY usename, state"
)
_SINCE: LiteralString = "SELECT now(), (SELECT stats_reset FROM {schema}.pg_stat_statements_info)"
_STATEMENTS: LiteralString = """
WITH counted AS (
SELECT coalesce(queryid::text, '') AS id, coalesce(rolname::text, %(gone)s) AS user,
    datname::text AS database, left(query, %(characters)s) AS query, calls,
    total_exec_time AS total_ms, mean_exec_time AS mean_ms, rows,
    shared_blks_hit::float8 / nullif(shared_blks_hit + shared_blks_read, 0) AS hit_ratio,
    row_number() OVER (ORDER BY total_exec_time DESC) AS by_time,
    row_number() OVER (ORDER BY mean_exec_time DESC) AS by_mean,
    row_number() OVER (ORDER BY calls DESC) AS by_calls
FROM {schema}.pg_stat_statements
JOIN pg_database ON pg_database.oid = dbid
LEFT JOIN pg_roles ON pg_roles.oid = userid
WHERE (rolname IS NULL OR rolname <> ALL(%(platform)s)) AND starts_with(query, %(explain)s) IS NOT TRUE
)
SELECT id, "user", database, query, calls, total_ms, mean_ms, rows, hit_ratio FROM counted
WHERE least(by_time, by_mean, by_calls) <= %(most)s
ORDER BY total_ms DESC
"""
_UNUSED_INDEXES: LiteralString = """
SELECT format('%%I.%%I', s.schemaname, s.indexrelname),
    format('%%s on table %%I, never read since statistics began',
        pg_size_pretty(pg_relation_size(s.indexrelid)), s.relname),
    format('DROP INDEX CONCURRENTLY %%I.%%I', s.schemaname, s.indexrelname)
FROM pg_stat_user_indexes s JOIN pg_index i USING (indexrelid)
WHERE s.idx_scan = 0 AND NOT i.indisunique AND NOT i.indisexclusion AND NOT i.indisreplident
    AND pg_relation_size(s.indexrelid) >= 1024 * 1024
    AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = s.indexrelid)
ORDER BY pg_relation_size(s.indexrelid) DESC
LIMIT %(most)s
"""
_KEYS_WITHOUT_INDEX: LiteralString = """
SELECT format('%%s (%%s)', c.conrelid::regclass, columns.list),
    format('constraint %%I: each delete or change of a key in %%s reads all of it', c.conname, c.confrelid::regclass),
    format('CREATE INDEX %%sON %%s (%%s)', CASE WHEN t.relkind = 'p' THEN '' ELSE 'CONCURRENTLY ' END,
        c.conrelid::regclass, columns.list)
FROM pg_constraint c
JOIN pg_class t ON t.oid = c.conrelid
CROSS JOIN LATERAL (
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY place) AS list
    FROM unnest(c.conkey) WITH ORDINALITY AS k(attnum, place)
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
) AS columns
WHERE c.contype = 'f' AND c.conparentid = 0 AND NOT EXISTS (
    SELECT FROM pg_index i
    WHERE i.indrelid = c.conrelid AND i.indisvalid AND i.indpred IS NULL
        AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey
)
ORDER BY t.relpages DESC, 1
LIMIT %(most)s
"""
_NEEDS_VACUUM: LiteralString = """
SELECT format('%%I.%%I', schemaname, relname),
    format('%%s dead rows beside %%s living ones, last vacuumed %%s', n_dead_tup, n_live_tup,
        coalesce(to_char(greatest(last_vacuum, last_autovacuum) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), 'never')),
    format('VACUUM (ANALYZE) %%I.%%I', schemaname, relname)
FROM pg_stat_user_tables
WHERE n_dead_tup > 10000 AND n_dead_tup > n_live_tup / 5
ORDER BY n_dead_tup DESC
LIMIT %(most)s
"""
_SUGGESTIONS: dict[SuggestionKind, LiteralString] = {
    SuggestionKind.NO_INDEX_FOR_KEY: _KEYS_WITHOUT_INDEX,
    SuggestionKind.UNUSED_INDEX: _UNUSED_INDEXES,
    SuggestionKind.NEEDS_VACUUM: _NEEDS_VACUUM,
}
_ONE: LiteralString = (
    " FROM pg_stat_activity WHERE pid = %s AND backend_start = %s AND backend_type = 'client backend'"
    " AND usename <> ALL(%s)"
)
_CANCEL: LiteralString = "SELECT pg_cancel_backend(pid)" + _ONE
_END: LiteralString = "SELECT pg_terminate_backend(pid)" + _ONE
