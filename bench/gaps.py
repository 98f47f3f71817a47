"""Gaps between acknowledged rows: the wait that a writer saw, errors and reconnections included."""

import heapq
from collections.abc import Iterable, Sequence

from model.base import Record

OVER_S = 0.02
"""Shorter gaps are everyday life and not kept."""


class Gap(Record):
    """From one acknowledged row to the next. Times are seconds of the machine's monotonic clock."""

    began_s: float
    ended_s: float

    @property
    def ms(self) -> float:
        """How long it was."""
        return (self.ended_s - self.began_s) * 1000


def gaps(acknowledged_s: Iterable[float]) -> tuple[Gap, ...]:
    """Return the gaps of over 20 ms between times that ascend."""
    found: list[Gap] = []
    before: float | None = None
    for now in acknowledged_s:
        if before is not None and now - before > OVER_S:
            found.append(Gap(began_s=before, ended_s=now))
        before = now
    return tuple(found)


def gaps_of_all(clients_s: Sequence[Sequence[float]]) -> tuple[Gap, ...]:
    """Return the gaps in which no client at all had a row acknowledged."""
    return gaps(heapq.merge(*clients_s))


def longest_ms(found: Iterable[Gap], since_s: float) -> float:
    """Return the longest gap that ended after *since_s*, in milliseconds; 0 where there is none."""
    return max((gap.ms for gap in found if gap.ended_s >= since_s), default=0.0)


def ended_ms(found: Iterable[Gap], since_s: float) -> float:
    """Return how long after *since_s* the longest of these gaps ended, in milliseconds; 0 where there is none."""
    later = [gap for gap in found if gap.ended_s >= since_s]
    return (max(later, key=lambda gap: gap.ms).ended_s - since_s) * 1000 if later else 0.0
