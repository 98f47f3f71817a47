"""What a cluster's containers and Postgres really are, and the facts that correct its record."""

import asyncio
from datetime import UTC, datetime

import psycopg

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerInfo, ContainerSummary
from activities.engine.labels import Kind, cluster_labels
from activities.engine.labels import read_state as read_label
from activities.nodes.control_file import ControlFile
from activities.nodes.files import COMPLETE_FILE, REJOIN_FILE, STANDBY_SIGNAL
from activities.nodes.state import NodeState, Standby, read_standbys, read_state
from activities.postgres.sql import SqlSessions
from model.base import Record
from model.cluster import ClusterState, Node, NodePhase, NodeRole, Pooler, PoolerPhase
from model.effects import NodeSpec, Target
from model.errors import MpgError
from model.facts import Fact, NodeIs, PoolersAre, PrimaryIs
from model.names import LABEL_KIND, LABEL_NAME, PGDATA
from model.settling import Seen

IN_SYNC_STATES = frozenset({"sync", "quorum"})


class NodeLook(Record):
    """A recorded node as it was found."""

    node: Node
    seen: Seen
    state: NodeState | None = None
    timeline: int | None = None
    """Of a stopped one that would take writes: the timeline that it was on, None if unknown."""
    standbys: tuple[Standby, ...] = ()
    """Who streams from it, where it takes writes."""
    made: NodeSpec | None = None
    """What its container was made from, which may not be on record yet."""

    @property
    def told(self) -> str:
        """What was seen, for the log."""
        timeline = self.timeline if self.state is None else self.state.timeline
        return f"{self.seen}" if timeline is None else f"{self.seen} on timeline {timeline}"


class Survey:
    """Looks at one cluster."""

    def __init__(self, docker: DockerEngine, sql: SqlSessions, state: ClusterState) -> None:
        """Look through *docker* and *sql* at the cluster recorded as *state*."""
        self._docker = docker
        self._sql = sql
        self._state = state

    async def containers(self) -> list[ContainerSummary]:
        """Return every container that carries the cluster's label."""
        return await self._docker.list_containers(cluster_labels(self._state.spec.id))

    async def nodes(self) -> dict[str, NodeLook]:
        """Return how each recorded node was found."""
        looks = await asyncio.gather(*(self._node(node) for node in self._state.status.nodes))
        return {look.node.name: look for look in looks}

    async def facts(self) -> tuple[Fact, ...]:
        """Return the facts that make the record true: the primary, the nodes, the poolers."""
        began = datetime.now(UTC)
        looks = await self.nodes()
        facts = [*node_facts(self._state, looks, began)]
        poolers = actual_poolers(self._state.status.poolers, await self.containers(), began)
        if poolers != self._state.status.poolers:
            facts.append(PoolersAre(poolers=poolers))
        return tuple(facts)

    async def _node(self, node: Node) -> NodeLook:
        found = await self._docker.inspect(node.container)
        if found is None:
            return NodeLook(node=node, seen=Seen.MISSING)
        look = await self._running(node) if found.running else await self._stopped(node, found)
        label = read_label(found.labels)
        return look.model_copy(update={"made": label and label.node})

    async def _running(self, node: Node) -> NodeLook:
        try:
            async with self._sql.use(Target.of(self._state.spec.id, node)) as connection:
                state = await read_state(connection)
                standbys = [] if state.in_recovery else await read_standbys(connection)
        except psycopg.Error:
            return NodeLook(node=node, seen=Seen.SILENT)
        seen = Seen.STANDBY if state.in_recovery else Seen.PRIMARY
        return NodeLook(node=node, seen=seen, state=state, standbys=tuple(standbys))

    async def _stopped(self, node: Node, found: ContainerInfo) -> NodeLook:
        standby, complete, rejoins = [
            await self._docker.path_exists(found.name, path) for path in (STANDBY_SIGNAL, COMPLETE_FILE, REJOIN_FILE)
        ]
        if standby or rejoins or not complete:
            timeline = await self._newest_timeline(node) if complete else None
            return NodeLook(node=node, seen=Seen.STOPPED_STANDBY, timeline=timeline)
        return NodeLook(node=node, seen=Seen.STOPPED_PRIMARY, timeline=await self._newest_timeline(node))

    async def _newest_timeline(self, node: Node) -> int | None:
        """Return the timeline that a stopped node was on: the control file knows of it only from a checkpoint on."""
        control = ControlFile(self._docker, self._state.spec.id, node.name, None)
        try:
            timeline = (await control.read()).timeline
        except (MpgError, ValueError):
            return None
        while await self._docker.path_exists(node.container, f"{PGDATA}/pg_wal/{timeline + 1:08X}.history"):
            timeline += 1
        return timeline


def node_facts(state: ClusterState, looks: dict[str, NodeLook], began: datetime) -> list[Fact]:
    """Return what differs from the record about nodes, in looks that *began* then.

    ``in_sync`` is only ever taken away here.

    That a standby is in sync is recorded by whoever made sure of it: one that has diverged streams for a moment too.
    """
    facts: list[Fact] = []
    writing = [look for look in looks.values() if look.seen is Seen.PRIMARY]
    primary = writing[0] if len(writing) == 1 else None
    recorded = state.status.primary
    moved = primary is not None and (recorded is None or recorded.name != primary.node.name)
    if primary is not None and primary.state is not None and moved:
        facts.append(PrimaryIs(name=primary.node.name, timeline=primary.state.timeline, since=began))
    for look in looks.values():
        node = _corrected(look, primary, moved=moved)
        if node != look.node:
            facts.append(NodeIs(node=node))
    return facts


_PHASES = {
    Seen.PRIMARY: NodePhase.RUNNING,
    Seen.STANDBY: NodePhase.RUNNING,
    Seen.SILENT: NodePhase.STARTING,
    Seen.MISSING: NodePhase.MISSING,
}


def _corrected(look: NodeLook, primary: NodeLook | None, *, moved: bool) -> Node:
    update: dict[str, object] = {"phase": _PHASES.get(look.seen, NodePhase.STOPPED)}
    if look.made is not None:
        resources = look.made.resources
        update |= {"plan": look.made.plan, "cpus": resources.cpus, "memory_mb": resources.memory_mb}
    if look.state is not None:
        update |= {"timeline": look.state.timeline, "lag_bytes": look.state.lag_bytes}
    if primary is not None:
        update |= _beside(look, primary, moved=moved)
    return look.node.model_copy(update=update)


def _beside(look: NodeLook, primary: NodeLook, *, moved: bool) -> dict[str, object]:
    """Return what the one primary tells about a node."""
    if look.node.name == primary.node.name:
        return {"role": NodeRole.PRIMARY, "in_sync": False}
    row = next((each for each in primary.standbys if each.name == look.node.name), None)
    waited_for = row is not None and row.state == "streaming" and row.sync_state in IN_SYNC_STATES
    told: dict[str, object] = {"role": NodeRole.REPLICA, "in_sync": look.node.in_sync and waited_for and not moved}
    return told if row is None else {**told, "lag_bytes": row.lag_bytes}


def actual_poolers(
    recorded: tuple[Pooler, ...], containers: list[ContainerSummary], now: datetime
) -> tuple[Pooler, ...]:
    """Return the poolers that there are.

    One whose container is gone is stopped, or forgotten where it was draining. One that the record does not name was
    being made when its operation ended: clients may have come, so it drains.
    """
    there = {each.labels.get(LABEL_NAME, ""): each for each in containers if each.labels.get(LABEL_KIND) == Kind.POOLER}
    known = [_as_found(pooler, there.get(pooler.name)) for pooler in recorded]
    names = {pooler.name for pooler in recorded}
    strays = [label.pooler for name, each in there.items() if name not in names and (label := read_label(each.labels))]
    adopted = [
        pooler.model_copy(update={"phase": PoolerPhase.DRAINING, "draining_since": now}) for pooler in strays if pooler
    ]
    return tuple(pooler for pooler in (*known, *adopted) if pooler is not None)


def _as_found(pooler: Pooler, container: ContainerSummary | None) -> Pooler | None:
    if pooler.phase is PoolerPhase.DRAINING:
        return pooler if container is not None else None
    runs = container is not None and container.running
    return pooler.model_copy(update={"phase": PoolerPhase.RUNNING if runs else PoolerPhase.STOPPED})
