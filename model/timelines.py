"""Timelines: a promotion begins one, and what the one before wrote beyond that point is on no later one's history.

A history file has a line for each timeline before: its number, and the position at which it was left (PostgreSQL
manual, 25.3.6 "Timelines").
"""

from collections.abc import Sequence

from model.base import Record
from model.pg_control import parse_lsn


class Fork(Record):
    """A timeline that was left, and the position in the WAL, in bytes, at which it was."""

    timeline: int
    at: int


def parse_history(text: str) -> tuple[Fork, ...]:
    """Return what a history file says; nothing for the first timeline's, which has none."""
    fields = (line.split() for line in text.splitlines())
    return tuple(Fork(timeline=int(each[0]), at=parse_lsn(each[1])) for each in fields if _is_fork(each))


def is_on_history(timeline: int, position: int, *, of: int, forks: Sequence[Fork]) -> bool:
    """Tell whether *position* of *timeline* is on the way to timeline *of*, whose history has *forks*."""
    if timeline >= of:
        # A later one than is known of: nothing was left there yet.
        return True
    return any(fork.timeline == timeline and position <= fork.at for fork in forks)


def timeline_of(segment: str) -> int:
    """Return the timeline of a WAL segment or a history file, by its name."""
    return int(segment[:8], 16)


def _is_fork(fields: Sequence[str]) -> bool:
    return len(fields) >= 2 and fields[0].isdigit()
