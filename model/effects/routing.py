"""Effects on how clients get to a node: network, endpoint, poolers, routes. Implemented in activities/routing."""

from datetime import datetime

from model.adoption import Origin
from model.base import Record
from model.cluster import Durability, Endpoint, Network, Node, Pooler, PoolMode, Tls
from model.effects.effect import ClusterKey, Effect, Kind, Nothing
from model.plans import Plan


class CreateEndpointInput(Record):
    """Make the endpoint in a network. ``origin`` goes on its label: it lives as long as the cluster."""

    cluster_id: str
    cluster_name: str
    network: Network
    image: str
    origin: Origin | None = None
    allow_list: tuple[str, ...] = ()


class CreatePoolersInput(Record):
    """Make a generation of PgBouncers in the endpoint's network namespace and wait until their consoles answer."""

    cluster_id: str
    cluster_name: str
    endpoint: Endpoint
    image: str
    generation: int
    pool_mode: PoolMode
    plan: Plan
    primary_address: str
    living: tuple[Pooler, ...] = ()
    """Poolers that are there already; ports and peer ids differ from theirs and each is a peer."""
    tls: Tls = Tls.OFF


class Poolers(Record):
    """A set of PgBouncers."""

    poolers: tuple[Pooler, ...]


class ConfigurePoolersInput(Record):
    """Write the poolers' configuration and reload it: where the primary is, and the plan's limits."""

    cluster_id: str
    endpoint: Endpoint
    poolers: tuple[Pooler, ...]
    plan: Plan
    primary_address: str


class RemovePoolersInput(Record):
    """Remove these PgBouncers' containers."""

    cluster_id: str
    poolers: tuple[Pooler, ...]


class DrainPoolersInput(Record):
    """Wait until the last client of each is gone, or the host's drain limit after ``since``, then remove them."""

    cluster_id: str
    endpoint: Endpoint
    poolers: tuple[Pooler, ...]
    since: datetime


class RouteInput(Record):
    """Lead new connections: pooled over these ports, direct and read-only to these nodes' addresses.

    None takes a rule away: new connections are refused until it is back. Open connections are not touched.
    """

    cluster_id: str
    pooler_ports: tuple[int, ...]
    direct: str | None
    read_only: str | None


class SetTlsInput(Record):
    """Have a cluster's servers offer, or require, TLS. Sessions that are open stay as they are.

    ``backups``: whether its nodes let pgBackRest in.
    """

    cluster_id: str
    cluster_name: str
    tls: Tls
    network: Network
    nodes: tuple[Node, ...]
    endpoint: Endpoint
    poolers: tuple[Pooler, ...]
    plan: Plan
    primary_address: str
    backups: bool


class SetAllowListInput(Record):
    """Let new connections through the endpoint come from these networks only; from everywhere where there are none."""

    cluster_id: str
    endpoint: Endpoint
    network: Network
    networks: tuple[str, ...]


class NoteDurabilityInput(Record):
    """Keep at the endpoint what commits wait for: an adoption that has no record finds it there."""

    cluster_id: str
    endpoint: Endpoint
    durability: Durability


CREATE_NETWORK = Effect("create_network", ClusterKey, Network, Kind.HOST, "routing.endpoint:EndpointActivities")
CREATE_ENDPOINT = Effect(
    "create_endpoint", CreateEndpointInput, Endpoint, Kind.HOST, "routing.endpoint:EndpointActivities"
)
CREATE_POOLERS = Effect("create_poolers", CreatePoolersInput, Poolers, Kind.HOST, "routing.poolers:PoolerActivities")
CONFIGURE_POOLERS = Effect(
    "configure_poolers", ConfigurePoolersInput, Nothing, Kind.HOST, "routing.poolers:PoolerActivities"
)
REMOVE_POOLERS = Effect("remove_poolers", RemovePoolersInput, Nothing, Kind.HOST, "routing.poolers:PoolerActivities")
DRAIN_POOLERS = Effect("drain_poolers", DrainPoolersInput, Nothing, Kind.HOST_LONG, "routing.poolers:PoolerActivities")
SET_ROUTES = Effect("set_routes", RouteInput, Nothing, Kind.HOST, "routing.endpoint:EndpointActivities")
SET_TLS = Effect("set_tls", SetTlsInput, Nothing, Kind.HOST, "routing.tls:TlsActivities")
SET_ALLOW_LIST = Effect(
    "set_allow_list", SetAllowListInput, Nothing, Kind.HOST, "routing.allow_list:AllowListActivities"
)
NOTE_DURABILITY = Effect(
    "note_durability", NoteDurabilityInput, Nothing, Kind.HOST, "routing.durability_note:DurabilityActivities"
)
