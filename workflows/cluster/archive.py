"""Looking again whether the archive of a cluster is whole, where a takeover could not find out.

Again and again, with longer pauses, and at once when archiving works again. Only while nobody has the turn, but it
takes none: an operation that begins meanwhile is not held up, and a takeover closes the archive's gap itself.
"""

import asyncio
from collections.abc import Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.archive_facts import archive_seen, archive_unknown, gap_to_close
    from model.backups import ARCHIVE_UNKNOWN
    from model.cluster import ARCHIVING_FAILS, ClusterState
    from model.effects import Alarm, AlarmKind
    from model.errors import MpgError
    from model.healing import pause_s
    from workflows.cluster.backups import BackupBook
    from workflows.cluster.losses import WATCHED
    from workflows.cluster.record import ClusterRecord

LOOKS_AFTER_LOSS = "looks-after-loss"
"""Patch: so does the loss of an operation with a takeover in it."""
LOOKS_AFTER_TAKEOVER = "looks-after-takeover"
"""Patch: so does a takeover after which nobody saw what the archive lacks, however it ended."""
DROPS_LATE_LOOKS = "drops-late-looks"
"""Patch: what a look finds is not believed once another node is the primary, or something else is not known."""
FIRST_PAUSE = 5
"""The first pause is that of so many failures, half a minute: whoever could not find out had just tried."""
RESCUE_S = 120.0


class ArchiveKeeper:
    """One look at a time, while the condition ``ArchiveUnknown`` holds."""

    def __init__(self, record: ClusterRecord, backups: BackupBook, free: Callable[[], bool]) -> None:
        """Look while *free* says that nobody has the turn; *backups* hears of a hole."""
        self._record = record
        self._backups = backups
        self._free = free
        self._looking: asyncio.Task[None] | None = None
        self._at_once = False

    def begin(self) -> None:
        """See that somebody looks while it is not known."""
        if self._left_open and workflow.patched(LOOKS_AFTER_TAKEOVER):
            why = "the takeover by its primary did not come to where that is seen."
            self._record.learn(*archive_unknown(why, self._record.status, workflow.now()))
        if self._looking is None and self._wanted:
            self._looking = asyncio.create_task(self._keep())

    def hear(self, alarm: Alarm) -> None:
        """Look at once when archiving works again: what kept the archiver from its work kept us from looking."""
        if alarm.kind is AlarmKind.ARCHIVING and not alarm.how:
            self._at_once = True

    def lost(self, granted: ClusterState | None) -> None:
        """An operation that was *granted* the turn did not complete: where the primary is another one, see to it."""
        before, now = granted and granted.status.primary, self._record.status.primary
        if before is None or now is None or self._record.spec.backups is None:
            return
        if (before.name, before.timeline) != (now.name, now.timeline) and workflow.patched(LOOKS_AFTER_LOSS):
            why = "the operation in which the primary became another one did not complete."
            self._record.learn(*archive_unknown(why, self._record.status, workflow.now()))
            self.begin()

    def stop(self) -> None:
        """Look no more: the workflow's run ends."""
        if self._looking is not None:
            self._looking.cancel()

    @property
    def _left_open(self) -> bool:
        """Whether an operation with a takeover has ended without a look at the archive, and nobody tells of it."""
        spec, status = self._record.spec, self._record.status
        ended = self._free() and status.phase in WATCHED and spec.backups is not None
        unclosed = status.backups.unclosed_since is not None
        return ended and unclosed and status.condition(ARCHIVE_UNKNOWN) is None

    @property
    def _wanted(self) -> bool:
        status = self._record.status
        return status.phase in WATCHED and status.condition(ARCHIVE_UNKNOWN) is not None

    @property
    def _about(self) -> tuple[object, ...]:
        """What a look is about. It tells nothing of another primary's archive, nor of a takeover since it began."""
        primary, unknown = self._record.status.primary, self._record.status.condition(ARCHIVE_UNKNOWN)
        unclosed = self._record.status.backups.unclosed_since
        return primary and (primary.name, primary.timeline), unknown and unknown.message, unclosed

    @property
    def _may_look(self) -> bool:
        return self._free() and self._record.status.condition(ARCHIVING_FAILS) is None

    async def _keep(self) -> None:
        looks = FIRST_PAUSE
        self._at_once = False
        try:
            while self._wanted:
                await self._pause(pause_s(looks))
                await workflow.wait_condition(lambda: self._may_look or not self._wanted)
                looks += 1
                await self._look()
        finally:
            self._looking = None

    async def _pause(self, seconds: float) -> None:
        try:
            await workflow.wait_condition(lambda: self._at_once or not self._wanted, timeout=seconds)
        except TimeoutError:
            return
        self._at_once = False

    async def _look(self) -> None:
        primary = self._record.status.primary
        gap = primary and gap_to_close(self._record.state, primary)
        if not self._wanted or primary is None or gap is None:
            return
        about = self._about
        arg = gap.model_copy(update={"rescue_s": RESCUE_S, "release": False})
        summary = f"see again that {primary.name} archives what is not archived"
        try:
            report = await self._record.effect(effects.CLOSE_ARCHIVE_GAP, arg, summary)
        except MpgError as error:
            workflow.logger.warning("it is still not known whether the archive is whole", extra={"error": str(error)})
            return
        if self._about != about and workflow.patched(DROPS_LATE_LOOKS):
            workflow.logger.info("a takeover came between: the archive is looked at again")
        elif report.unknown is None:
            facts = archive_seen(report, self._record.status, workflow.now())
            self._record.learn(*facts)
            self._backups.hear(facts)
        elif report.rescued:
            # There is more of it.
            self._at_once = True
