"""A drill: which backup is restored, and what is on record of it."""

from datetime import timedelta

import pytest

from model.backups import BackupRecord, BackupType, RepositoryContents
from model.drill_runs import choose_backup, drill_begun, drill_noted, last_proven
from model.drills import MOST_PROOFS, DrillNote, DrillRun, Proof
from model.errors import NotFound, Refused
from model.pg_control import parse_lsn
from model.timelines import Fork
from tests.workflows.samples import MADE_AT, backup

RUN = DrillRun(operation_id="verify-backup/orders/1", run_id="r", started_at=MADE_AT)
OTHER = RUN.model_copy(update={"operation_id": "verify-backup/orders/2"})
FULL = backup(BackupType.FULL)
LATER = FULL.model_copy(update={"id": "later", "finished_at": FULL.finished_at + timedelta(days=1)})
DAMAGED = LATER.model_copy(
    update={"id": "damaged", "finished_at": LATER.finished_at + timedelta(days=1), "error": "Pages."}
)
CONTENTS = RepositoryContents(backups=(FULL, LATER, DAMAGED))


def proof(backup_id: str, days: int, fault: str | None = None) -> Proof:
    at = MADE_AT + timedelta(days=days)
    return Proof(operation_id=RUN.operation_id, backup_id=backup_id, at=at, fault=fault)


def noted(record: BackupRecord, *proofs: Proof) -> BackupRecord:
    for each in proofs:
        record = drill_noted(record, DrillNote(operation_id=RUN.operation_id, proof=each))
    return record


@pytest.mark.parametrize(("backup_id", "chosen"), [(None, "later"), (FULL.id, FULL.id), ("damaged", "damaged")])
def test_latest_good_one_is_proven_or_the_one_that_was_named(backup_id: str | None, chosen: str):
    assert choose_backup(CONTENTS, backup_id).id == chosen


def test_one_that_recovery_cannot_go_on_from_is_proven_where_there_is_no_other():
    forks = (Fork(timeline=1, at=parse_lsn(FULL.last_lsn)),)
    beyond = LATER.model_copy(update={"last_lsn": "0/9000000"})
    left = RepositoryContents(backups=(FULL, beyond), timeline=2, forks=forks)
    assert choose_backup(left, None) == FULL
    assert choose_backup(left.model_copy(update={"backups": (beyond,)}), None) == beyond


def test_what_is_not_there_cannot_be_proven():
    with pytest.raises(NotFound):
        choose_backup(CONTENTS, "other")
    with pytest.raises(Refused):
        choose_backup(RepositoryContents(backups=(DAMAGED,)), None)


def test_there_is_one_at_a_time_unless_it_runs_no_more():
    begun = drill_begun(BackupRecord(), RUN)
    assert begun.drill == RUN
    assert drill_begun(begun, RUN) == begun
    assert drill_begun(begun, OTHER).drill == RUN
    assert drill_begun(begun, OTHER, instead_of=RUN.operation_id).drill == OTHER


def test_end_of_a_drill_is_recorded_once_and_no_other_drill_is_ended_by_it():
    begun = drill_begun(BackupRecord(), RUN)
    once = noted(begun, proof("later", 1))
    assert once.drill is None
    assert noted(once, proof("later", 1)) == once
    assert drill_noted(begun, DrillNote(operation_id=OTHER.operation_id)).drill == RUN


def test_one_proof_is_kept_of_each_backup_and_so_many_in_all():
    known = noted(BackupRecord(), proof("a", 1), proof("b", 2), proof("a", 3, "Bytes."))
    assert [(each.backup_id, each.fault) for each in known.proofs] == [("b", None), ("a", "Bytes.")]
    assert last_proven(known.proofs) == proof("b", 2)
    many = noted(known, *(proof(f"backup-{day}", day) for day in range(4, 4 + MOST_PROOFS)))
    assert len(many.proofs) == MOST_PROOFS
    assert "a" not in {each.backup_id for each in many.proofs}


@pytest.mark.parametrize(
    ("archive_s", "expected"),
    [(None, 21.0), (4.0, 24.0)],
)
def test_recovery_takes_the_copy_and_the_replay_to_the_end(archive_s: float | None, expected: float):
    found = proof("a", 1).model_copy(update={"copied_s": 20.0, "recovered_s": 1.0, "archive_s": archive_s})
    assert found.recovery_s == expected
    assert proof("a", 1).recovery_s is None
