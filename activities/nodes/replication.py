"""Replication as seen by SQL: whether commits wait for the standby, and whether the replica has caught up."""

import asyncio
import time
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg.sql import SQL, Composed, Literal
from temporalio import activity

from activities.heartbeat import heartbeating
from activities.nodes.held_replay import end_reads_in_the_way
from activities.postgres.sql import Connection, SqlSessions, outcome_of
from model import effects
from model.cluster import Durability
from model.effects import AwaitCaughtUpInput, Nothing, ReplicaCaughtUp, SetSynchronousInput, Target
from model.errors import NotYet, Refused, ReplicaBehind
from model.probing import SPEAKS
from model.tuning import synchronous_standby_names

IN_FORCE_S = 5.0
"""How long a changed setting may take to be in force everywhere, in seconds."""
GONE_S = 0.5
"""How long a standby may be away while commits already wait for it: its receiver tries again each 50 ms."""
_POLL_S = 0.005
SILENT_S = 5.0
"""How long a replica may give no answer at all: one that an operation waits for is brought back by nobody else."""
_CATCH_UP_POLL_S = 0.008


@dataclass(frozen=True)
class _Mark:
    """A position in the WAL of a timeline that a replica has to pass."""

    lsn: str
    timeline: int


@dataclass(frozen=True)
class _ReplicaSeen:
    """What the replica says of itself. ``behind`` is the distance to the mark, in bytes, negative when past it."""

    in_recovery: bool
    streaming_from: str | None
    timeline: int | None
    replayed: str | None
    behind: int | None


class ReplicationActivities:
    """Effects on replication, as the platform's superuser."""

    def __init__(self, sql: SqlSessions) -> None:
        """Work through *sql*."""
        self._sql = sql

    @activity.defn(name=effects.SET_SYNCHRONOUS.name)
    async def set_synchronous(self, arg: SetSynchronousInput) -> Nothing:
        """Make commits wait for the standby, or for nobody, and return when that is so for every session.

        Raises:
            Refused: on a standby, which must never have the setting.
            ReplicaBehind: the standby does not stream, or stops to; commits wait for nobody.
            NotYet: it is not in force after 5 s. It stays set, so a caller that gives up sets None again.
        """
        names = synchronous_standby_names(Durability.SYNC, arg.standby)
        # Not behind a commit that hangs: this may be what releases it.
        async with self._sql.use(arg.target, fresh=True) as connection:
            if arg.standby is not None:
                await _require_standby(connection, arg.standby)
            if await _shown(connection) != names:
                await _set_names(connection, names)
            try:
                await _await_in_force(connection, names, arg.standby)
            except ReplicaBehind:
                # Nobody watches a node that an operation has in hand: left set, every commit would hang.
                await _set_names(connection, "")
                raise
        return Nothing()

    @activity.defn(name=effects.RELEASE_COMMITS.name)
    async def release_commits(self, arg: Target) -> Nothing:
        """Make commits on the primary *arg* wait for nobody. Raises :class:`NotYet` as :meth:`set_synchronous`."""
        async with heartbeating():
            return await self.set_synchronous(SetSynchronousInput(target=arg, standby=None))

    @activity.defn(name=effects.REQUIRE_WRITES.name)
    async def require_writes(self, arg: Target) -> Nothing:
        """See that the primary *arg* takes writes, to its own disk. Raises :class:`Refused` for a standby."""
        async with self._sql.use(arg, fresh=True) as connection:
            if await _in_recovery(connection):
                raise Refused(f"The node at {arg.address} is a standby: it takes no writes.")
            await _leave_mark(connection)
        return Nothing()

    @activity.defn(name=effects.AWAIT_CAUGHT_UP.name)
    async def await_caught_up(self, arg: AwaitCaughtUpInput) -> ReplicaCaughtUp:
        """Return when the replica has replayed past a record written on the primary after this call began.

        That it streams proves nothing: a standby whose history has diverged streams for a moment too. So its receiver
        must be connected to this primary, on the primary's timeline, and its replay past the mark. Reads that hold its
        replay up are ended where the input says after how long. Raises
        :class:`ReplicaBehind` with the numbers after ``timeout_s`` seconds, or when the replica has given no answer for
        5 s (that it starts, or refuses, is one), and ``psycopg.OperationalError`` when the primary does not answer.
        """
        primary, replica = (Target.of(arg.cluster_id, node) for node in (arg.primary, arg.replica))
        async with heartbeating():
            async with self._sql.use(primary) as connection:
                mark = await _leave_mark(connection)
            await self._await_past(arg, replica, mark)
            async with self._sql.use(primary) as connection:
                end = str(await _value(connection, "SELECT pg_current_wal_insert_lsn()::text"))
        async with self._sql.use(replica) as connection:
            lag = await _value(connection, "SELECT pg_wal_lsn_diff(%s, pg_last_wal_replay_lsn())::bigint", end)
        return ReplicaCaughtUp(timeline=mark.timeline, lag_bytes=max(0, int(str(lag))))

    async def _await_past(self, arg: AwaitCaughtUpInput, target: Target, mark: _Mark) -> None:
        begun = heard = time.monotonic()
        seen: _ReplicaSeen | None = None
        while True:
            try:
                async with await self._sql.open(target) as connection:
                    while True:
                        seen, heard = await _look_at_replica(connection, mark), time.monotonic()
                        if _is_past(seen, arg.primary.address, mark):
                            return
                        if heard - begun > arg.timeout_s:
                            raise _behind(arg, seen, mark, heard - begun)
                        if arg.reads_end_s is not None and heard - begun > arg.reads_end_s:
                            await end_reads_in_the_way(connection)
                        await asyncio.sleep(_CATCH_UP_POLL_S)
            except psycopg.OperationalError as error:
                now = time.monotonic()
                if outcome_of(error) in SPEAKS:
                    heard = now
                if now - begun > arg.timeout_s or now - heard > SILENT_S:
                    raise _behind(arg, None if now - heard > SILENT_S else seen, mark, now - begun) from None
                await asyncio.sleep(_CATCH_UP_POLL_S * 5)


def _is_past(seen: _ReplicaSeen, primary_address: str, mark: _Mark) -> bool:
    return (
        seen.in_recovery
        and seen.streaming_from == primary_address
        and seen.timeline == mark.timeline
        and seen.behind is not None
        and seen.behind <= 0
    )


def _behind(arg: AwaitCaughtUpInput, seen: _ReplicaSeen | None, mark: _Mark, waited_s: float) -> ReplicaBehind:
    waited = f"Replica {arg.replica.name} has not caught up with {arg.primary.name} in {waited_s:.0f} s"
    wanted = f"the primary was at {mark.lsn} on timeline {mark.timeline}"
    if seen is None:
        return ReplicaBehind(f"{waited}: it does not answer; {wanted}.", remedy="Look at its log.")
    if not seen.in_recovery:
        return ReplicaBehind(f"{waited}: it is not a replica; {wanted}.", remedy="Rebuild it.")
    source = f"streams from {seen.streaming_from}" if seen.streaming_from else "does not stream"
    distance = "" if seen.behind is None else f" ({max(0, seen.behind)} bytes behind)"
    return ReplicaBehind(
        f"{waited}: it {source}, has replayed {seen.replayed}{distance} on timeline {seen.timeline}; {wanted}.",
        remedy="Look at its log, or rebuild it.",
    )


async def _leave_mark(connection: Connection) -> _Mark:
    """Write a small record and return its end, flushed, so that it is sent at once.

    The insert position itself won't do: after a page boundary it is past the last record's end, where no replay gets.
    ``local``, because with a synchronous standby away the commit would wait for the very replica asked about.
    """
    async with connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit = local")
        lsn = await _value(connection, "SELECT pg_logical_emit_message(true, 'mpg', '')::text")
    # After a promotion the control file's timeline is old until the next checkpoint; the current segment's is not.
    segment = str(await _value(connection, "SELECT pg_walfile_name(pg_current_wal_insert_lsn())"))
    return _Mark(lsn=str(lsn), timeline=int(segment[:8], 16))


async def _look_at_replica(connection: Connection, mark: _Mark) -> _ReplicaSeen:
    cursor = await connection.execute(
        "SELECT pg_is_in_recovery(), w.sender_host, w.received_tli, pg_last_wal_replay_lsn()::text,"
        " pg_wal_lsn_diff(%s, pg_last_wal_replay_lsn())::bigint"
        " FROM (VALUES (1)) AS one LEFT JOIN pg_stat_wal_receiver w ON w.status = 'streaming'",
        (mark.lsn,),
    )
    row = await cursor.fetchone()
    assert row is not None
    return _ReplicaSeen(*row)


async def _require_standby(connection: Connection, standby: str) -> None:
    if await _in_recovery(connection):
        raise Refused("A standby cannot make commits wait; only the primary can.")
    bound = time.monotonic() + IN_FORCE_S
    while not await _streams(connection, standby):
        if time.monotonic() > bound:
            raise ReplicaBehind(f"Replica {standby} does not stream after {IN_FORCE_S:g} s; no commit waits for it.")
        await asyncio.sleep(_POLL_S)


async def _set_names(connection: Connection, names: str) -> None:
    await connection.execute(_alter_system(names))
    await connection.execute("SELECT pg_reload_conf()")


async def _await_in_force(connection: Connection, names: str, standby: str | None) -> None:
    begun = heard = time.monotonic()
    while not await _is_in_force(connection, names, standby):
        now = time.monotonic()
        if standby is None or await _streams(connection, standby):
            heard = now
        if standby is not None and now - heard > GONE_S:
            raise ReplicaBehind(f"Replica {standby} has stopped streaming; no commit waits for it.")
        if now - begun > IN_FORCE_S:
            whom = "nobody" if standby is None else f"standby {standby!r}"
            raise NotYet(f"That commits wait for {whom} is not in force after {IN_FORCE_S:g} s.")
        await asyncio.sleep(_POLL_S)


async def _streams(connection: Connection, standby: str) -> bool:
    query = "SELECT count(*) FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'"
    return bool(await _value(connection, query, standby))


async def _is_in_force(connection: Connection, names: str, standby: str | None) -> bool:
    if await _shown(connection) != names or not await _checkpointer_has_reloaded(connection):
        return False
    if standby is None:
        return not await _value(connection, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    query = (
        "SELECT count(*) FROM pg_stat_replication"
        " WHERE application_name = %s AND state = 'streaming' AND sync_state IN ('sync', 'quorum')"
    )
    return bool(await _value(connection, query, standby))


async def _checkpointer_has_reloaded(connection: Connection) -> bool:
    """Tell whether the process that switches waiting on and off for all sessions has read the setting.

    It is the checkpointer (SyncRepUpdateSyncStandbysDefined), which does so when it wakes: seen asleep twice, some
    milliseconds apart and after this session has the new value, it has. While it syncs files it may take seconds.
    """
    for pause in (_POLL_S, 0.0):
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
            " AND wait_event IN ('CheckpointerMain', 'CheckpointWriteDelay')"
        )
        if not await _value(connection, query):
            return False
        await asyncio.sleep(pause)
    return True


def _alter_system(names: str) -> Composed:
    # RESET would bring a value from postgresql.conf back; an empty one is certain.
    return SQL("ALTER SYSTEM SET synchronous_standby_names = {}").format(Literal(names))


async def _in_recovery(connection: Connection) -> bool:
    return bool(await _value(connection, "SELECT pg_is_in_recovery()"))


async def _shown(connection: Connection) -> str:
    return str(await _value(connection, "SELECT current_setting('synchronous_standby_names')"))


async def waits_for_standby(connection: Connection) -> bool:
    """Tell whether commits are set to wait for a standby."""
    return await _shown(connection) != ""


async def _value(connection: Connection, query: LiteralString, *parameters: str) -> object:
    cursor = await connection.execute(query, parameters)
    row = await cursor.fetchone()
    return row[0] if row else None
