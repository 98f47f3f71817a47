"""What the cluster's workflow knows of drills: which one is under way, and which backups were proven."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model.cluster import DRILL_FAILED
    from model.doubts import failed_proofs
    from model.drill_runs import drill_begun, drill_noted
    from model.drills import DrillNote, Proof
    from model.effects import DrillClaim, DrillStart
    from model.facts import BackupRecordIs
    from workflows.cluster.losses import WATCHED
    from workflows.cluster.record import ClusterRecord, no_condition


class DrillBook:
    """One drill at a time, and what came of each."""

    def __init__(self, record: ClusterRecord) -> None:
        """Write into *record*."""
        self._record = record

    def begin(self, claim: DrillClaim) -> DrillStart:
        """Put a drill on record as the one that is under way; answer with another one, if that is there already.

        A cluster that has nothing to restore from takes none; its state tells why.
        """
        if self._record.status.phase not in WATCHED or self._record.spec.backups is None:
            return DrillStart(state=self._record.state)
        before = self._record.status.backups
        after = drill_begun(before, claim.run, claim.instead_of)
        if after != before:
            self._record.learn(BackupRecordIs(record=after))
        running = after.drill
        other = running if running is not None and running.operation_id != claim.run.operation_id else None
        return DrillStart(state=self._record.state, other=other)

    def note(self, note: DrillNote) -> None:
        """Record what came of a drill. The condition holds as long as a backup is there on which one failed last."""
        self._record.learn(BackupRecordIs(record=drill_noted(self._record.status.backups, note)))
        proof = note.proof
        if proof is None:
            return
        if proof.fault is None:
            left = failed_proofs(self._record.status.backups)
            if not left or not workflow.patched("failed-drills-stay"):
                self._record.learn(no_condition(DRILL_FAILED))
            elif self._record.status.condition(DRILL_FAILED) is not None:
                self._tell(left[0])
            return
        workflow.logger.error("drill failed", extra={"operation": note.operation_id, "why": proof.fault})
        self._tell(proof)

    def hear_of_backup(self) -> None:
        """Look whether what drills failed on is gone, now that an operation told of a backup."""
        known = self._record.status.backups
        if self._record.status.condition(DRILL_FAILED) is None or failed_proofs(known):
            return
        last = known.proofs[-1] if known.proofs else None
        if last is not None and last.fault is not None and not last.verdict:
            return  # it could not be done: told of until the next one is
        if workflow.patched("failed-drills-stay"):
            self._record.learn(no_condition(DRILL_FAILED))

    def _tell(self, proof: Proof) -> None:
        said = f"Backup {proof.backup_id} is not proven: {proof.fault}"
        self._record.learn(self._record.condition(DRILL_FAILED, said, proof.at))
