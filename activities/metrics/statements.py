"""The statements of a primary that took the most time, as counters: looked at once a minute, shown until the next look.

Nothing is made for this: where pg_stat_statements is not there yet there are none.
"""

import time
from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg
from psycopg.sql import SQL, Identifier

from activities.metrics.series import STATEMENT_CALLS, STATEMENT_ROWS, STATEMENT_SECONDS, Reading
from activities.postgres.queries import find_statistics_schema
from activities.postgres.sql import Connection, bounded
from model.names import PLATFORM_ROLES
from model.queries import MOST_STATEMENTS_KEPT

EVERY_S = 60.0
"""Between two looks at least, in seconds."""
ANSWER_S = 1.0
"""Bound on a look, after which the session is cut; Postgres gives up after half of it."""
_PATIENCE: LiteralString = "SET LOCAL statement_timeout = '500ms'"
# Without texts: with them Postgres reads the file that has those of all statements.
_STATEMENTS: LiteralString = """
SELECT d.datname::text, s.queryid::text, sum(s.calls)::bigint, sum(s.total_exec_time) / 1000, sum(s.rows)::bigint
FROM {schema}.pg_stat_statements(false) AS s
JOIN pg_database AS d ON d.oid = s.dbid
WHERE s.queryid IS NOT NULL AND NOT d.datistemplate
    AND s.userid NOT IN (SELECT oid FROM pg_roles WHERE rolname = ANY(%s))
GROUP BY 1, 2
ORDER BY sum(s.total_exec_time) DESC
LIMIT %s
"""


class StatementMetrics:
    """The statements of one node while it is the primary."""

    def __init__(self) -> None:
        """Begin without a look."""
        self._looked_at: float | None = None
        self._readings: tuple[Reading, ...] = ()

    async def read(self, connection: Connection) -> tuple[Reading, ...]:
        """Return what the latest look found over *connection*, to a primary; nothing where that look failed."""
        now = time.monotonic()
        if self._looked_at is None or now - self._looked_at >= EVERY_S:
            self._looked_at = now
            self._readings = ()
            try:
                async with bounded(connection, ANSWER_S):
                    self._readings = statement_readings(await _look(connection))
            except psycopg.Error:
                pass  # a gap; who lends the connection sees whether it broke
        return self._readings

    def forget(self) -> None:
        """Forget the latest look: the node is no primary."""
        self._looked_at, self._readings = None, ()


async def _look(connection: Connection) -> list[tuple[Any, ...]]:
    async with connection.transaction():
        await connection.execute(_PATIENCE)
        schema = await find_statistics_schema(connection)
        if schema is None:
            return []
        query = SQL(_STATEMENTS).format(schema=Identifier(schema))
        return await (await connection.execute(query, (list(PLATFORM_ROLES), MOST_STATEMENTS_KEPT))).fetchall()


def statement_readings(rows: Sequence[tuple[Any, ...]]) -> tuple[Reading, ...]:
    """Return the counters in *rows* of databases, statements, calls, seconds and rows."""
    return tuple(
        Reading(series, {"database": database, "statement": statement}, float(value))
        for database, statement, *values in rows
        for series, value in zip((STATEMENT_CALLS, STATEMENT_SECONDS, STATEMENT_ROWS), values, strict=True)
    )
