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
from temporalio.service import RPCError

from activities.watching.sync_watch import SyncWatch
from model.backup_alarms import archiving_trouble, backup_overdue, drill_overdue
from model.backups import BackupPolicy
from model.cluster import (
    ARCHIVING_FAILS,
    BACKUP_OVERDUE,
    DRILL_OVERDUE,
    ClusterPhase,
    ClusterSpec,
    ClusterState,
    ClusterView,
)
from model.effects import Alarm, AlarmKind, Archiving, ArchivingInput, WatchInput
from model.errors import MpgError

log = structlog.get_logger()

ARCHIVER_EVERY_S = 30.0
"""Shown within two minutes: the archiver fails three times in 3 s, and what fails is told of at the second look."""
AGE_EVERY_S = 600.0
AGE_WHILE_OVERDUE_S = 60.0
FIRST_LOOK_S = 20.0
"""At a cluster without a backup: its first one is begun with it, and done by then. Then less and less often."""

ReadArchiving = Callable[[ArchivingInput], Awaitable[Archiving]]
View = Callable[[], Awaitable[ClusterView | None]]
BeginBackup = Callable[[ClusterSpec], Awaitable[None]]
ForgetEnded = Callable[[ClusterState], Awaitable[None]]


@dataclass(frozen=True)
class BackupBounds:
    """When it is told of: see the settings of these names."""

    archive_overdue: timedelta
    backup_overdue_factor: float
    drill_overdue_factor: float


class BackupWatch:
    """Looks at one cluster's archiver, and at its record of backups."""

    def __init__(
        self,
        arg: WatchInput,
        sync: SyncWatch,
        view: View,
        bounds: BackupBounds,
        *,
        read: ReadArchiving,
        begin: BeginBackup,
        forget: ForgetEnded,
    ) -> None:
        """Watch the cluster of *arg*, by *read* where *sync* says that its primary is, and by its *view*.

        Where it has no backup at all one is begun, by *begin*. *forget* takes off the record what ended without a word.
        """
        self._arg = arg
        self._sync = sync
        self._view = view
        self._bounds = bounds
        self._read = read
        self._begin = begin
        self._forget = forget
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
        """Return when a backup or a drill is overdue, or none is any more, unlike what is on record.

        A cluster that has none at all does not wait for the next time of its schedule: the first one may have failed,
        or the record was lost before it was told of it.
        """
        await self._until_backed_up()
        pause_s = AGE_WHILE_OVERDUE_S if self._arg.status.backups.latest() else FIRST_LOOK_S
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
            undrilled = self._undrilled(view.state, policy)
            if bool(undrilled) is not (status.condition(DRILL_OVERDUE) is not None):
                log.warning("drills of a cluster", cluster=spec.id, told=undrilled or "none is overdue any more")
                return Alarm(kind=AlarmKind.DRILL_AGE, name="drills", how=undrilled)
            told = told or bool(undrilled)
            if status.backups.latest() is None and status.phase is ClusterPhase.READY:
                await self._begin_first(spec)
                pause_s = min(2 * pause_s, AGE_EVERY_S)
            else:
                under_way = status.backups.running or status.backups.drill
                pause_s = AGE_WHILE_OVERDUE_S if told or under_way else AGE_EVERY_S
            await self._forget_ended(view.state)

    async def _forget_ended(self, state: ClusterState) -> None:
        try:
            await self._forget(state)
        except RPCError as error:
            log.warning("could not see what still runs", cluster=state.spec.id, error=str(error))

    def _undrilled(self, state: ClusterState, policy: BackupPolicy) -> str:
        known, factor = state.status.backups, self._bounds.drill_overdue_factor
        return drill_overdue(policy, known, state.spec.created_at, datetime.now(UTC), factor)

    async def _begin_first(self, spec: ClusterSpec) -> None:
        try:
            await self._begin(spec)
        except RPCError as error:
            log.warning("could not begin a first backup", cluster=spec.id, error=str(error))

    async def _until_backed_up(self) -> None:
        """Return at once where the cluster has a repository; never where it was made before there were any."""
        if not self._arg.backed_up:
            await asyncio.Event().wait()
