"""What a node's Postgres has on its volume, and whether clients may write. Why it is asked like this: docs/storage.md.

The platform's own sessions write all the same (activities/postgres/sql.py).
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
from psycopg.sql import SQL
from temporalio import activity

from activities.heartbeat import heartbeating
from activities.postgres.sql import Connection, SqlSessions, bounded
from model import effects
from model.cluster import Node
from model.effects import Nothing, ReadStorageInput, SetReadOnlyInput, Target
from model.errors import NotYet
from model.storage import DatabaseUsage, NodeUsage, StorageLook

IN_FORCE_S = 5.0
_POLL_S = 0.005
WALK_AFTER_WAL_BYTES = 4 * 2**20
"""What is logged makes data grow by no more than about as much: with less WAL than this nobody looks at files again."""
WALK_AT_LEAST_EVERY_S = 600.0
"""Unlogged tables, and files made ahead, grow without WAL."""
WALK_SHARE = 0.002
"""The most of the time that is spent on looking at files, of which a cluster may have hundreds of thousands."""
SHORT_S, LONG_S = 0.5, 300.0
"""Bounds on a look. One that took longer than the first has a session of its own: others need the kept one."""

_QUICK: LiteralString = """
SELECT pg_is_in_recovery(),
       (CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn(), '0/0') ELSE pg_current_wal_lsn() END
        - '0/0')::bigint,
       (SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir())
     + (SELECT coalesce(sum((pg_stat_file('/var/lib/postgresql/wal.unarchived/' || kept, true)).size), 0)::bigint
        FROM pg_ls_dir('/var/lib/postgresql/wal.unarchived', true, false) AS kept
        WHERE kept NOT IN (SELECT name FROM pg_ls_waldir())),
       (SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_tmpdir())
     + (SELECT coalesce(sum((pg_stat_file(concat_ws('/', 'base/pgsql_tmp', set, file), true)).size), 0)::bigint
        FROM pg_ls_dir('base/pgsql_tmp', true, false) AS set,
             pg_ls_dir(concat_ws('/', 'base/pgsql_tmp', set), true, false) AS file
        WHERE set LIKE '%.fileset'),
       (SELECT count(*) > 0 FROM pg_file_settings
        WHERE name = 'default_transaction_read_only' AND applied AND setting::boolean)
"""
"""Whether it is a standby; position in the WAL; bytes of WAL, with what a former primary keeps of it
(images/entrypoints/node), and of temporary files, those of parallel queries too;
whether clients begin read-only, which is read from the files: in our own session it is off."""
_WALK: LiteralString = """
SELECT datname::text, pg_database_size(oid) FROM pg_database
UNION ALL SELECT NULL, pg_tablespace_size('pg_global')
"""


@dataclass(frozen=True)
class _Walk:
    """What files held when they were looked at, at a position in the WAL and a time (monotonic, seconds)."""

    databases: tuple[DatabaseUsage, ...]
    data_bytes: int
    wal_position: int
    at: float
    took_s: float

    def holds(self, wal_position: int, now: float) -> bool:
        """Tell whether it is still good enough at that position and time."""
        age = now - self.at
        if age < self.took_s / WALK_SHARE:
            return True
        return age < WALK_AT_LEAST_EVERY_S and abs(wal_position - self.wal_position) < WALK_AFTER_WAL_BYTES


@dataclass(frozen=True)
class _NodeSeen:
    usage: NodeUsage
    databases: tuple[DatabaseUsage, ...]
    primary: bool
    read_only: bool


class NodeStorage:
    """Looks at one node again and again, at its files only when they may have grown."""

    def __init__(self, sql: SqlSessions, node: Node, cluster_id: str) -> None:
        """Look at *node* of a cluster."""
        self._sql = sql
        self._name = node.name
        self._target = Target.of(cluster_id, node)
        self._last: _Walk | None = None
        self._slow = False

    async def look(self) -> _NodeSeen:
        """Return what it uses now. Raises ``psycopg.Error`` and ``OSError``."""
        async with self._sql.use(self._target) as connection, bounded(connection, SHORT_S):
            standby, position, wal_bytes, temp_bytes, read_only = await _row(connection, _QUICK)
        walk = self._last
        if walk is None or not walk.holds(position, time.monotonic()):
            walk = self._last = await self._walk(position)
        return _NodeSeen(
            usage=NodeUsage(name=self._name, data_bytes=walk.data_bytes, wal_bytes=wal_bytes, temp_bytes=temp_bytes),
            databases=walk.databases,
            primary=not standby,
            read_only=read_only,
        )

    async def _walk(self, wal_position: int) -> _Walk:
        slow, self._slow = self._slow, True  # until it has been seen to be fast
        async with (
            self._sql.use(self._target, fresh=slow) as connection,
            bounded(connection, LONG_S if slow else SHORT_S),
        ):
            walk = await _walk(connection, wal_position)
        self._slow = walk.took_s > SHORT_S / 10
        return walk


class ClusterStorage:
    """Looks at a cluster's nodes."""

    def __init__(self, sql: SqlSessions, cluster_id: str, nodes: tuple[Node, ...]) -> None:
        """Look at *nodes*, whatever their roles."""
        self._nodes = [NodeStorage(sql, node, cluster_id) for node in nodes]

    async def look(self) -> StorageLook:
        """Return what those nodes use that answer. The primary among them tells of the databases."""
        seen = [found for node in self._nodes if (found := await _look_at(node)) is not None]
        primary = next((each for each in seen if each.primary), None)
        return StorageLook(
            at=datetime.now(UTC),
            nodes=tuple(each.usage for each in seen),
            databases=primary.databases if primary else (),
            read_only=primary.read_only if primary else None,
        )


async def _look_at(node: NodeStorage) -> _NodeSeen | None:
    try:
        return await node.look()
    except (psycopg.Error, OSError):
        return None  # whether it is lost is for others to judge


class StorageActivities:
    """Effects on a cluster's storage through SQL."""

    def __init__(self, sql: SqlSessions) -> None:
        """Work through *sql*."""
        self._sql = sql

    @activity.defn(name=effects.READ_STORAGE.name)
    async def read_storage(self, arg: ReadStorageInput) -> StorageLook:
        """Return what the nodes use now, without those that do not answer."""
        async with heartbeating():
            return await ClusterStorage(self._sql, arg.cluster_id, arg.nodes).look()

    @activity.defn(name=effects.SET_READ_ONLY.name)
    async def set_read_only(self, arg: SetReadOnlyInput) -> Nothing:
        """Have new transactions on the primary be read-only unless they say otherwise, or not any more.

        Sessions that are open follow, but for those that set it themselves; transactions that run go on.

        Raises:
            NotYet: it is not in force after 5 s, or the node is a standby: the record of a new primary comes before its
                promotion.
        """
        async with heartbeating(), await self._sql.open(arg.target, as_clients=True) as connection:
            if (await _row(connection, "SELECT pg_is_in_recovery()"))[0]:
                raise NotYet(f"The node at {arg.target.address} is still a standby.")
            await put_read_only(connection, read_only=arg.read_only)
            await _await_in_force(connection, read_only=arg.read_only)
        return Nothing()


async def put_read_only(connection: Connection, *, read_only: bool) -> None:
    """Have new transactions be read-only, or not. On a standby it takes effect with its promotion.

    ALTER SYSTEM itself is allowed in a transaction that is read-only.
    """
    name = SQL("default_transaction_read_only")
    change = SQL("ALTER SYSTEM SET {} = on") if read_only else SQL("ALTER SYSTEM RESET {}")
    await connection.execute(change.format(name))
    await connection.execute("SELECT pg_reload_conf()")


async def _await_in_force(connection: Connection, *, read_only: bool) -> None:
    """Wait until this session, which has no value of its own, has the new one: all are told at once."""
    deadline = time.monotonic() + IN_FORCE_S
    while (await _row(connection, "SELECT current_setting('default_transaction_read_only')::boolean"))[0] != read_only:
        if time.monotonic() > deadline:
            raise NotYet(f"Whether clients may write is not in force after {IN_FORCE_S:g} s.")
        await asyncio.sleep(_POLL_S)


async def _walk(connection: Connection, wal_position: int) -> _Walk:
    begun = time.monotonic()
    rows = await (await connection.execute(_WALK)).fetchall()
    now = time.monotonic()
    return _Walk(
        databases=tuple(DatabaseUsage(name=name, bytes=size) for name, size in sorted(rows, key=str) if name),
        data_bytes=sum(size for _, size in rows),
        wal_position=wal_position,
        at=now,
        took_s=now - begun,
    )


async def _row(connection: Connection, query: LiteralString) -> tuple[Any, ...]:
    row = await (await connection.execute(query)).fetchone()
    assert row is not None, "a SELECT without a filter has one row"
    return row
