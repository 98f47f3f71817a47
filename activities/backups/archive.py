"""The archive of WAL between backups: how archiving stands, and closing the gap that a takeover leaves."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import LiteralString

import structlog
from temporalio import activity

from activities.backups.contents import INFO, archive_directory, parse_contents
from activities.backups.last_commit import last_commit
from activities.backups.pgbackrest import PgBackRest
from activities.backups.sentences import sentence
from activities.backups.unarchived import discard_kept, hand_over, kept_segments
from activities.heartbeat import heartbeating
from activities.nodes.archiving import ARCHIVE_LOG, release_archiver
from activities.postgres.sql import SqlSessions
from model import effects
from model.archive_gap import WalSeen, before, directories, find_gap, first_needed, is_segment, on_line
from model.cluster import Node
from model.effects import Archiving, ArchivingInput, GapInput, GapReport, Target
from model.errors import NotYet
from model.names import NODES, node_container

log = structlog.get_logger()

_ARCHIVER: LiteralString = """
SELECT last_archived_time, last_archived_wal,
       last_failed_time > coalesce(last_archived_time, '-infinity'),
       current_setting('archive_mode') = 'on' AND current_setting('archive_command') = '',
       (SELECT min(modification) FROM pg_ls_archive_statusdir() WHERE name LIKE '%%.ready'),
       (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%%.ready')
           * (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
       pg_read_file(%s, true),
       coalesce(last_archived_time, '-infinity') < now() - %s
FROM pg_stat_archiver
"""
_WAL: LiteralString = """
SELECT pg_walfile_name(pg_current_wal_lsn()),
       (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'),
       pg_read_file('pg_wal/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '.history', true),
       (SELECT coalesce(array_agg(name), '{}') FROM pg_ls_waldir())
"""
_QUEUED: LiteralString = """
SELECT array_agg(left(name, 24)) FROM pg_ls_archive_statusdir()
WHERE name LIKE '%%.ready' AND left(name, 24) = ANY (%s)
"""
LISTING_S = 30.0
"""For what is in the archive. A store that does not answer is not waited for: then more is archived than need be."""
SEGMENTS_READ = 16
"""Of those before a hole, to find the last commit: each has one in a cluster that works."""
QUEUE_S = 5.0
"""For the archiver to archive what it was handed and a former primary keeps as well: some 30 ms for each segment."""
QUEUE_POLL_S = 0.1
PUSH_AT_ONCE = 200
"""Segments, of some 30 ms each, between two looks at the clock."""
SILENT = timedelta(seconds=60)
"""A segment takes some 30 ms. One that takes so long waits for a store that gives no answer."""
NO_ANSWER = "The repository gives no answer."
HELD = "Archiving was stopped for a switchover that did not come to its end."


class ArchiveActivities:
    """The effects ``read_archiving`` and ``close_archive_gap``."""

    def __init__(self, pgbackrest: PgBackRest, sql: SqlSessions) -> None:
        """Look through *sql* at nodes, and through *pgbackrest* at repositories."""
        self._pgbackrest = pgbackrest
        self._docker = pgbackrest.docker
        self._sql = sql

    @activity.defn(name=effects.READ_ARCHIVING.name)
    async def read_archiving(self, arg: ArchivingInput) -> Archiving:
        """Return how archiving stands on the primary. Raises ``psycopg.Error``."""
        async with heartbeating():
            return await self.look(arg)

    async def look(self, arg: ArchivingInput) -> Archiving:
        """The same for a watch, which looks all the time and heartbeats by itself."""
        async with self._sql.use(Target.of(arg.cluster_id, arg.primary)) as connection:
            row = await (await connection.execute(_ARCHIVER, [ARCHIVE_LOG, SILENT])).fetchone()
        assert row is not None, "pg_stat_archiver has one row"
        archived_at, wal, failed, held, waits_since, waiting, said, idle = row
        now = datetime.now(UTC)
        silent = idle and waits_since is not None and waits_since < now - SILENT
        fails = bool(held or silent or (failed and waits_since is not None))
        why = HELD if held else sentence(said or "") or NO_ANSWER
        return Archiving(
            last_archived_at=archived_at,
            last_archived_wal=wal,
            failing_since=(waits_since or now) if fails else None,
            reason=why if fails else None,
            waiting_bytes=int(waiting),
        )

    @activity.defn(name=effects.CLOSE_ARCHIVE_GAP.name)
    async def close_archive_gap(self, arg: GapInput) -> GapReport:
        """Hand to the new primary's archiver what the old one wrote and did not archive.

        What only a former primary's volume has is archived from there. Where the repository does not answer everything
        that the primary has is handed over, for when it does, and what others have stays there. Raises
        ``psycopg.Error`` and :class:`NotYet`.
        """
        async with heartbeating():
            report = await self._close(arg)
        if report != GapReport():
            log.warning("the archive had a gap", cluster=arg.cluster_id, **report.model_dump(exclude_defaults=True))
        return report

    async def _close(self, arg: GapInput) -> GapReport:
        kept = await self._kept(arg)
        seen = await self._wal(arg)
        archive = await self._archived(arg, seen)
        gap = find_gap(seen, archive.names, archive.since)
        gone = await hand_over(self._docker, arg.primary.container, gap.there) if gap.there else ()
        handed_over = len(gap.there) - len(gone)
        if archive.names is None:
            return GapReport(handed_over=handed_over, unknown=archive.why)
        rescue = await self._rescue(arg, seen, sorted({*gap.missing, *(name for name in gone if is_segment(name))}))
        report = GapReport(handed_over=handed_over, rescued=rescue.archived)
        if rescue.left:
            why = f"{rescue.left} segments are still to be archived from the volume of a former primary."
            return report.model_copy(update={"unknown": why})
        handed = {*gap.there} - {*gone}
        if waiting := await self._waiting(arg, [name for names in kept.values() for name in names if name in handed]):
            why = f"{waiting} segments that a former primary keeps are in the archiver's queue, and not archived yet."
            return report.model_copy(update={"unknown": why})
        for container, names in kept.items():
            await discard_kept(self._docker, container, names)
        if not rescue.lost:
            return report
        ends = {"lost": rescue.lost[0], "lost_last": rescue.lost[-1]}
        return report.model_copy(update=ends | {"intact_until": await self._intact_until(arg, seen, archive, rescue)})

    async def _waiting(self, arg: GapInput, names: Sequence[str]) -> int:
        """Return how many of *names* the primary's archiver has not archived yet, with a moment to do so."""
        deadline, left = time.monotonic() + QUEUE_S, list(names)
        if not left:
            return 0
        async with self._sql.use(Target.of(arg.cluster_id, arg.primary)) as connection:
            # It hears of nothing that is marked by others, and looks by itself once a minute; a reload wakes it.
            await connection.execute("SELECT pg_reload_conf()")
            while True:
                row = await (await connection.execute(_QUEUED, [left])).fetchone()
                left = (row and row[0]) or []
                if not left or time.monotonic() > deadline:
                    return len(left)
                await asyncio.sleep(QUEUE_POLL_S)

    async def _intact_until(
        self, arg: GapInput, seen: WalSeen, archive: "_Archive", rescue: "_Rescue"
    ) -> datetime | None:
        """Return when the last commit before the hole was; where none is known, when the newest backup ended."""
        try:
            segments = before(seen, rescue.lost[0], SEGMENTS_READ)
            found = await last_commit(self._pgbackrest, arg, arg.primary, segments)
        except NotYet as error:
            log.warning("the last commit before the hole is not known", cluster=arg.cluster_id, error=str(error))
            found = None
        return max((each for each in (found, archive.backed_up_at) if each), default=None)

    async def _kept(self, arg: GapInput) -> dict[str, tuple[str, ...]]:
        """What nodes keep of their time as primaries. Looked at first: what one begins to keep meanwhile stays."""
        containers = [node_container(arg.cluster_id, name) for name in NODES]
        kept = {each: await kept_segments(self._docker, each) for each in containers}
        return {container: names for container, names in kept.items() if names}

    async def _wal(self, arg: GapInput) -> WalSeen:
        async with self._sql.use(Target.of(arg.cluster_id, arg.primary)) as connection:
            if arg.release:
                await release_archiver(connection)
            row = await (await connection.execute(_WAL)).fetchone()
        assert row is not None, "a SELECT without a filter has one row"
        current, segment_bytes, history, files = row
        return WalSeen(current=current, segment_bytes=int(segment_bytes), history=history or "", files=frozenset(files))

    async def _archived(self, arg: GapInput, seen: WalSeen) -> "_Archive":
        try:
            said = await self._pgbackrest.ask(arg, "read the archive", INFO, wait_s=LISTING_S)
            good = first_needed(on_line(parse_contents(said), seen).good, arg.unknown_since)
            since, backed_up_at = (good[-1].first_wal, good[-1].finished_at) if good else (None, None)
            archive = archive_directory(said, arg.cluster_id)
            if archive is None and good:
                return _Archive(why="There are backups, and no archive.")
            if archive is None:
                return _Archive(names=frozenset())
            places = ["", *(f"/{name}" for name in directories(seen, since))]
            listing = [("repo-ls", f"{archive}{place}") for place in places]
            names = await self._pgbackrest.ask(arg, "read the archive", *listing, wait_s=LISTING_S)
        except NotYet as error:
            log.warning("the archive cannot be seen", cluster=arg.cluster_id, error=str(error))
            return _Archive(why=error.message)
        # A segment's name is followed by its checksum.
        found = frozenset(name.partition("-")[0] for name in names.split())
        return _Archive(names=found, since=since, backed_up_at=backed_up_at)

    async def _rescue(self, arg: GapInput, seen: WalSeen, lacking: Sequence[str]) -> "_Rescue":
        """Archive from the nodes' volumes what the primary does not have in its ``pg_wal``, as much as time allows."""
        deadline, lost, archived = time.monotonic() + arg.rescue_s, list[str](), 0
        for begin in range(0, len(lacking), PUSH_AT_ONCE):
            if begin and time.monotonic() > deadline:
                return _Rescue(lost, archived, len(lacking) - begin)
            left = list(lacking[begin : begin + PUSH_AT_ONCE])
            for node in self._former_primaries(arg):
                found = await self._pgbackrest.push(arg, node, left, seen.segment_bytes) if left else frozenset[str]()
                archived += len(found)
                left = [name for name in left if name not in found]
            lost += left
        return _Rescue(lost, archived, 0)

    def _former_primaries(self, arg: GapInput) -> tuple[Node, Node]:
        """The other node, and the primary itself: it may have been one before the last."""
        name = next(node for node in NODES if node != arg.primary.name)
        container = node_container(arg.cluster_id, name)
        return arg.primary.model_copy(update={"name": name, "container": container}), arg.primary


@dataclass(frozen=True)
class _Archive:
    """What is in an archive, None where that cannot be seen and *why*, and from where on everything has to be."""

    names: frozenset[str] | None = None
    since: str | None = None
    why: str = ""
    backed_up_at: datetime | None = None
    """When the newest backup ended."""


@dataclass(frozen=True)
class _Rescue:
    """What nobody has, how many were archived, and how many were not looked for yet."""

    lost: list[str]
    archived: int
    left: int
