"""From what a cluster's containers tell to its state: decided here, apart from how the containers are read.

Nothing that is guessed is kept quiet: what a container does not tell and is taken for granted is a note.
"""

from collections.abc import Mapping
from datetime import datetime

from model.addresses import node_address
from model.adoption import AdoptionReading, Origin
from model.backups import MOST_KEPT, BackupPolicy, Backups
from model.base import Record
from model.cluster import (
    ClusterPhase,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    Durability,
    Endpoint,
    Node,
    NodePhase,
    NodeRole,
    Pooler,
    PoolerPhase,
    Tls,
)
from model.effects import NodeSpec
from model.errors import InvalidInput, Refused
from model.names import DEFAULT_ORG, NODES, node_container
from model.plans import Plan
from model.settling import Seen, choose_primary


class NodePart(Record):
    """A node's container: what it was made from, and what it is. ``plan`` and ``key_id`` are not on older labels."""

    spec: NodeSpec
    plan: Plan | None = None
    key_id: str | None = None
    seen: Seen


class AccessPart(Record):
    """What operations changed of who may come in, and how, and what commits wait for, since the endpoint was made.

    None: nothing.
    """

    tls: Tls | None = None
    durability: Durability | None = None
    allow_list: tuple[str, ...] = ()


class EndpointPart(Record):
    """The endpoint's container. ``origin`` is None on labels of older code."""

    endpoint: Endpoint
    access: AccessPart = AccessPart()
    origin: Origin | None = None
    made_at: datetime


class Parts(Record):
    """What the containers of one cluster tell. ``host`` and ``region`` are those of the host that has them."""

    cluster_id: str
    cluster_name: str
    host: str
    region: str
    endpoint: EndpointPart | None = None
    nodes: tuple[NodePart, ...] = ()
    poolers: tuple[Pooler, ...] = ()
    pooled_ports: tuple[int, ...] = ()
    """Ports of the poolers that the endpoint routes new connections to."""


KEEPS_ALL = BackupPolicy(keep_days=MOST_KEPT)
"""Of a cluster whose own policy is not known: no backup that it promised goes."""


def rebuild(
    parts: Parts, plans: Mapping[str, Plan], *, name: str | None, now: datetime, key_id: str | None = None
) -> AdoptionReading:
    """Return the state of the cluster that *parts* are of, called *name* or else what its labels say.

    It is backed up with the master key *key_id* from now on, None for the one that it had.

    The replica counts as not in sync, and poolers that new connections are not routed to as draining since *now*.

    Raises:
        Refused: parts are lacking that every cluster has once its creation is complete.
        NeedsOperator: no node can be the primary, or more than one.
        InvalidInput: the plan is neither on a label nor in *plans*.
    """
    if parts.endpoint is None or not parts.nodes or not parts.poolers:
        raise _half_made(parts)
    nodes = {part.spec.name: part for part in parts.nodes}
    primary = nodes[choose_primary(None, {each: part.seen for each, part in nodes.items()})]
    origin = parts.endpoint.origin or _default_origin(parts, parts.endpoint.made_at)
    tls = parts.endpoint.access.tls or origin.tls
    poolers = tuple(each.model_copy(update={"tls": tls}) for each in _poolers(parts, now))
    spec = ClusterSpec(
        id=parts.cluster_id,
        name=name or parts.cluster_name,
        org=origin.org,
        region=origin.region,
        host=parts.host,
        plan=_plan(primary, plans),
        pool_mode=next(each.pool_mode for each in reversed(poolers) if each.phase is PoolerPhase.RUNNING),
        pg_major_version=primary.spec.pg_major_version,
        image=primary.spec.image,
        storage_gb=origin.storage_gb,
        durability=parts.endpoint.access.durability or origin.durability,
        postgis_enabled=origin.postgis_enabled,
        tls=tls,
        allow_list=parts.endpoint.access.allow_list,
        users=(),
        databases=(),
        backups=_backups(primary.spec, key_id),
        created_at=origin.created_at,
    )
    status = ClusterStatus(
        phase=ClusterPhase.READY,
        network=primary.spec.network,
        endpoint=parts.endpoint.endpoint,
        nodes=tuple(_node(each, nodes.get(each), primary.spec) for each in NODES),
        poolers=poolers,
    )
    return AdoptionReading(
        state=ClusterState(spec=spec, status=status),
        key_id=primary.key_id,
        notes=_notes(parts, parts.endpoint, primary.spec),
    )


def _half_made(parts: Parts) -> Refused:
    there = {"endpoint": parts.endpoint, "node": parts.nodes, "pooler": parts.poolers}
    lacking = " and ".join(f"no {what}" for what, found in there.items() if not found)
    return Refused(
        f"Cluster {parts.cluster_name} ({parts.cluster_id}) is not whole: it has {lacking}.",
        remedy="Its creation or its removal was cut off. If nothing in it is wanted, remove what carries the label "
        f"mpg.cluster={parts.cluster_id}.",
    )


def _backups(primary: NodeSpec, key_id: str | None) -> Backups | None:
    if primary.repository is None:
        return None
    repository = primary.repository.model_copy(update={"key_id": key_id} if key_id else {})
    return Backups(repository=repository, policy=KEEPS_ALL)


def _default_origin(parts: Parts, made_at: datetime) -> Origin:
    spec = ClusterSpec.model_fields
    return Origin(
        org=DEFAULT_ORG,
        region=parts.region,
        host=parts.host,
        durability=Durability(spec["durability"].default),
        storage_gb=int(spec["storage_gb"].default),
        created_at=made_at,
    )


def _plan(primary: NodePart, plans: Mapping[str, Plan]) -> Plan:
    plan = primary.plan or plans.get(primary.spec.plan)
    if plan is None:
        raise InvalidInput(
            f"Cluster {primary.spec.cluster_name} is on plan {primary.spec.plan!r}, which is not in the plan table.",
            remedy="Put it into the file of MPG_PLANS_FILE, restart the stack, and adopt the cluster then.",
        )
    return plan


def _poolers(parts: Parts, now: datetime) -> tuple[Pooler, ...]:
    """The current poolers are those led to; where the endpoint leads to none, the youngest generation."""
    youngest = max(pooler.generation for pooler in parts.poolers)
    current = {pooler.name for pooler in parts.poolers if pooler.port in parts.pooled_ports} or {
        pooler.name for pooler in parts.poolers if pooler.generation == youngest
    }
    leaves = {"phase": PoolerPhase.DRAINING, "draining_since": now}
    return tuple(
        pooler.model_copy(update={"phase": PoolerPhase.RUNNING} if pooler.name in current else leaves)
        for pooler in sorted(parts.poolers, key=lambda each: (each.generation, each.name))
    )


_PHASES = {
    Seen.PRIMARY: NodePhase.RUNNING,
    Seen.STANDBY: NodePhase.RUNNING,
    Seen.SILENT: NodePhase.STARTING,
    Seen.STOPPED_PRIMARY: NodePhase.STOPPED,
    Seen.STOPPED_STANDBY: NodePhase.STOPPED,
    # There is a container, and no finished data in it.
    Seen.MISSING: NodePhase.STOPPED,
}


def _node(name: str, part: NodePart | None, primary: NodeSpec) -> Node:
    """One that is missing is on record all the same, so that the cluster's watch makes it again."""
    spec = part.spec if part else primary
    return Node(
        name=name,
        role=NodeRole.PRIMARY if name == primary.name else NodeRole.REPLICA,
        phase=_PHASES[part.seen] if part else NodePhase.MISSING,
        container=node_container(primary.cluster_id, name),
        address=node_address(primary.network, name),
        plan=spec.plan,
        cpus=spec.resources.cpus,
        memory_mb=spec.resources.memory_mb,
    )


def _notes(parts: Parts, endpoint: EndpointPart, primary: NodeSpec) -> tuple[str, ...]:
    notes: list[str] = []
    if endpoint.origin is None:
        notes.append(
            f"Its labels do not say all: organization {DEFAULT_ORG}, region {parts.region}, durability sync and 10 GB "
            "were taken for granted, and that it is as old as its endpoint."
        )
    elif endpoint.origin.host != parts.host:
        notes.append(f"It was made on a host that was called {endpoint.origin.host}.")
    if primary.repository is not None:
        notes.append(
            "When backups are made and how long they are kept is not on its labels: they are made at the default times,"
            " and none is removed before 'mpg backup schedule --keep-days' says for how long they are kept."
        )
    there = {part.spec.name: part.spec for part in parts.nodes}
    notes.extend(f"Node {name} is missing; it is made again." for name in NODES if name not in there)
    notes.extend(
        f"Node {name} is on plan {spec.plan} and the primary on {primary.plan}, because a change of plan was cut off: "
        "change the plan to another one and back."
        for name, spec in there.items()
        if spec.plan != primary.plan
    )
    return tuple(notes)
