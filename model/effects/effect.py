"""How an effect is described: its name, input, output, kind, and where it is implemented; what several inputs share."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from model.base import Record
from model.cluster import Node

I = TypeVar("I", bound=Record)  # noqa: E741  I and O are what they are everywhere in this file: input and output
O = TypeVar("O", bound=Record)  # noqa: E741


class Kind(StrEnum):
    """How an effect runs; workflows/call.py has the timeouts and retries of each kind."""

    SQL = "sql"
    """Short work, SQL or a call to Temporal: a local activity.

    Only what can be put back. That it ran is on record with the end of its workflow's task; a cancellation that comes
    before that has the workflow decide anew, as if it had not run.
    """
    SQL_WAIT = "sql_wait"
    """Waits on Postgres, or cannot be put back: an activity on the main queue that heartbeats."""
    UNTIL_DONE = "until_done"
    """The same, tried without end: it fails only where the platform does, and what comes of it is no failure."""
    SQL_NEW = "sql_new"
    """The same on a node that has just been made: no failover brings one back that ended."""
    HOST = "host"
    """Container work of seconds at most: an activity on the host's queue, heartbeating."""
    HOST_LOOK = "host_look"
    """As the former, and changes nothing: it ends where nobody on that host takes it up, because the host is lost."""
    HOST_LONG = "host_long"
    """Container work that may take minutes or hours (base backup, drain): heartbeating, long start-to-close."""
    SWITCHOVER = "switchover"
    """PAUSE to RESUME: heartbeat timeout 3 s, retried at once, never cancelled in between."""
    WATCH = "watch"
    """Returns only when an operation ended: an activity on the main queue. Others wait for their turn meanwhile."""
    WATCH_HOST = "watch_host"
    """Returns only when something on the host needs a decision."""


@dataclass(frozen=True)
class Effect(Generic[I, O]):
    """One effect. ``name`` is the activity type, verb_object."""

    name: str
    input: type[I]
    output: type[O]
    kind: Kind
    implemented_by: str
    """Where: ``package.module:Class`` in ``activities``. The method there is called like the effect."""


class Nothing(Record):
    """An empty answer."""


class ClusterKey(Record):
    """Names a cluster."""

    cluster_id: str


class NodeRef(Record):
    """Names a node's container."""

    cluster_id: str
    name: str


class Target(Record):
    """A node to run SQL on, as the platform's superuser. ``address`` is inside the cluster's network."""

    cluster_id: str
    address: str

    @classmethod
    def of(cls, cluster_id: str, node: Node) -> "Target":
        """Return *node* of a cluster as a target."""
        return cls(cluster_id=cluster_id, address=node.address)


HOST_KINDS = frozenset({Kind.HOST, Kind.HOST_LOOK, Kind.HOST_LONG, Kind.SWITCHOVER, Kind.WATCH_HOST})
"""Kinds that run on the queue of the host that owns the containers."""
