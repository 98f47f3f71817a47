"""What operations report to the cluster: facts that cannot be undone, and how each changes the recorded state.

A fact is recorded as soon as it is so, not when the operation ends: an operation that is lost halfway leaves a
record that is true.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from model.base import Record
from model.cluster import (
    ClusterPhase,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    Condition,
    Database,
    Endpoint,
    Network,
    Node,
    NodeRole,
    Pooler,
    PoolMode,
    User,
)
from model.plans import Plan


class UserIs(Record):
    """The user exists, with this role and password version."""

    kind: Literal["user_is"] = "user_is"
    user: User


class UserGone(Record):
    """There is no such user any more."""

    kind: Literal["user_gone"] = "user_gone"
    name: str


class DatabaseIs(Record):
    """The database exists."""

    kind: Literal["database_is"] = "database_is"
    database: Database


class DatabaseGone(Record):
    """There is no such database any more."""

    kind: Literal["database_gone"] = "database_gone"
    name: str


class PlanIs(Record):
    """The whole cluster is on this plan."""

    kind: Literal["plan_is"] = "plan_is"
    plan: Plan


class PoolModeIs(Record):
    """New pooled connections get this mode."""

    kind: Literal["pool_mode_is"] = "pool_mode_is"
    pool_mode: PoolMode


class RolesAdopted(Record):
    """The cluster uses the role system (it was marked ``legacy_roles`` before)."""

    kind: Literal["roles_adopted"] = "roles_adopted"


class NetworkIs(Record):
    """The cluster's network exists."""

    kind: Literal["network_is"] = "network_is"
    network: Network


class EndpointIs(Record):
    """The endpoint serves at these addresses."""

    kind: Literal["endpoint_is"] = "endpoint_is"
    endpoint: Endpoint


class NodeIs(Record):
    """A node is in this state (its role included)."""

    kind: Literal["node_is"] = "node_is"
    node: Node


class NodeGone(Record):
    """There is no such node any more."""

    kind: Literal["node_gone"] = "node_gone"
    name: str


class PrimaryIs(Record):
    """*name* takes writes, on *timeline*; every other node is a replica and not known to be in sync."""

    kind: Literal["primary_is"] = "primary_is"
    name: str
    timeline: int | None = None


class InSync(Record):
    """Whether the replica *name* holds every acknowledged commit. ``False`` is recorded before the primary is told."""

    kind: Literal["in_sync"] = "in_sync"
    name: str
    value: bool


class PoolersAre(Record):
    """These, and no others, are the cluster's poolers, draining ones included."""

    kind: Literal["poolers_are"] = "poolers_are"
    poolers: tuple[Pooler, ...]


class AbsencesPlanned(Record):
    """These nodes, and no others, are stopped and started on purpose now. Forgotten when the turn ends."""

    kind: Literal["absences_planned"] = "absences_planned"
    names: tuple[str, ...] = ()


class PhaseIs(Record):
    """The cluster's phase; used where the end of the operation alone does not tell it (destroying, destroyed)."""

    kind: Literal["phase_is"] = "phase_is"
    phase: ClusterPhase


class ConditionIs(Record):
    """A condition holds (or, with ``status`` false, is removed)."""

    kind: Literal["condition_is"] = "condition_is"
    condition: Condition


Fact = Annotated[
    UserIs
    | UserGone
    | DatabaseIs
    | DatabaseGone
    | PlanIs
    | PoolModeIs
    | RolesAdopted
    | NetworkIs
    | EndpointIs
    | NodeIs
    | NodeGone
    | PrimaryIs
    | InSync
    | PoolersAre
    | AbsencesPlanned
    | PhaseIs
    | ConditionIs,
    Field(discriminator="kind"),
]


_Named = TypeVar("_Named", User, Database, Node)


def apply(state: ClusterState, facts: Iterable[Fact]) -> ClusterState:
    """Return *state* as it is after *facts*. Applying the same facts twice changes nothing more."""
    spec, status = state.spec, state.status
    for fact in facts:
        spec = _apply_to_spec(spec, fact)
        status = _apply_to_status(status, fact)
    return ClusterState(spec=spec, status=status)


def _apply_to_spec(spec: ClusterSpec, fact: Fact) -> ClusterSpec:
    match fact:
        case UserIs(user=user):
            return spec.model_copy(update={"users": _put(spec.users, user)})
        case UserGone(name=name):
            return spec.model_copy(update={"users": _drop(spec.users, name)})
        case DatabaseIs(database=database):
            return spec.model_copy(update={"databases": _put(spec.databases, database)})
        case DatabaseGone(name=name):
            return spec.model_copy(update={"databases": _drop(spec.databases, name)})
        case PlanIs(plan=plan):
            return spec.model_copy(update={"plan": plan})
        case PoolModeIs(pool_mode=pool_mode):
            return spec.model_copy(update={"pool_mode": pool_mode})
        case RolesAdopted():
            return spec.model_copy(update={"legacy_roles": False})
        case _:
            return spec


def _apply_to_status(status: ClusterStatus, fact: Fact) -> ClusterStatus:
    match fact:
        case NetworkIs(network=network):
            return status.model_copy(update={"network": network})
        case EndpointIs(endpoint=endpoint):
            return status.model_copy(update={"endpoint": endpoint})
        case NodeIs(node=node):
            return status.model_copy(update={"nodes": _put(status.nodes, node)})
        case NodeGone(name=name):
            return status.model_copy(update={"nodes": _drop(status.nodes, name)})
        case PrimaryIs(name=name, timeline=timeline):
            return status.model_copy(update={"nodes": _with_primary(status.nodes, name, timeline)})
        case InSync(name=name, value=value):
            nodes = tuple(n.model_copy(update={"in_sync": value}) if n.name == name else n for n in status.nodes)
            return status.model_copy(update={"nodes": nodes})
        case PoolersAre(poolers=poolers):
            return status.model_copy(update={"poolers": poolers})
        case AbsencesPlanned(names=names):
            return status.model_copy(update={"absences": names})
        case PhaseIs(phase=phase):
            return status.model_copy(update={"phase": phase})
        case ConditionIs(condition=condition):
            kept = tuple(c for c in status.conditions if c.type != condition.type)
            return status.model_copy(update={"conditions": (*kept, condition) if condition.status else kept})
        case _:
            return status


def _put(items: tuple[_Named, ...], item: _Named) -> tuple[_Named, ...]:
    if any(old.name == item.name for old in items):
        return tuple(item if old.name == item.name else old for old in items)
    return (*items, item)


def _drop(items: tuple[_Named, ...], name: str) -> tuple[_Named, ...]:
    return tuple(item for item in items if item.name != name)


def _with_primary(nodes: tuple[Node, ...], name: str, timeline: int | None) -> tuple[Node, ...]:
    def placed(node: Node) -> Node:
        if node.name == name:
            return node.model_copy(update={"role": NodeRole.PRIMARY, "timeline": timeline, "in_sync": False})
        return node.model_copy(update={"role": NodeRole.REPLICA, "in_sync": False})

    return tuple(placed(node) for node in nodes)
