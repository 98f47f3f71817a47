"""What Postgres on a node counts, over one connection that is kept for this: nobody who decides waits for it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, LiteralString

import psycopg

from activities.metrics.series import (
    BLOCKS,
    CONNECTIONS,
    CONNECTIONS_LIMIT,
    DEADLOCKS,
    ROWS,
    TEMPORARY_BYTES,
    TRANSACTIONS,
    Reading,
    Series,
)
from activities.metrics.statements import StatementMetrics
from activities.postgres.sql import Connection, SqlSessions, bounded
from model.cluster import Node, NodeRole
from model.effects import Target

CONNECT_S, ANSWER_S = 2, 2.0
"""Bounds on a connection and on all that is asked over it in a round."""
STATES = {
    "active": "active",
    "idle": "idle",
    "idle in transaction": "idle_in_transaction",
    "idle in transaction (aborted)": "idle_in_transaction",
}
"""What pg_stat_activity calls a session's state, and we."""
OTHER = "other"

_BEGIN: LiteralString = "SET statement_timeout = '2s'"
_NODE: LiteralString = """
SELECT pg_is_in_recovery(), current_setting('max_connections')::int,
       (CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn(), '0/0') ELSE pg_current_wal_lsn() END
        - '0/0')::bigint,
       extract(epoch FROM (SELECT max(replay_lag) FROM pg_stat_replication))::float,
       extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float
"""
"""Whether it is a standby; the most sessions; its position in the WAL; how far its standby says it is behind, and how
old what it replayed last is as a standby itself, in seconds."""
_DATABASES: LiteralString = """
SELECT s.datname::text, s.tup_inserted, s.tup_updated, s.tup_deleted, s.tup_fetched, s.tup_returned,
       s.xact_commit, s.xact_rollback, s.blks_hit, s.blks_read, s.deadlocks, s.temp_bytes
FROM pg_stat_database AS s JOIN pg_database AS d ON d.oid = s.datid
WHERE NOT d.datistemplate
"""
_SESSIONS: LiteralString = """
SELECT datname::text, state, count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname IS NOT NULL
GROUP BY 1, 2
"""
_COLUMNS: tuple[tuple[Series, dict[str, str]], ...] = (
    (ROWS, {"operation": "inserted"}),
    (ROWS, {"operation": "updated"}),
    (ROWS, {"operation": "deleted"}),
    (ROWS, {"operation": "fetched"}),
    (ROWS, {"operation": "returned"}),
    (TRANSACTIONS, {"outcome": "committed"}),
    (TRANSACTIONS, {"outcome": "rolled_back"}),
    (BLOCKS, {"source": "hit"}),
    (BLOCKS, {"source": "read"}),
    (DEADLOCKS, {}),
    (TEMPORARY_BYTES, {}),
)
"""Of a row of databases, after the name."""


@dataclass(frozen=True)
class NodeSeen:
    """What a node said of itself. ``readings`` are without the node's name and role."""

    name: str
    role: NodeRole
    wal_position: int
    standby_behind_s: float | None
    """How far its standby says it is behind, in seconds; None where it has none, or that has caught up."""
    replayed_s: float | None
    """As a standby: how long ago the last transaction was committed that it replayed, in seconds."""
    readings: tuple[Reading, ...]


class NodeMetrics:
    """One node's Postgres."""

    def __init__(self, sql: SqlSessions, node: Node, cluster_id: str) -> None:
        """Ask *node* of a cluster, through a connection of *sql* that nobody else has."""
        self.name = node.name
        self._sql = sql
        self._target = Target.of(cluster_id, node)
        self._kept: Connection | None = None
        self._statements = StatementMetrics()

    async def read(self) -> NodeSeen | None:
        """Return what it says now; None where it does not answer in time, or does not let us in."""
        try:
            if self._kept is None:
                self._kept = await self._sql.open(self._target, timeout_s=CONNECT_S)
                async with bounded(self._kept, ANSWER_S):
                    await self._kept.execute(_BEGIN)
            async with bounded(self._kept, ANSWER_S):
                seen = await self._ask(self._kept)
            return await self._with_statements(seen, self._kept)
        except (psycopg.Error, OSError):
            # Also a session that lives on in a node that answers nothing: the next round begins with a new one.
            await self.close()
            return None
        except asyncio.CancelledError:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.close()

    async def _with_statements(self, seen: NodeSeen, connection: Connection) -> NodeSeen:
        if seen.role is NodeRole.REPLICA:
            self._statements.forget()
            return seen
        found = await self._statements.read(connection)
        if connection.closed:
            await self.close()
        return replace(seen, readings=(*seen.readings, *found))

    async def _ask(self, connection: Connection) -> NodeSeen:
        ((standby, limit, position, standby_behind_s, replayed_s),) = await _rows(connection, _NODE)
        databases = await _rows(connection, _DATABASES)
        sessions = await _rows(connection, _SESSIONS)
        return NodeSeen(
            name=self.name,
            role=NodeRole.REPLICA if standby else NodeRole.PRIMARY,
            wal_position=position,
            standby_behind_s=standby_behind_s,
            replayed_s=replayed_s,
            readings=(
                Reading(CONNECTIONS_LIMIT, {}, limit),
                *database_readings(databases),
                *session_readings([name for name, *_ in databases], sessions),
            ),
        )


def database_readings(rows: Sequence[tuple[Any, ...]]) -> list[Reading]:
    """Return the counters in *rows* of pg_stat_database."""
    return [
        Reading(series, {"database": name, **labels}, value)
        for name, *values in rows
        for (series, labels), value in zip(_COLUMNS, values, strict=True)
    ]


def session_readings(databases: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[Reading]:
    """Return how many sessions each of *databases* has in each state, also where there are none."""
    counts = {(name, state): 0 for name in databases for state in (*dict.fromkeys(STATES.values()), OTHER)}
    for name, said, count in rows:
        key = name, STATES.get(said, OTHER)
        if key in counts:  # a template, or made since the list was read
            counts[key] += count
    return [Reading(CONNECTIONS, {"database": name, "state": state}, count) for (name, state), count in counts.items()]


async def _rows(connection: Connection, query: LiteralString) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query)).fetchall()
