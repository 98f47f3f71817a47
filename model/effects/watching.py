"""The watch of a cluster, and what it reports. Implemented in activities/watching."""

from datetime import datetime
from enum import StrEnum

from model.base import Record
from model.cluster import ClusterStatus
from model.effects.effect import Effect, Kind


class WatchInput(Record):
    """Watch a cluster until something needs a decision."""

    cluster_id: str
    status: ClusterStatus
    backed_up: bool = False
    """Whether it has a repository."""


class AlarmKind(StrEnum):
    """What was lost."""

    NODE = "node"
    """A node's process ended, or it does not answer."""
    WAY_IN = "way_in"
    """The endpoint or a pooler ended; Docker starts these again, but poolers must join a new endpoint's namespace."""
    MASTER_KEY = "master_key"
    """Nothing: whether the cluster has this stack's master key is to be recorded. ``how`` is empty when it has."""
    ARCHIVING = "archiving"
    """Nothing: whether WAL gets to the repository is to be recorded. ``how`` is empty when it does."""
    BACKUP_AGE = "backup_age"
    """Nothing: whether a backup is overdue is to be recorded. ``how`` is empty when none is."""
    DRILL_AGE = "drill_age"
    """Nothing: whether a drill is overdue is to be recorded. ``how`` is empty when none is."""


class Alarm(Record):
    """Something needs a decision. ``name`` is the node's or the pooler's, ``how`` is for people.

    ``since`` is when it began, where that is not just now.
    """

    kind: AlarmKind
    name: str
    how: str
    since: datetime | None = None


WATCH_CLUSTER = Effect("watch_cluster", WatchInput, Alarm, Kind.WATCH_HOST, "watching.cluster_watch:WatchActivities")
