"""VerifyBackup: a drill. A backup is restored to a place that is thrown away, and everything in it is read.

It has no turn and changes nothing of the cluster but its record: which backup was proven when, and how long it took.
"""

import asyncio

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.backups import Backup
    from model.checks import check
    from model.cluster import OVER, ClusterPhase, ClusterState
    from model.drill_runs import choose_backup
    from model.drills import DrillNote, DrillRun, Proof
    from model.effects import RepositoryRef
    from model.errors import MpgError, NotFound, Refused
    from model.operations import OperationResult, VerifyBackupRequest
    from model.timelines import timeline_of
    from workflows.call import call, failure_of
    from workflows.operation import Done, Operation
    from workflows.operations.scheduling import unschedule

CHOOSE = "choose a backup"
RESTORE = "restore it and read everything"


@workflow.defn
class VerifyBackup(Operation):
    """Prove a backup."""

    @workflow.run
    async def run(self, request: VerifyBackupRequest) -> OperationResult:
        """Choose, restore, read, record. There is nothing to undo: the effect removes what it makes."""
        self._request = request
        self._chosen: Backup | None = None
        self._report: effects.DrillReport | None = None

        async def steps() -> Done:
            if self._other is not None:
                return Done(f"Left out: {self._other.operation_id} is under way.", changed=False)
            self.plan(CHOOSE, RESTORE)
            try:
                return await self._prove()
            except (Exception, asyncio.CancelledError) as error:
                await self.finish(self._note_failure(error))
                raise

        return await self.operate(request, steps, self._begin)

    # --- in place of a turn -------------------------------------------------------------------------------------------

    async def _begin(self) -> ClusterState:
        """Put the drill on the cluster's record: there is one at a time."""
        info = workflow.info()
        run = DrillRun(operation_id=info.workflow_id, run_id=info.run_id, started_at=workflow.now())
        arg = effects.BeginDrillInput(cluster_id=self._request.cluster_id, run=run)
        try:
            start = await call(effects.BEGIN_DRILL, arg, summary="ask how the cluster stands")
        except NotFound:
            await unschedule(self._request)
            raise
        self.state, self._other = start.state, start.other
        if self.state.status.phase in {*OVER, ClusterPhase.DESTROYING}:
            await unschedule(self._request)
        check(self.state, self._request)
        if self._other is not None and not self._request.scheduled:
            raise Refused(
                f"A backup of cluster {self.state.spec.name} is being verified already, by {self._other.operation_id}.",
                remedy="Wait for its end.",
            )
        return self.state

    # --- steps --------------------------------------------------------------------------------------------------------

    async def _prove(self) -> Done:
        contents = await self.step(CHOOSE, effects.READ_REPOSITORY, self._repository)
        self._chosen = chosen = choose_backup(contents, self._request.backup_id)
        leads_on = contents.is_on_history(chosen)
        arg = effects.DrillInput(
            **dict(self._repository),
            cluster_name=self.state.spec.name,
            backup_id=chosen.id,
            size_bytes=chosen.size_bytes,
            # The archive goes on along the newest timeline, to which not every backup leads.
            to_end=self._request.backup_id is None and leads_on,
            timeline=None if leads_on else timeline_of(chosen.last_wal),
            request_id=self._id.rpartition("/")[2],
        )
        report = await self.do(RESTORE, lambda: self._restore(arg))
        proof = self._proof(chosen, report)
        await self.see_through(self._note(proof))
        return Done(_told(proof))

    async def _restore(self, arg: effects.DrillInput) -> effects.DrillReport:
        self._report = report = await self.effect(effects.DRILL_BACKUP, arg, RESTORE)
        if report.fault is not None:
            raise MpgError(f"Backup {arg.backup_id} is not proven: {report.fault}")
        return report

    def _proof(self, chosen: Backup, report: effects.DrillReport) -> Proof:
        return Proof(operation_id=self._id, backup_id=chosen.id, at=workflow.now(), **dict(report))

    # --- the record ---------------------------------------------------------------------------------------------------

    async def _note_failure(self, error: BaseException) -> None:
        """Record why a backup was not proven. A drill that somebody ended says nothing about it."""
        proof = None
        if self._chosen is not None and not is_cancelled_exception(error):
            # One that was reported and could not be recorded is proven all the same.
            report = self._report or effects.DrillReport(fault=str(failure_of(error)))
            proof = self._proof(self._chosen, report).model_copy(update={"verdict": self._report is not None})
        try:
            await self._note(proof)
        except MpgError as lost:
            workflow.logger.error("what came of the drill is not on record", extra={"error": str(lost)})

    async def _note(self, proof: Proof | None) -> None:
        note = DrillNote(operation_id=self._id, proof=proof)
        arg = effects.NoteDrillInput(cluster_id=self._request.cluster_id, note=note)
        await call(effects.NOTE_DRILL, arg, summary="record what came of the drill")

    @property
    def _id(self) -> str:
        return workflow.info().workflow_id

    @property
    def _repository(self) -> RepositoryRef:
        spec = self.state.spec
        assert spec.backups is not None, "checked"
        return RepositoryRef(cluster_id=spec.id, repository=spec.backups.repository, image=spec.image)


def _told(proof: Proof) -> str:
    size, seconds = proof.restored_bytes or 0, proof.recovery_s or 0.0
    until = "the end of its archive" if proof.archive_s is not None else "its end"
    compared = (
        "no rows were sampled when it was made"
        if proof.compared is None
        else f"sampled rows of {proof.compared} tables are there"
    )
    return (
        f"Backup {proof.backup_id} is proven: {size / 2**20:.1f} MB were restored to {until} in {seconds:.1f} s; "
        f"every page and index is sound, {compared}."
    )
