"""When backups are not what was promised."""

from datetime import UTC, datetime, timedelta

import pytest

from model.archive_holes import WAL_SEGMENT_BYTES
from model.backup_alarms import (
    archiving_trouble,
    backup_overdue,
    drill_overdue,
    overdue_at,
)
from model.backups import BackupFailure, BackupPolicy, BackupRecord, BackupType
from model.drills import Proof
from model.effects import Archiving
from tests.workflows.samples import backup

SUNDAY = datetime(2026, 11, 29, 2, 20, tzinfo=UTC)
"""Just after the full backup of the default policy, which is due at 02:15."""
DAY = timedelta(days=1)
POLICY = BackupPolicy()
NOW = datetime(2026, 11, 28, 17, 0, 0, tzinfo=UTC)
ALLOWED = timedelta(minutes=5)
WAITING = 3 * WAL_SEGMENT_BYTES


def at(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (Archiving(), ""),
        (Archiving(last_archived_at=at(10)), ""),
        # An idle cluster closes no segment: that it archived nothing for days is no trouble.
        (Archiving(last_archived_at=at(86400), waiting_bytes=WAL_SEGMENT_BYTES), ""),
        (Archiving(last_archived_at=at(299), waiting_bytes=WAITING), ""),
        (
            Archiving(last_archived_at=at(301), waiting_bytes=WAITING),
            "WAL is not archived since 2026-11-28 16:54:59 UTC: 12 MB wait for the archiver, which does nothing.",
        ),
        (Archiving(failing_since=at(29), reason="x"), ""),
        (
            Archiving(failing_since=at(30), reason="unable to open the bucket [403]"),
            "WAL is not archived since 2026-11-28 16:59:30 UTC. unable to open the bucket [403]",
        ),
        (
            Archiving(failing_since=at(60), waiting_bytes=WAITING),
            "WAL is not archived since 2026-11-28 16:59:00 UTC. Its reason is in the log of the primary.",
        ),
    ],
)
def test_archiving(seen: Archiving, said: str):
    assert archiving_trouble(seen, NOW, watched_since=at(10_000_000), allowed=ALLOWED) == said


def test_new_primary_is_given_time_to_archive_its_first_segment():
    seen = Archiving(waiting_bytes=WAITING)
    assert archiving_trouble(seen, NOW, watched_since=at(299), allowed=ALLOWED) == ""
    assert archiving_trouble(seen, NOW, watched_since=at(301), allowed=ALLOWED)


def record(full: datetime | None = None, incr: datetime | None = None) -> BackupRecord:
    made = [(BackupType.FULL, full), (BackupType.INCR, incr)]
    return BackupRecord(last=tuple(backup(type, finished_at=when) for type, when in made if when))


@pytest.mark.parametrize(
    ("known", "policy", "overdue"),
    [
        # Nothing since the cluster was made at SUNDAY: the first incremental one is due on Monday, 02:15.
        (record(), POLICY, datetime(2026, 11, 30, 14, 15, tzinfo=UTC)),
        (record(full=SUNDAY), POLICY, datetime(2026, 11, 30, 14, 15, tzinfo=UTC)),
        (record(full=SUNDAY, incr=SUNDAY + DAY), POLICY, datetime(2026, 12, 1, 14, 15, tzinfo=UTC)),
        # The full one counts as one of any day.
        (record(full=SUNDAY, incr=SUNDAY - DAY), POLICY, datetime(2026, 11, 30, 14, 15, tzinfo=UTC)),
        # Incremental ones come; the full one was due on Sunday, and half a week later it is overdue.
        (
            record(full=SUNDAY - 7 * DAY - timedelta(minutes=30), incr=SUNDAY + 3 * DAY),
            POLICY,
            datetime(2026, 11, 22, 2, 15, tzinfo=UTC) + 3.5 * DAY,
        ),
        (
            record(full=SUNDAY, incr=SUNDAY),
            BackupPolicy(full="0 0 1 * *", incr="0 */6 * * *"),
            datetime(2026, 11, 29, 9, 0, tzinfo=UTC),
        ),
    ],
)
def test_when_a_backup_is_overdue(known: BackupRecord, policy: BackupPolicy, overdue: datetime):
    assert overdue_at(policy, known, SUNDAY, 1.5) == overdue
    assert backup_overdue(policy, known, SUNDAY, overdue - timedelta(seconds=1), 1.5) == ""
    assert backup_overdue(policy, known, SUNDAY, overdue, 1.5)


def test_what_is_said_of_it():
    later = SUNDAY + 30 * DAY
    assert backup_overdue(POLICY, record(), SUNDAY, later, 1.5) == "There is no backup."
    failure = BackupFailure(operation_id="o", type=BackupType.FULL, failed_at=later, message="The disk is full.")
    failing = record(full=SUNDAY, incr=SUNDAY + DAY).model_copy(update={"failure": failure})
    assert backup_overdue(POLICY, failing, SUNDAY, later, 1.5) == (
        "The last backup is of 2026-11-30 02:20:00 UTC, the last full one of 2026-11-29 02:20:00 UTC. The disk is full."
    )
    assert backup_overdue(POLICY, record(incr=SUNDAY), SUNDAY, later, 1.5) == (
        "There is no full backup; the last one of any type is of 2026-11-29 02:20:00 UTC."
    )


DRILLED = BackupPolicy(drill="0 4 * * 0")


def proven(at: datetime, fault: str | None = None) -> Proof:
    return Proof(operation_id="o", backup_id="b", at=at, fault=fault)


@pytest.mark.parametrize(
    ("policy", "proofs", "overdue"),
    [
        # Made on Sunday at 02:20: the first drill is due at 04:00 on that day.
        (DRILLED, (), datetime(2026, 11, 29, 4, tzinfo=UTC) + 3.5 * DAY),
        (DRILLED, (proven(SUNDAY + 7 * DAY),), datetime(2026, 12, 6, 4, tzinfo=UTC) + 3.5 * DAY),
        # One that failed proves nothing.
        (DRILLED, (proven(SUNDAY + 7 * DAY, "Bytes."),), datetime(2026, 11, 29, 4, tzinfo=UTC) + 3.5 * DAY),
    ],
)
def test_when_a_drill_is_overdue(policy: BackupPolicy, proofs: tuple[Proof, ...], overdue: datetime):
    known = BackupRecord(proofs=proofs)
    assert drill_overdue(policy, known, SUNDAY, overdue - timedelta(seconds=1), 1.5) == ""
    assert drill_overdue(policy, known, SUNDAY, overdue, 1.5)


def test_what_is_said_of_drills():
    later = SUNDAY + 90 * DAY
    known = BackupRecord(proofs=(proven(SUNDAY), proven(SUNDAY + DAY, "Bytes were flipped.")))
    assert drill_overdue(DRILLED, known, SUNDAY, later, 1.5) == (
        "The last backup that was proven is b, at 2026-11-29 02:20:00 UTC. Bytes were flipped."
    )
    assert drill_overdue(DRILLED, BackupRecord(), SUNDAY, later, 1.5) == "No backup was proven yet."
    assert drill_overdue(BackupPolicy(), known, SUNDAY, later, 1.5) == ""
