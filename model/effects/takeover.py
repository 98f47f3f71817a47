"""Effects by which one node takes over from the other. Implemented in activities/takeover."""

from datetime import datetime

from model.base import Record
from model.cluster import ClusterStatus, Node
from model.effects.effect import Effect, Kind
from model.plans import Plan


class HandoverInput(Record):
    """One node takes over from the other. The activity signals ``commit`` with PrimaryIs before clients go on."""

    cluster_id: str
    operation_id: str
    status: ClusterStatus
    plan: Plan
    target: str
    """Name of the node that becomes the primary. When it is the primary already, only the routes are put right."""


class SwitchoverInput(HandoverInput):
    """From PAUSE to RESUME; the wait for transactions in flight is bounded by ``max_pause_s`` seconds."""

    max_pause_s: float


class SwitchoverReport(Record):
    """What a switchover took, in milliseconds, and the new primary's timeline."""

    timeline: int
    paused_ms: float
    steps_ms: dict[str, float]


class FailoverInput(HandoverInput):
    """The primary is lost: it is fenced with proof, then the target is promoted.

    Whether the target holds every acknowledged commit is the caller's to know.
    """


class FailoverReport(Record):
    """What a failover took, in milliseconds from its first step on, and the new primary's timeline."""

    timeline: int
    held_ms: float
    steps_ms: dict[str, float]
    way_in_whole: bool = True
    """Whether the endpoint and every pooler were there to be routed to the new primary."""


class RequireLostInput(Record):
    """See that a primary that is to be given up does not serve any more."""

    cluster_id: str
    node: Node


class LostPrimary(Record):
    """What is still to be seen of a primary that does not serve: LSN and timeline of its last checkpoint."""

    checkpoint: str | None = None
    timeline: int | None = None


class PositionInput(Record):
    """Ask a standby up to where it has the primary's WAL."""

    cluster_id: str
    node: Node


class StandbyPosition(Record):
    """The end of the WAL that a standby has, and when the last transaction that it replayed was committed."""

    lsn: str
    timeline: int
    last_commit_at: datetime | None = None


SWITCH_PRIMARY = Effect(
    "switch_primary", SwitchoverInput, SwitchoverReport, Kind.SWITCHOVER, "takeover.switchover:SwitchoverActivities"
)
FAIL_OVER = Effect("fail_over", FailoverInput, FailoverReport, Kind.SWITCHOVER, "takeover.failover:FailoverActivities")
REQUIRE_LOST = Effect(
    "require_lost", RequireLostInput, LostPrimary, Kind.HOST, "takeover.lost_primary:LostPrimaryActivities"
)
READ_POSITION = Effect(
    "read_position", PositionInput, StandbyPosition, Kind.HOST, "takeover.lost_primary:LostPrimaryActivities"
)
