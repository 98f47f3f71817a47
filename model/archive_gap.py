"""What a takeover left out of the archive: decided from names alone, apart from how they are read.

The old primary archives; the new one has the same segments from its stream, each marked as done. What the old one had
not archived when it ended is in nobody's queue. Names of segments: PostgreSQL manual, 28.6 "WAL Internals".
"""

from collections.abc import Sequence, Set
from datetime import datetime

from model.backups import Backup, RepositoryContents
from model.base import Record
from model.timelines import parse_history, timeline_of

_SEGMENT = 24
"""Hexadecimal digits of a segment's name: timeline, log, segment."""
_LOG_BYTES = 2**32


class WalSeen(Record):
    """The WAL of a primary. ``history`` is its timeline's history file, empty on the first timeline."""

    current: str
    """The segment that is written now."""
    segment_bytes: int
    history: str = ""
    files: frozenset[str] = frozenset()
    """Names in ``pg_wal``."""


class Gap(Record):
    """What the archive lacks: ``there`` is what the primary still has, ``missing`` what it has not."""

    there: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def find_gap(seen: WalSeen, archived: Set[str] | None, since: str | None) -> Gap:
    """Return what of the line of the primary's timeline is finished and not in *archived*.

    *since* is a segment from which on there has to be everything, None where nothing is known to be needed: then from
    the first one that there is. Where *archived* is not known (None) it is all that the primary has: to archive a
    segment again does no harm.
    """
    line = _Line(seen)
    first = line.first_there() if archived is None else line.start(archived, since)
    wanted = [*line.histories(), *(line.name(number) for number in range(first, line.current))]
    lacking = [name for name in wanted if name not in (archived or ())]
    there = tuple(name for name in lacking if name in seen.files)
    segments = [name for name in lacking if is_segment(name)]
    missing = () if archived is None else tuple(name for name in segments if name not in seen.files)
    return Gap(there=there, missing=missing)


def on_line(contents: RepositoryContents, seen: WalSeen) -> RepositoryContents:
    """Return *contents* with the history of the primary's timeline: that in the archive may be an earlier one's."""
    known = {"timeline": timeline_of(seen.current), "forks": parse_history(seen.history)}
    return contents.model_copy(update=known)


def first_needed(good: Sequence[Backup], unknown_since: datetime | None) -> tuple[Backup, ...]:
    """Return those of the *good* backups, in their order, by the last of which it is told from where WAL is needed.

    All of them; but where it has not been known since then what the archive lacks, those made later are left out: else
    a hole before them would be in nobody's eyes.
    """
    earlier = tuple(each for each in good if unknown_since is None or each.finished_at <= unknown_since)
    return earlier or tuple(good[:1])


def before(seen: WalSeen, segment: str, most: int) -> tuple[str, ...]:
    """Return the *most* segments before *segment* on the line, the last one first."""
    line = _Line(seen)
    number = line.number(segment)
    return tuple(line.name(each) for each in range(number - 1, max(number - 1 - most, -1), -1))


def is_segment(name: str) -> bool:
    """Tell a segment from a history file."""
    return len(name) == _SEGMENT


def directories(seen: WalSeen, since: str | None) -> tuple[str, ...]:
    """Return the directories of an archive in which *since* and later segments are: a name is how theirs begin."""
    line = _Line(seen)
    first = line.first_there() if since is None else min(line.number(since), line.first_there())
    names = {line.name(number)[:16] for number in range(first, line.current)}
    return tuple(sorted(names))


class _Line:
    """The segments of a timeline and those it came from, by their number from the beginning of all WAL."""

    def __init__(self, seen: WalSeen) -> None:
        self._seen = seen
        self._per_log = _LOG_BYTES // seen.segment_bytes
        self.current = self.number(seen.current)
        self._ends = [(fork.timeline, fork.at // seen.segment_bytes) for fork in parse_history(seen.history)]
        """Timelines before this one, and the segment in which each ended: that one is on the next."""

    def number(self, name: str) -> int:
        return int(name[8:16], 16) * self._per_log + int(name[16:24], 16)

    def name(self, number: int) -> str:
        timeline = next((before for before, end in self._ends if number < end), timeline_of(self._seen.current))
        return f"{timeline:08X}{number // self._per_log:08X}{number % self._per_log:08X}"

    def histories(self) -> list[str]:
        timelines = [*(before for before, _ in self._ends), timeline_of(self._seen.current)]
        return [f"{timeline:08X}.history" for timeline in timelines if timeline > 1]

    def first_there(self) -> int:
        return min(self._on_line(self._seen.files), default=self.current)

    def start(self, archived: Set[str], since: str | None) -> int:
        if since is not None:
            return self.number(since)
        return min([*self._on_line(archived), self.first_there()])

    def _on_line(self, names: Set[str]) -> list[int]:
        numbers = [(name, self.number(name)) for name in names if is_segment(name)]
        return [number for name, number in numbers if number < self.current and self.name(number) == name]
