"""What the cluster's workflow knows of its backups: which one is being made, and how the last ones went.

Where the archive has a hole it begins one: until then nothing after the hole can be restored.
"""

import asyncio
from collections.abc import Sequence

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model.archive_facts import gap_held
    from model.backup_runs import begun, noted
    from model.backups import ARCHIVE_GAP, BackupNote, BackupType, Reading
    from model.effects import BackupClaim, BackupStart
    from model.facts import BackupRecordIs, ConditionIs, Fact
    from model.names import operation_workflow_id
    from model.operations import BackupRequest
    from workflows.cluster.losses import WATCHED
    from workflows.cluster.record import ClusterRecord, no_condition


class BackupBook:
    """One backup at a time, and what came of each."""

    def __init__(self, record: ClusterRecord) -> None:
        """Write into *record*."""
        self._record = record
        self._beginning: asyncio.Task[None] | None = None

    def begin(self, claim: BackupClaim) -> BackupStart:
        """Put a backup on record as the one that is made now; answer with another one, if that is made already.

        A cluster that has nothing to back up takes none; its state tells why.
        """
        if self._record.status.phase not in WATCHED or self._record.spec.backups is None:
            return BackupStart(state=self._record.state)
        before = self._record.status.backups
        after = begun(before, claim.run, claim.instead_of)
        if after != before:
            self._record.learn(BackupRecordIs(record=after))
        running = after.running
        other = running if running is not None and running.operation_id != claim.run.operation_id else None
        return BackupStart(state=self._record.state, other=other)

    def note(self, note: BackupNote) -> None:
        """Record what an operation tells of its backup."""
        if note.failure is not None:
            workflow.logger.error("backup failed", extra={"operation": note.operation_id, "why": note.failure.message})
        before = self._record.status.backups
        after = noted(before, note)
        self._record.learn(BackupRecordIs(record=after))
        gap = self._record.status.condition(ARCHIVE_GAP)
        if before.holes:
            self._record.learn(gap_held(after.holes, gap.since if gap else workflow.now()))
        elif gap is not None and any(made.started_at >= gap.since for made in note.made):
            # From before holes were on record.
            self._record.learn(no_condition(ARCHIVE_GAP))

    def put_readers(self, readers: tuple[Reading, ...]) -> None:
        """Record who reads backups."""
        record = self._record.status.backups.model_copy(update={"readers": readers})
        self._record.learn(BackupRecordIs(record=record))

    def hear(self, facts: Sequence[Fact]) -> None:
        """Hear what an operation reported; begin a backup where that is a hole in the archive."""
        found = (fact.condition for fact in facts if isinstance(fact, ConditionIs))
        if any(condition.type == ARCHIVE_GAP and condition.status for condition in found):
            self._beginning = asyncio.create_task(self._back_up())

    async def _back_up(self) -> None:
        """An incremental one is enough: it needs the files of those before it, and no WAL from before its beginning."""
        spec = self._record.spec
        request = BackupRequest(cluster_id=spec.id, type=BackupType.INCR, scheduled=True)
        await workflow.start_child_workflow(
            request.operation,
            request,
            id=operation_workflow_id(request.operation, spec.name, f"gap-{str(workflow.uuid4())[:13]}"),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            search_attributes=self._record.shown_by(request.operation),
            static_summary=f"Backup incr on {spec.name}: its archive has a hole",
        )
