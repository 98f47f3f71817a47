"""Whether a synchronous standby acknowledges, judged from what its primary sees of it twice a second.

A standby whose receiver has stopped, or whose network drops what is sent, keeps its row in ``pg_stat_replication``,
`streaming` and `sync`, until ``wal_sender_timeout``; commits wait for it all that time, and after it for ever. What
tells is whether it is heard of: it reports at each flush, and each ``wal_receiver_status_interval`` where there is
nothing to flush, so an idle cluster is no exception. Reports alone are no proof where they say that nothing arrives.
"""

from dataclasses import dataclass, replace

OVERDUE_S = 3.0
"""How long a standby may acknowledge nothing: three times ``wal_receiver_status_interval`` (model/tuning.py)."""
LOOKS = 4
"""Looks in which nothing has changed, at the least: a primary that stood still has not heard of anybody."""


@dataclass(frozen=True)
class StandbySeen:
    """What a primary says of the standby that its commits wait for. WAL positions are in bytes."""

    waits_for: str
    """``synchronous_standby_names``; empty where commits wait for nobody."""
    written: int
    """Up to where the primary's own WAL is on its disk."""
    flushed: int | None = None
    """Up to where the standby says that it has WAL on its disk; None where none streams."""
    replied: str | None = None
    """When the standby sent its last report, by its own clock: it is only looked at whether it changes."""


@dataclass(frozen=True)
class Acknowledgement:
    """What the looks up to now say. Times are in seconds, of any clock that only goes forward."""

    last: StandbySeen | None = None
    since: float = 0.0
    """When the standby was last seen to acknowledge, or commits began to wait for it."""
    looks: int = 0
    overdue: bool = False

    def after(self, seen: StandbySeen, now: float) -> "Acknowledgement":
        """Return what is to be said with *seen*, which was read at *now*."""
        last = self.last
        if not seen.waits_for or last is None or seen.waits_for != last.waits_for or _acknowledges(last, seen):
            return Acknowledgement(last=seen, since=now)
        looks = self.looks + 1
        # ``last`` stays that of the last proof: reports come less often than looks.
        return replace(self, looks=looks, overdue=looks >= LOOKS and now - self.since >= OVERDUE_S)


def _acknowledges(last: StandbySeen, seen: StandbySeen) -> bool:
    """Tell whether the standby has reported since, and holds more than then, or all that there was then."""
    if seen.flushed is None or seen.replied is None or seen.replied == last.replied:
        return False
    return seen.flushed >= last.written or last.flushed is None or seen.flushed > last.flushed
