"""The archive of WAL between backups: how archiving stands, and closing the gap that a takeover leaves."""

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import LiteralString

import structlog
from temporalio import activity

from activities.backups.contents import INFO, archive_directory, parse_contents
from activities.backups.pgbackrest import PgBackRest
from activities.backups.sentences import sentence
from activities.engine.docker_engine import DockerEngine
from activities.heartbeat import heartbeating
from activities.nodes.archiving import ARCHIVE_LOG, release_archiver
from activities.postgres.sql import SqlSessions
from model import effects
from model.archive_gap import WalSeen, directories, find_gap
from model.effects import Archiving, ArchivingInput, GapInput, GapReport, Target
from model.errors import NotYet
from model.names import NODES, PGDATA, SUPERUSER, node_container

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
LISTING_S = 30.0
"""For what is in the archive. A store that does not answer is not waited for: then more is archived than need be."""
HAND_OVER_S = 60.0
AS_POSTGRES = ("setpriv", f"--reuid={SUPERUSER}", f"--regid={SUPERUSER}", "--init-groups", "--", "sh")
GONE = "GONE "
_WAL_NAME = re.compile(r"[0-9A-F]{24}|[0-9A-F]{8}\.history")
_HAND_OVER = """cd {wal} && for name in {names}; do
    mark=archive_status/$name
    [ -e $mark.ready ] || mv $mark.done $mark.ready 2>/dev/null || : > $mark.ready
    [ -e $name ] || {{ rm -f $mark.ready; echo "GONE $name"; }}
done
echo {end}
"""
SILENT = timedelta(seconds=60)
"""A segment takes some 30 ms. One that takes so long waits for a store that gives no answer."""
NO_ANSWER = "The repository gives no answer."
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

        What only the other node has is archived from its volume. Where the repository does not answer everything that
        the primary has is handed over, for when it does. Raises ``psycopg.Error`` and :class:`NotYet`.
        """
        async with heartbeating():
            seen = await self._wal(arg)
            archived, since = await self._archived(arg, seen)
            gap = find_gap(seen, archived, since)
            gone = await hand_over(self._pgbackrest.docker, arg.primary.container, gap.there) if gap.there else ()
            lost = await self._rescue(arg, sorted({*gap.missing, *gone}))
        report = GapReport(handed_over=len(gap.there) - len(gone), lost=lost[0] if lost else None)
        if report != GapReport():
            log.warning("the archive had a gap", cluster=arg.cluster_id, handed_over=report.handed_over, lost=lost)
        return report

    async def _wal(self, arg: GapInput) -> WalSeen:
        async with self._sql.use(Target.of(arg.cluster_id, arg.primary)) as connection:
            await release_archiver(connection)
            row = await (await connection.execute(_WAL)).fetchone()
        assert row is not None, "a SELECT without a filter has one row"
        current, segment_bytes, history, files = row
        return WalSeen(current=current, segment_bytes=int(segment_bytes), history=history or "", files=frozenset(files))

    async def _archived(self, arg: GapInput, seen: WalSeen) -> tuple[frozenset[str] | None, str | None]:
        """Return what is in the archive, None where that cannot be seen, and from where on everything has to be."""
        try:
            said = await self._pgbackrest.ask(arg, "read the archive", INFO, wait_s=LISTING_S)
            good = [each for each in parse_contents(said).backups if each.error is None]
            since = good[-1].first_wal if good else None
            archive = archive_directory(said, arg.cluster_id)
            if archive is None:
                return None, since
            places = ["", *(f"/{name}" for name in directories(seen, since))]
            listing = [("repo-ls", f"{archive}{place}") for place in places]
            names = await self._pgbackrest.ask(arg, "read the archive", *listing, wait_s=LISTING_S)
        except NotYet as error:
            log.warning("the archive cannot be seen", cluster=arg.cluster_id, error=str(error))
            return None, None
        # A segment's name is followed by its checksum.
        return frozenset(name.partition("-")[0] for name in names.split()), since

    async def _rescue(self, arg: GapInput, lacking: Sequence[str]) -> list[str]:
        """Archive from the other node's volume what the primary does not have; return what nobody has."""
        if not lacking:
            return []
        docker = self._pgbackrest.docker
        name = next(node for node in NODES if node != arg.primary.name)
        container = node_container(arg.cluster_id, name)
        paths = [(each, f"{PGDATA}/pg_wal/{each}") for each in lacking]
        there = [(each, path) for each, path in paths if await docker.path_exists(container, path)]
        if there:
            node = arg.primary.model_copy(update={"name": name, "container": container})
            pushes = [("archive-push", path) for _, path in there]
            await self._pgbackrest.work(arg, f"archive what only node {name} has", *pushes, node=node)
            log.warning("archived from the other node", cluster=arg.cluster_id, node=name, segments=len(there))
        return [each for each in lacking if each not in {found for found, _ in there}]


async def hand_over(docker: DockerEngine, container: str, names: Sequence[str]) -> tuple[str, ...]:
    """Put finished segments and history files into the queue of a node's archiver; return what is not there any more.

    A segment is marked in one step, so that Postgres never sees one that is in no state; looked for afterwards, because
    until then it may have been removed as done.
    """
    assert all(_WAL_NAME.fullmatch(name) for name in names), "names go into a script"
    end = f"END-{secrets.token_hex(8)}"
    script = _HAND_OVER.format(names=" ".join(names), wal=f"{PGDATA}/pg_wal", end=end)
    session = await docker.open_exec(container, AS_POSTGRES)
    try:
        said = await session.converse(script.encode(), f"{end}\n".encode(), HAND_OVER_S)
    finally:
        await session.close()
    return tuple(line.removeprefix(GONE) for line in said.decode().splitlines() if line.startswith(GONE))
