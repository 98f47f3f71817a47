"""Effects on nodes: a Postgres in a container is made, restarted, made again, fenced, removed."""

from temporalio import activity

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerInfo
from activities.engine.labels import has_digest, node_digest, read_state
from activities.heartbeat import heartbeating
from activities.nodes.container import STOP_TIMEOUT_S, make_node, prepare_node, take_node_away, would_promote
from activities.nodes.files import RENDERING
from activities.nodes.probe import NodeProbe, has_replicator
from activities.nodes.process import fence
from activities.nodes.repository_conf import RepositoryKeys
from activities.nodes.state import NodeState
from activities.postgres.sql import SqlSessions
from activities.postgres.statements import KEEP_VERIFIERS_OUT, put_platform_role, script
from model import effects
from model.addresses import node_address
from model.authority import Authority
from model.cluster import Node, NodePhase, NodeRole
from model.effects import (
    Bootstrap,
    DrainNodeInput,
    EnsureNodeInput,
    NodeRef,
    NodeSpec,
    Nothing,
    RemoveNodeInput,
    RestartNodeInput,
    Target,
)
from model.errors import NeedsOperator, NotFound
from model.names import REPLICATOR, node_container, node_volume
from model.secrets import scram_verifier

READY_TIMEOUT_S = {
    Bootstrap.INIT: 120.0,
    # A base backup, or the replay after a crash, takes as long as there is data; heartbeats show that we wait.
    Bootstrap.CLONE: 12 * 3600.0,
    Bootstrap.KEEP: 2 * 3600.0,
    Bootstrap.REJOIN: 12 * 3600.0,
}


class NodeActivities:
    """Effects on nodes. Nothing here promotes a standby, or ends a node that keeps its data other than cleanly."""

    def __init__(self, docker: DockerEngine, sql: SqlSessions, keys: RepositoryKeys, authority: Authority) -> None:
        """Work through *docker* and *sql*; passwords and the access to repositories come from *keys*.

        Certificates are *authority*'s.
        """
        self._docker = docker
        self._sql = sql
        self._keys = keys
        self._authority = authority
        self._master_key = keys.master_key
        self._probe = NodeProbe(docker, sql)

    @activity.defn(name=effects.ENSURE_NODE.name)
    async def ensure_node(self, arg: EnsureNodeInput) -> Node:
        """See that a node runs as its spec says.

        Raises:
            NeedsOperator: it would make a second primary, or demote the only one.
            NotFound: ``KEEP`` is asked of a volume without finished data.
            NotYet: it was started but does not answer, or does not stop in time.
            MpgError: its container ended; the sentence has its last lines.
        """
        container = node_container(arg.spec.cluster_id, arg.spec.name)
        async with heartbeating():
            found = await self._docker.inspect(container)
            if found is not None and not await self._may_stay(found, arg):
                await take_node_away(self._docker, found)
                found = None
            if found is None:
                await make_node(self._docker, arg, self._master_key)
            else:
                await self._attach(found, arg.spec)
            if found is None or not found.running:
                await self._start(arg, container)
            return _record(arg.spec, await self._await_ready(arg, container))

    @activity.defn(name=effects.DRAIN_NODE.name)
    async def drain_node(self, arg: DrainNodeInput) -> Nothing:
        """Wait for the queries on a replica from which new clients are routed away; those that take longer are left."""
        async with heartbeating():
            found = await self._docker.inspect(node_container(arg.cluster_id, arg.node.name))
            if found is not None and found.running:
                target = Target.of(arg.cluster_id, arg.node)
                await self._probe.let_queries_end(target, arg.timeout_s)
        return Nothing()

    @activity.defn(name=effects.RESTART_NODE.name)
    async def restart_node(self, arg: RestartNodeInput) -> Node:
        """Restart a node's Postgres cleanly, once. Raises :class:`NotFound` and :class:`NotYet`."""
        container = node_container(arg.cluster_id, arg.node.name)
        async with heartbeating():
            found = await self._existing(container)
            if found.started_at is None or found.started_at < arg.requested_at:
                await self._docker.stop(container, timeout_s=STOP_TIMEOUT_S)
            return await self.start_in_place(arg.cluster_id, arg.node)

    @activity.defn(name=effects.FENCE_NODE.name)
    async def fence_node(self, arg: NodeRef) -> Nothing:
        """Kill a node that does not answer, and prove its end. It has no restart policy. Raises :class:`NotYet`."""
        async with heartbeating():
            await fence(self._docker, node_container(arg.cluster_id, arg.name))
        return Nothing()

    @activity.defn(name=effects.REMOVE_NODE.name)
    async def remove_node(self, arg: RemoveNodeInput) -> Nothing:
        """Remove a node's container and its volume."""
        async with heartbeating():
            await self._docker.remove(node_container(arg.cluster_id, arg.name), force=True)
            await self._docker.remove_volume(node_volume(arg.cluster_id, arg.name))
        return Nothing()

    async def start_in_place(self, cluster_id: str, node: Node) -> Node:
        """Start a node's container as it is, if it does not run, and return it when it answers.

        Raises :class:`NotFound` when there is no container, otherwise as :meth:`NodeProbe.await_answer`.
        """
        found = await self._existing(node_container(cluster_id, node.name))
        container, made = found.name, read_state(found.labels)
        if made is not None and made.node is not None:
            await self._attach(found, made.node)
        await self._docker.start(container)
        target = Target.of(cluster_id, node)
        state = await self._probe.await_answer(target, container, READY_TIMEOUT_S[Bootstrap.KEEP])
        seen = {"phase": NodePhase.RUNNING, "timeline": state.timeline, "lag_bytes": state.lag_bytes}
        return node.model_copy(update=seen)

    async def _attach(self, found: ContainerInfo, spec: NodeSpec) -> None:
        """Give a container that was cut off its network back its address there."""
        if spec.network.name not in found.addresses:
            await self._docker.connect(found.name, spec.network.name, node_address(spec.network, spec.name))

    async def _existing(self, container: str) -> ContainerInfo:
        found = await self._docker.inspect(container)
        if found is None:
            raise NotFound(f"There is no container {container}.", remedy="'mpg status' says which nodes there are.")
        return found

    async def _may_stay(self, found: ContainerInfo, arg: EnsureNodeInput) -> bool:
        """Tell whether the container is as asked. Raises :class:`NeedsOperator` where a primary is at stake."""
        spec = arg.spec
        same = has_digest(found.labels, node_digest(spec, RENDERING))
        if not found.running:
            made = read_state(found.labels)
            return same and made is not None and made.bootstrap is arg.bootstrap
        state = await self._probe.look(_target(spec))
        if state is None or state.in_recovery is (spec.role is NodeRole.REPLICA):
            # A promoted replica carries the label of its former role; with the same resources it stays.
            return same or (state is not None and not state.in_recovery and _differs_by_role_only(found, spec))
        if spec.role is NodeRole.PRIMARY:
            raise would_promote(spec)
        await self._refuse_to_demote_the_only_primary(spec)
        return False

    async def _refuse_to_demote_the_only_primary(self, spec: NodeSpec) -> None:
        other = await self._probe.look(Target(cluster_id=spec.cluster_id, address=spec.primary_address or ""))
        if other is None or other.in_recovery:
            raise NeedsOperator(
                f"Node {spec.name} of cluster {spec.cluster_name} takes writes and {spec.primary_address} does not, "
                "so it was not made a replica of it.",
                remedy="Switch over first, or look at both nodes with 'mpg status'.",
            )

    async def _start(self, arg: EnsureNodeInput, container: str) -> None:
        copy_bytes = await self._probe.copy_bytes(arg.spec) if arg.bootstrap is Bootstrap.REJOIN else 0
        await prepare_node(self._docker, arg, self._keys, self._authority, copy_bytes=copy_bytes)
        if arg.bootstrap is Bootstrap.CLONE:
            await self._probe.await_primary(arg.spec)
        await self._docker.start(container)

    async def _await_ready(self, arg: EnsureNodeInput, container: str) -> NodeState:
        spec, target = arg.spec, _target(arg.spec)
        state = await self._probe.await_answer(target, container, READY_TIMEOUT_S[arg.bootstrap])
        if state.in_recovery is not (spec.role is NodeRole.REPLICA):
            raise NeedsOperator(
                f"Node {spec.name} of cluster {spec.cluster_name} came up as the wrong one: it was to be {spec.role}.",
                remedy="Look at both nodes with 'mpg status'.",
            )
        if arg.bootstrap is Bootstrap.INIT:
            await self._ensure_replicator(target)
        return state

    async def _ensure_replicator(self, target: Target) -> None:
        verifier = scram_verifier(self._master_key, target.cluster_id, REPLICATOR)
        async with self._sql.use(target) as connection, connection.transaction():
            if not await has_replicator(connection):
                role = put_platform_role(REPLICATOR, verifier, exists=False)
                await connection.execute(script(KEEP_VERIFIERS_OUT, role))


def _target(spec: NodeSpec) -> Target:
    return Target(cluster_id=spec.cluster_id, address=node_address(spec.network, spec.name))


def _differs_by_role_only(found: ContainerInfo, spec: NodeSpec) -> bool:
    made = read_state(found.labels)
    if made is None or made.node is None:
        return False
    here = {"role": spec.role, "primary_address": spec.primary_address, "tls": spec.tls}
    alike = made.node.model_copy(update=here)
    return has_digest(found.labels, node_digest(made.node, RENDERING)) and alike == spec


def _record(spec: NodeSpec, state: NodeState) -> Node:
    return Node(
        name=spec.name,
        role=spec.role,
        phase=NodePhase.RUNNING,
        container=node_container(spec.cluster_id, spec.name),
        address=node_address(spec.network, spec.name),
        plan=spec.plan,
        cpus=spec.resources.cpus,
        memory_mb=spec.resources.memory_mb,
        timeline=state.timeline,
        lag_bytes=state.lag_bytes,
    )
