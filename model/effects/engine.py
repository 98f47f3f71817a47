"""Effects on a host and its container engine. Implemented in activities/engine."""

from model.backups import Backups
from model.base import Record
from model.effects.effect import ClusterKey, Effect, Kind, Nothing
from model.plans import HostCapacity, Plan, Resources


class CheckHostInput(Record):
    """Ask whether a host can carry nodes of a plan. ``plan`` is a name in the worker's plan table."""

    plan: str
    pg_major_version: int
    storage_gb: int = 0
    """Free disk to insist on, in GB per node; 0 to ask nothing."""
    postgis: bool = False
    """Answer with the image that has PostGIS."""
    image: str | None = None
    """The image that a cluster is made of already: it has to be there, none is chosen."""


class HostCheck(Record):
    """The plan in full, what a node of it gets on this host, and the image to make it of."""

    plan: Plan
    resources: Resources
    capacity: HostCapacity
    image: str
    backups: Backups | None = None
    """Where and how a cluster that is new here is backed up."""


class RemoveClusterInput(ClusterKey):
    """Remove all of a cluster, after the last steps of the operations in ``ended`` (workflow ids).

    With ``keep_repository`` the volume with its backups stays. Backups in a store elsewhere are not touched.
    """

    ended: tuple[str, ...] = ()
    keep_repository: bool = False


CHECK_HOST = Effect("check_host", CheckHostInput, HostCheck, Kind.HOST_LOOK, "engine.hosts:HostActivities")
REMOVE_CLUSTER = Effect("remove_cluster", RemoveClusterInput, Nothing, Kind.HOST, "engine.cleanup:CleanupActivities")
