"""Holes in an archive: WAL that is lost, and the moments that cannot be restored for it.

A hole is on record from the takeover that found it until no backup is left that needs WAL from before it. Segments are
compared by their place in the WAL, which is a name without its timeline.
"""

from collections.abc import Sequence
from datetime import timedelta

from model.backups import Backup, Hole

WAL_SEGMENT_BYTES = 4 * 1024 * 1024
"""As nodes are made with (images/entrypoints/node)."""
BACKUP_TIME_ROUNDED = timedelta(seconds=1)
"""pgBackRest notes in whole seconds when a backup ended: what is consistent for certain begins a second later."""


def with_hole(holes: Sequence[Hole], found: Hole) -> tuple[Hole, ...]:
    """Return *holes* with *found*, which may be known already, and longer by now; the earliest is the first."""
    others = [each for each in holes if _place(each.first) != _place(found.first)]
    return tuple(sorted([*others, found], key=lambda each: _place(each.first)))


def mended(holes: Sequence[Hole], made: Sequence[Backup], oldest: Backup | None) -> tuple[Hole, ...]:
    """Return those of *holes* that matter still, where the good backups *made* are there and *oldest* is the first."""
    left = [each for each in holes if oldest is None or not begins_after(oldest, each)]
    return tuple(_until(each, made) for each in left)


def begins_after(backup: Backup, hole: Hole) -> bool:
    """Tell whether *backup*, and whatever is restored from it, needs nothing of *hole* or from before it."""
    return _place(backup.first_wal) > _place(hole.last)


def begins_at(hole: Hole) -> int:
    """Return the position in the WAL, in bytes, at which *hole* begins."""
    return (int(hole.first[8:16], 16) << 32) + int(hole.first[16:24], 16) * WAL_SEGMENT_BYTES


def _until(hole: Hole, made: Sequence[Backup]) -> Hole:
    ends = [each.finished_at + BACKUP_TIME_ROUNDED for each in made if begins_after(each, hole)]
    if not ends or (hole.until is not None and hole.until <= min(ends)):
        return hole
    return hole.model_copy(update={"until": min(ends)})


def _place(segment: str) -> str:
    return segment[8:]
