"""The recovery window as a drawing."""

from datetime import UTC, datetime, timedelta

from model.backups import BackupType
from starter.client.shapes import BackupShape, BackupWindow, LostMoments, ProofShape
from starter.dashboard.backups.timeline import MARK, WIDTH, bounds, timeline

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def backup(hours_ago: float, type: BackupType = BackupType.FULL, status: str = "completed") -> BackupShape:
    stop = NOW - timedelta(hours=hours_ago)
    return BackupShape(id=str(hours_ago), status=status, type=type, start=stop, stop=stop)


def test_backups_lie_between_the_first_and_now() -> None:
    found = (backup(24), backup(12, BackupType.INCR), backup(0, status="damaged"))
    drawn = timeline(BackupWindow(since=NOW - timedelta(hours=24), until=None), found, NOW)
    assert drawn is not None
    assert [mark.x for mark in drawn.marks] == [0, (WIDTH - MARK) / 2, WIDTH - MARK]
    assert [(mark.full, mark.damaged) for mark in drawn.marks] == [(True, False), (False, False), (True, True)]
    assert (drawn.from_x, drawn.to_x) == (0, WIDTH)


def test_an_archive_that_fails_ends_before_now() -> None:
    window = BackupWindow(since=NOW - timedelta(hours=24), until=NOW - timedelta(hours=6))
    drawn = timeline(window, (backup(24),), NOW)
    assert drawn is not None
    assert drawn.to_x < WIDTH * 0.8


def test_nothing_is_drawn_where_nothing_can_be_restored() -> None:
    assert timeline(None, (), NOW) is None
    running = BackupShape(id="x", status="running", type=BackupType.FULL, start=NOW)
    assert timeline(BackupWindow(since=NOW, until=None), (running,), NOW) is None


def test_what_is_lost_is_a_gap_until_the_next_backup_or_the_end() -> None:
    ago = [NOW - timedelta(hours=hours) for hours in (18, 12, 6)]
    lost = (LostMoments(since=ago[0], until=ago[1]), LostMoments(since=ago[2], until=None))
    drawn = timeline(BackupWindow(since=NOW - timedelta(hours=24), until=None, lost=lost), (backup(24),), NOW)
    assert drawn is not None
    quarter = (WIDTH - MARK) / 4
    assert [(gap.x, gap.width) for gap in drawn.gaps] == [(quarter, quarter + MARK), (3 * quarter, quarter + MARK)]
    assert "from 2026-03-01 06:00:00 UTC to 2026-03-01 12:00:00 UTC" in drawn.gaps[0].title
    assert drawn.gaps[1].x + drawn.gaps[1].width == drawn.to_x


def test_marks_say_what_the_last_proof_of_a_backup_found() -> None:
    fault = ProofShape(
        backup_id="6", at=NOW, fault="A page is torn.", recovery_seconds=None, to_end=False, restored_bytes=None,
        tables_compared=None,
    )  # fmt: skip
    found = (backup(24).model_copy(update={"proven": NOW}), backup(12), backup(6).model_copy(update={"proof": fault}))
    drawn = timeline(BackupWindow(since=NOW - timedelta(hours=24), until=None), found, NOW)
    assert drawn is not None
    assert [(mark.proven, mark.faulty) for mark in drawn.marks] == [(True, False), (False, False), (False, True)]
    said = ("proven 2026-03-02 00:00:00 UTC", "never proven", "not whole when it was proven: A page is torn.")
    assert all(mark.title.endswith(end) for mark, end in zip(drawn.marks, said, strict=True))


def test_whole_seconds_within_the_window_can_be_asked_for() -> None:
    begun, half = NOW - timedelta(hours=1), timedelta(milliseconds=500)
    assert bounds(BackupWindow(since=begun, until=None), NOW) == (begun, NOW)
    assert bounds(BackupWindow(since=begun - half, until=NOW + half), NOW) == (begun, NOW)
    assert bounds(BackupWindow(since=NOW + half, until=None), NOW) == (NOW + 2 * half, NOW + 2 * half)
