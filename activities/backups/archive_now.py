"""Effect that has everything that a primary committed archived now, rather than within ``archive_timeout``."""

import asyncio
import time
from typing import LiteralString

import psycopg
from temporalio import activity

from activities.heartbeat import heartbeating
from activities.postgres.sql import Connection, SqlSessions
from model import effects
from model.effects import ArchivedTo, ArchiveNowInput, Target
from model.errors import Refused

_POLL_S = 0.05
_AGAIN_S = 0.3

_MARK: LiteralString = "SELECT clock_timestamp(), pg_current_xact_id()"
"""With a transaction of its own: only at one that is later does a recovery know that it came to a moment."""
_SWITCH: LiteralString = "SELECT pg_walfile_name(pg_switch_wal() - 1)"
"""The segment that was finished, also where nothing was written since the last one was. (The position is its end.)"""
_WAITING: LiteralString = """
SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name ~ '^[0-9A-F]{24}\\.ready$' AND left(name, 24) <= %s
"""


class FlushActivities:
    """The effect ``archive_now``."""

    def __init__(self, sql: SqlSessions) -> None:
        """Ask primaries through *sql*."""
        self._sql = sql

    @activity.defn(name=effects.ARCHIVE_NOW.name)
    async def archive_now(self, arg: ArchiveNowInput) -> ArchivedTo:
        """Finish the segment that is being written, and return once it and all before it are archived.

        Raises :class:`Refused` when they are not in time, or the primary does not answer: who asks goes on without.
        """
        deadline = time.monotonic() + arg.timeout_s
        async with heartbeating():
            while True:
                try:
                    return await self._archive(arg, deadline)
                except psycopg.Error as error:
                    if time.monotonic() > deadline:
                        raise Refused(
                            f"Node {arg.primary.name} does not answer: {' '.join(str(error).split())}"
                        ) from None
                await asyncio.sleep(_AGAIN_S)

    async def _archive(self, arg: ArchiveNowInput, deadline: float) -> ArchivedTo:
        async with self._sql.use(Target.of(arg.cluster_id, arg.primary)) as connection:
            row = await (await connection.execute(_MARK)).fetchone()
            assert row is not None, "a SELECT without FROM has one row"
            segment = await _value(connection, _SWITCH)
            while await _value(connection, _WAITING, segment):
                if time.monotonic() > deadline:
                    raise Refused(
                        f"WAL of node {arg.primary.name} is not archived after {arg.timeout_s:g} s.",
                        remedy="'mpg status' says what keeps the archiver from it.",
                    )
                await asyncio.sleep(_POLL_S)
        return ArchivedTo(at=row[0])


async def _value(connection: Connection, query: LiteralString, *parameters: object) -> object:
    row = await (await connection.execute(query, parameters or None)).fetchone()
    return row[0] if row else None
