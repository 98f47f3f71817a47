"""The recovery window as a drawing: pure geometry on a line 1,000 units long."""

from collections.abc import Sequence
from datetime import datetime

from model.backups import BackupType
from model.base import Record
from starter.client.shapes import BackupShape, BackupWindow

WIDTH = 1000
MARK = 4
"""Width of a backup's mark."""


class Mark(Record):
    """A backup on the line."""

    x: float
    full: bool
    damaged: bool
    title: str


class Timeline(Record):
    """Where the archive reaches on the line, and the backups on it."""

    since: datetime
    until: datetime
    from_x: float
    to_x: float
    marks: tuple[Mark, ...]


def timeline(window: BackupWindow | None, found: Sequence[BackupShape], now: datetime) -> Timeline | None:
    """Return the drawing of what can be restored, from the first backup to *now*; None where nothing can be."""
    ended = [(each, each.stop) for each in found if each.stop is not None]
    if window is None or not ended:
        return None
    since = min(window.since, *(stop for _, stop in ended))
    until = window.until or now
    span = max((max(now, until) - since).total_seconds(), 1.0)

    def place(moment: datetime) -> float:
        return round(min(max((moment - since).total_seconds() / span, 0), 1) * (WIDTH - MARK), 1)

    marks = tuple(
        Mark(
            x=place(stop),
            full=each.type is BackupType.FULL,
            damaged=each.status == "damaged",
            title=f"{each.type.value}, {stop:%Y-%m-%d %H:%M:%S} UTC",
        )
        for each, stop in ended
    )
    return Timeline(since=since, until=until, from_x=place(window.since), to_x=place(until) + MARK, marks=marks)
