"""Watching what backups rest on: that WAL is archived, and that the last good backup is not too old.

Only a change is told of: what holds already is a condition on the cluster's record. A look at the archiver is one short
query on a connection that is kept; one at the age of the backups is a query to the cluster's workflow, seldom.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
import structlog

from activities.watching.sync_watch import SyncWatch
from model.backup_alarms import archiving_trouble, backup_overdue
from model.cluster import ARCHIVING_FAILS, BACKUP_OVERDUE, ClusterView
from model.effects import Alarm, AlarmKind, Archiving, ArchivingInput, WatchInput
from model.errors import MpgError

log = structlog.get_logger()

ARCHIVER_EVERY_S = 30.0
"""Shown within two minutes: the archiver fails three times in 3 s, and what fails is told of at the second look."""
AGE_EVERY_S = 600.0
AGE_WHILE_OVERDUE_S = 60.0

ReadArchiving = Callable[[ArchivingInput], Awaitable[Archiving]]
View = Callable[[], Awaitable[ClusterView | None]]


@dataclass(frozen=True)
class BackupBounds:
    """When it is told of: see the settings of these names."""

    archive_overdue: timedelta
    backup_overdue_factor: float


class BackupWatch:
    """Looks at one cluster's archiver, and at its record of backups."""

    def __init__(self, arg: WatchInput, sync: SyncWatch, read: ReadArchiving, view: View, bounds: BackupBounds) -> None:
        """Watch the cluster of *arg*, by *read* where *sync* says that its primary is, and by its *view*."""
        self._arg = arg
        self._sync = sync
        self._read = read
        self._view = view
        self._bounds = bounds
        self._since = datetime.now(UTC)

    async def until_archiving_changes(self) -> Alarm:
        """Return when archiving fails, or works again, unlike what is on record."""
        await self._until_backed_up()
        told = self._arg.status.condition(ARCHIVING_FAILS) is not None
        while True:
            await asyncio.sleep(ARCHIVER_EVERY_S)
            seen = await self._look()
            if seen is None:
                continue
            trouble = archiving_trouble(seen, datetime.now(UTC), self._since, self._bounds.archive_overdue)
            if bool(trouble) is not told:
                log.warning("archiving of a cluster", cluster=self._arg.cluster_id, told=trouble or "it works again")
                since = seen.last_archived_at or seen.failing_since
                return Alarm(kind=AlarmKind.ARCHIVING, name="archiving", how=trouble, since=since)

    async def _look(self) -> Archiving | None:
        """Return how archiving stands; None where nobody can tell, which is another watch's business."""
        primary = self._arg.status.node(self._sync.primary or "")
        if primary is None:
            return None
        try:
            return await self._read(ArchivingInput(cluster_id=self._arg.cluster_id, primary=primary))
        except (psycopg.Error, OSError, MpgError):
            return None

    async def until_age_changes(self) -> Alarm:
        """Return when a backup is overdue, or none is any more, unlike what is on record."""
        await self._until_backed_up()
        pause_s = AGE_WHILE_OVERDUE_S
        while True:
            await asyncio.sleep(pause_s)
            view = await self._view()
            if view is None or view.state.spec.backups is None:
                continue
            spec, status = view.state.spec, view.state.status
            policy, factor = view.state.spec.backups.policy, self._bounds.backup_overdue_factor
            overdue = backup_overdue(policy, status.backups, spec.created_at, datetime.now(UTC), factor)
            told = status.condition(BACKUP_OVERDUE) is not None
            if bool(overdue) is not told:
                log.warning("backups of a cluster", cluster=spec.id, told=overdue or "none is overdue any more")
                return Alarm(kind=AlarmKind.BACKUP_AGE, name="backups", how=overdue)
            pause_s = AGE_WHILE_OVERDUE_S if told else AGE_EVERY_S

    async def _until_backed_up(self) -> None:
        """Return at once where the cluster has a repository; never where it was made before there were any."""
        if not self._arg.backed_up:
            await asyncio.Event().wait()
