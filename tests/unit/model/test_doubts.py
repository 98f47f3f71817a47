"""Backups that drills have shown not to be whole: what is preferred to them, and how long they are told of."""

from datetime import UTC, datetime, timedelta

import pytest

from model.backups import Backup, BackupRecord, BackupType, RepositoryContents
from model.doubts import doubted, failed_proofs
from model.drills import Proof
from model.restore import RestoreTarget, choose

DAY = datetime(2026, 11, 29, tzinfo=UTC)
FIRST, ON_FIRST = "20261129-010000F", "20261129-010000F_20261129-020000I"
SECOND, ON_SECOND, THIRD = "20261129-030000F", "20261129-030000F_20261129-040000D", "20261129-050000F"


def backup(id: str) -> Backup:
    finished = datetime.strptime(id.rpartition("_")[2][:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    types = {"F": BackupType.FULL, "I": BackupType.INCR, "D": BackupType.DIFF}
    return Backup(
        id=id,
        type=types[id[-1]],
        started_at=finished,
        finished_at=finished,
        size_bytes=1,
        stored_bytes=1,
        first_lsn="0/2000028",
        last_lsn="0/2000100",
        first_wal="000000010000000000000002",
        last_wal="000000010000000000000002",
    )


ALL = tuple(backup(each) for each in (FIRST, ON_FIRST, SECOND, ON_SECOND, THIRD))


def drill(id: str, fault: str | None = "Data corruption detected.", *, verdict: bool = True) -> Proof:
    return Proof(operation_id=f"drill-{id}", backup_id=id, at=DAY, fault=fault, verdict=verdict)


@pytest.mark.parametrize(
    ("proofs", "found"),
    [
        ((), set()),
        ((drill(ON_SECOND),), {SECOND, ON_SECOND}),
        ((drill(SECOND),), {SECOND, ON_SECOND}),
        ((drill(ON_SECOND), drill(SECOND, None)), {ON_SECOND}),
        ((drill(ON_SECOND, "The store gives no answer.", verdict=False),), set()),
        ((drill(THIRD, None),), set()),
    ],
)
def test_what_shares_files_with_a_damaged_one_is_doubted(proofs: tuple[Proof, ...], found: set[str]) -> None:
    assert doubted(ALL, proofs) == found


@pytest.mark.parametrize(
    ("hour", "proofs", "chosen"),
    [
        (4.5, (), ON_SECOND),
        (4.5, (drill(ON_SECOND),), ON_FIRST),
        (4.5, (drill(ON_SECOND), drill(SECOND, None)), SECOND),
        (4.5, (drill(ON_SECOND), drill(FIRST)), ON_SECOND),
        (5.5, (drill(ON_SECOND),), THIRD),
    ],
)
def test_a_moment_is_restored_from_a_backup_without_doubts_where_one_covers_it(
    hour: float, proofs: tuple[Proof, ...], chosen: str
) -> None:
    contents = RepositoryContents(backups=ALL, archive_last="000000010000000000000009")
    target = RestoreTarget(pitr_time=DAY + timedelta(hours=hour))
    assert choose(contents, target, DAY + timedelta(hours=6), (), proofs).backup_id == chosen


@pytest.mark.parametrize(("oldest", "left"), [(None, 1), (FIRST, 1), (SECOND, 1), (THIRD, 0)])
def test_a_failed_drill_is_told_of_until_its_backup_is_gone(oldest: str | None, left: int) -> None:
    record = BackupRecord(proofs=(drill(ON_SECOND), drill(THIRD, None)), oldest=backup(oldest) if oldest else None)
    assert len(failed_proofs(record)) == left
