"""What to do about a loss: decided here, apart from how it is done."""

from enum import StrEnum

from model.cluster import ClusterState, Durability
from model.effects import Alarm, AlarmKind

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0


class Remedy(StrEnum):
    """What a loss calls for."""

    FAIL_OVER = "fail_over"
    """Promote the replica."""
    RESTART_PRIMARY = "restart_primary"
    """Start the lost primary again in place: nobody else is known to hold every acknowledged commit."""
    REPAIR_REPLICA = "repair_replica"
    MEND_WAY_IN = "mend_way_in"


def remedy(state: ClusterState, alarm: Alarm) -> Remedy:
    """Return what *alarm* calls for.

    In ``sync`` only a replica recorded in sync is promoted. In ``async`` one that was not known to lag is: what it
    had not received is lost, which is what that durability means.
    """
    if alarm.kind is AlarmKind.WAY_IN:
        return Remedy.MEND_WAY_IN
    primary = state.status.primary
    if primary is None or alarm.name != primary.name:
        return Remedy.REPAIR_REPLICA
    return Remedy.FAIL_OVER if may_promote(state) else Remedy.RESTART_PRIMARY


def may_promote(state: ClusterState) -> bool:
    """Tell whether the replica may become the primary without anybody's consent."""
    replica = state.status.replica
    if replica is None:
        return False
    return replica.in_sync or state.spec.durability is Durability.ASYNC


def pause_s(failures: int) -> float:
    """Return how many seconds to wait after *failures* vain attempts in a row, doubling up to five minutes."""
    return 0.0 if failures == 0 else min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (failures - 1))
