"""Effects that compare a record with what is there, and put clusters in service. Implemented in activities/recovery."""

from model.adoption import (
    Access,
    AdoptionReading,
    EnsureAccessInput,
    FindClustersInput,
    FoundClusters,
    ReadClusterInput,
)
from model.base import Record
from model.cluster import ClusterState, Endpoint, Pooler
from model.effects.effect import Effect, Kind, Nothing
from model.facts import Fact


class ObserveInput(Record):
    """Look at what a cluster's containers and Postgres really are."""

    state: ClusterState


class Observation(Record):
    """What was seen, as facts that correct the record."""

    facts: tuple[Fact, ...]


class SettleInput(Record):
    """Put a cluster back in service after an operation that did not complete.

    Nodes that should run are started, poolers resumed and pointed at the one primary, rules put right, containers
    that the state does not name removed. Never promotes. Steps of the operations in ``ended`` (workflow ids) that
    still run are waited for, and none begins any more.
    """

    state: ClusterState
    ended: tuple[str, ...] = ()
    start_primary: bool = True
    """Whether a primary that does not run is started in place. Where nobody decided that, it is refused instead."""


class MendWayInInput(Record):
    """Start the endpoint, and those of its poolers that ended or are in the namespace of a former endpoint."""

    cluster_name: str
    endpoint: Endpoint
    poolers: tuple[Pooler, ...]


OBSERVE_CLUSTER = Effect(
    "observe_cluster", ObserveInput, Observation, Kind.HOST, "recovery.cluster_recovery:RecoveryActivities"
)
SETTLE_CLUSTER = Effect(
    "settle_cluster", SettleInput, Observation, Kind.HOST_LONG, "recovery.cluster_recovery:RecoveryActivities"
)
MEND_WAY_IN = Effect("mend_way_in", MendWayInInput, Nothing, Kind.HOST, "recovery.cluster_recovery:RecoveryActivities")
FIND_CLUSTERS = Effect(
    "find_clusters", FindClustersInput, FoundClusters, Kind.HOST_LOOK, "recovery.adoption:AdoptionActivities"
)
READ_CLUSTER = Effect(
    "read_cluster", ReadClusterInput, AdoptionReading, Kind.HOST_LOOK, "recovery.adoption:AdoptionActivities"
)
ENSURE_ACCESS = Effect(
    "ensure_access", EnsureAccessInput, Access, Kind.HOST_LONG, "recovery.platform_access:PlatformAccessActivities"
)
