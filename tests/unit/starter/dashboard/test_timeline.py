"""The recovery window as a drawing."""

from datetime import UTC, datetime, timedelta

from model.backups import BackupType
from starter.client.shapes import BackupShape, BackupWindow
from starter.dashboard.backups.timeline import MARK, WIDTH, timeline

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
