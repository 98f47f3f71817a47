"""The recovery window as a drawing: pure geometry on a line 1,000 units long."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from model.backups import BackupType
from model.base import Record
from starter.client.shapes import BackupShape, BackupWindow

WIDTH = 1000
MARK = 4
"""Width of a backup's mark."""
_SECOND = timedelta(seconds=1)


class Mark(Record):
    """A backup on the line. ``proven`` and ``faulty`` are what its last drill found; neither: there was none."""

    x: float
    full: bool
    damaged: bool
    proven: bool
    faulty: bool
    title: str


class Gap(Record):
    """Moments on the line that cannot be restored."""

    x: float
    width: float
    title: str


class Timeline(Record):
    """Where the archive reaches on the line, the backups on it, and what is lost of it.

    The line goes from ``since`` to ``end``. What can be restored are whole seconds from ``first`` to ``last``.
    """

    since: datetime
    until: datetime
    end: datetime
    first: datetime
    last: datetime
    from_x: float
    to_x: float
    marks: tuple[Mark, ...]
    gaps: tuple[Gap, ...]


def timeline(window: BackupWindow | None, found: Sequence[BackupShape], now: datetime) -> Timeline | None:
    """Return the drawing of what can be restored, from the first backup to *now*; None where nothing can be."""
    ended = [(each, each.stop) for each in found if each.stop is not None]
    if window is None or not ended:
        return None
    since = min(window.since, *(stop for _, stop in ended))
    until = window.until or now
    end = max(now, until, since + _SECOND)

    def place(moment: datetime) -> float:
        return round(min(max((moment - since) / (end - since), 0), 1) * (WIDTH - MARK), 1)

    marks = tuple(
        Mark(
            x=place(stop),
            full=each.type is BackupType.FULL,
            damaged=each.status == "damaged",
            proven=each.proven is not None,
            faulty=_fault(each) is not None,
            title=f"{each.type.value}, {_say(stop)}, {_proof(each)}",
        )
        for each, stop in ended
    )
    gaps = tuple(
        Gap(
            x=place(lost.since),
            width=round(place(lost.until or until) - place(lost.since) + MARK, 1),
            title=f"WAL is lost: nothing from {_say(lost.since)} to {_say(lost.until or until)} can be restored.",
        )
        for lost in window.lost
    )
    first, last = bounds(window, now)
    return Timeline(
        since=since,
        until=until,
        end=end,
        first=first,
        last=last,
        from_x=place(window.since),
        to_x=place(until) + MARK,
        marks=marks,
        gaps=gaps,
    )


def bounds(window: BackupWindow, now: datetime) -> tuple[datetime, datetime]:
    """Return the first and the last whole second that can be restored, the same one where there is none between."""
    first, last = window.since.replace(microsecond=0), (window.until or now).replace(microsecond=0)
    first += _SECOND if first < window.since else timedelta()
    return first, max(first, last)


def _fault(backup: BackupShape) -> str | None:
    return backup.proof and backup.proof.fault


def _proof(backup: BackupShape) -> str:
    if fault := _fault(backup):
        return f"not whole when it was proven: {fault}"
    return f"proven {_say(backup.proven)}" if backup.proven else "never proven"


def _say(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
