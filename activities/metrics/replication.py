"""How far a replica is behind, from what both nodes said in a round."""

from activities.metrics.nodes import NodeSeen
from activities.metrics.series import LAG_BYTES, LAG_SECONDS, Reading


class LagMeter:
    """Reckons the lag of one cluster's replica."""

    def __init__(self) -> None:
        """Begin without a round."""
        self._primary_before: int | None = None
        """Where the primary was in the round before."""

    def read(self, primary: NodeSeen | None, replica: NodeSeen | None) -> list[Reading]:
        """Return the lag after a round; nothing unless both answered in it.

        In seconds it is what the replica itself said, which it does while it gets on. One that is not where the primary
        was a round before does not: it is as far behind as what it replayed last is old.
        """
        before, self._primary_before = self._primary_before, primary and primary.wal_position
        if primary is None or replica is None:
            return []
        stuck = before is not None and replica.wal_position < before
        seconds = replica.replayed_s if stuck else primary.standby_behind_s or 0.0
        labels = {"node": replica.name}
        lag = [Reading(LAG_BYTES, labels, max(primary.wal_position - replica.wal_position, 0))]
        return lag if seconds is None else [*lag, Reading(LAG_SECONDS, labels, max(seconds, 0.0))]
