"""The archive of WAL between backups: how archiving stands, and closing the gap that a takeover leaves."""

from datetime import UTC, datetime
from typing import LiteralString

from temporalio import activity

from activities.backups.pgbackrest import PgBackRest
from activities.backups.sentences import sentence
from activities.heartbeat import heartbeating
from activities.nodes.archiving import ARCHIVE_LOG
from activities.postgres.sql import SqlSessions
from model import effects
from model.effects import Archiving, ArchivingInput, GapInput, GapReport, Target

_ARCHIVER: LiteralString = """
SELECT last_archived_time, last_archived_wal,
       last_failed_time > coalesce(last_archived_time, '-infinity'),
       current_setting('archive_mode') = 'on' AND current_setting('archive_command') = '',
       (SELECT min(modification) FROM pg_ls_archive_statusdir() WHERE name LIKE '%%.ready'),
       (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%%.ready')
           * (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
       pg_read_file(%s, true)
FROM pg_stat_archiver
"""
HELD = "Archiving was stopped for a switchover that did not come to its end."


class ArchiveActivities:
    """The effects ``read_archiving`` and ``close_archive_gap``."""

    def __init__(self, pgbackrest: PgBackRest, sql: SqlSessions) -> None:
        """Look through *sql* at nodes, and through *pgbackrest* at repositories."""
        self._pgbackrest = pgbackrest
        self._sql = sql

    @activity.defn(name=effects.READ_ARCHIVING.name)
    async def read_archiving(self, arg: ArchivingInput) -> Archiving:
        """Return how archiving stands on the primary. Raises ``psycopg.Error``."""
        async with heartbeating(), self._sql.use(Target.of(arg.cluster_id, arg.primary)) as connection:
            row = await (await connection.execute(_ARCHIVER, [ARCHIVE_LOG])).fetchone()
        assert row is not None, "pg_stat_archiver has one row"
        archived_at, wal, failed, held, waits_since, waiting, said = row
        fails = bool(held or (failed and waits_since is not None))
        return Archiving(
            last_archived_at=archived_at,
            last_archived_wal=wal,
            failing_since=(waits_since or datetime.now(UTC)) if fails else None,
            reason=(HELD if held else sentence(said or "")) if fails else None,
            waiting_bytes=int(waiting),
        )

    @activity.defn(name=effects.CLOSE_ARCHIVE_GAP.name)
    async def close_archive_gap(self, arg: GapInput) -> GapReport:
        """Hand to the new primary's archiver what the old one wrote and did not archive."""
        raise NotImplementedError
