"""What is alike in operations that make a cluster: room, name, record, network, nodes, the way in; undone together."""

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.addresses import node_address
    from model.adoption import Origin
    from model.cluster import ClusterPhase, ClusterSpec, ClusterState, ClusterStatus, Node, NodeRole
    from model.effects import Bootstrap, ClusterKey, HostCheck, NodeSpec, RemoveClusterInput
    from model.errors import AlreadyExists
    from model.facts import EndpointIs, NetworkIs, NodeIs, PhaseIs, PoolersAre
    from model.names import NODES
    from workflows.call import call
    from workflows.cluster.repository import remove_stored_backups
    from workflows.cluster.start import start_record
    from workflows.nodes import Nodes, bring_in_sync, node_spec
    from workflows.operation import Operation
    from workflows.operations.naming import claim_name_for, release_name_for

FIRST, SECOND = NODES
CATCH_UP_S = 60.0
"""How long the replica may take to catch up: there is next to nothing to replay."""

MAKE_NETWORK, MAKE_ENDPOINT, START_POOLERS = "make the network", "make the endpoint", "start the poolers"
START_FIRST, START_SECOND = f"start node {FIRST}", f"start node {SECOND}"
OPEN_ENDPOINT, BRING_IN_SYNC = "open the endpoint", f"bring {SECOND} in sync"


async def see_room(arg: effects.CheckHostInput, host: str) -> HostCheck:
    """Return what *host* has for nodes of a plan. Raises as the effect does."""
    return await call(effects.CHECK_HOST, arg, summary=f"see that {host} has room for {arg.plan}", host=host)


class NewCluster:
    """The sequences of an operation that makes a cluster, and is the first holder of its turn."""

    def __init__(self, operation: Operation, room: HostCheck) -> None:
        """Work as *operation*: with its state, its steps and its undos; nodes get what *room* says."""
        self._operation = operation
        self._room = room
        self._nodes = Nodes(operation)

    # --- the record ---------------------------------------------------------------------------------------------------

    async def begin(self, spec: ClusterSpec, operation: str) -> ClusterState:
        """Claim the name, and start the cluster's own workflow with an operation of that type as its holder."""
        self._operation.state = ClusterState(spec=spec, status=ClusterStatus())
        await self._operation.finish(claim_name_for(self._operation))
        await self._operation.finish(self._start_cluster(operation))
        return self._operation.state

    async def _start_cluster(self, operation: str) -> None:
        try:
            await start_record(self._operation.state, operation)
        except WorkflowAlreadyStartedError as error:
            raise AlreadyExists(f"There is, or was, a cluster with id {self._spec.id}.") from error
        # From here on the name goes free with the cluster, and not before.
        self._operation.keep()
        self._operation.on_failure(MAKE_NETWORK, self._remove_everything)

    async def _remove_everything(self) -> None:
        await self._operation.effect(
            effects.REMOVE_CLUSTER, RemoveClusterInput(cluster_id=self._spec.id), "remove everything that was made"
        )
        await remove_stored_backups(self._operation.effect, self._spec)
        self._operation.all_undone()
        await self._operation.commit(PhaseIs(phase=ClusterPhase.ERROR))
        await release_name_for(self._operation)

    # --- steps --------------------------------------------------------------------------------------------------------

    async def make_network(self) -> None:
        """Make the cluster's network."""
        network = await self._operation.step(MAKE_NETWORK, effects.CREATE_NETWORK, ClusterKey(cluster_id=self._spec.id))
        await self._operation.commit(NetworkIs(network=network))

    async def make_primary(self, bootstrap: Bootstrap) -> None:
        """Start the first node, with data from *bootstrap*."""
        await self._make_node(FIRST, NodeRole.PRIMARY, bootstrap)

    async def make_replica(self) -> None:
        """Start the second node on a copy of the first, once that lets it in."""
        await self._make_node(SECOND, NodeRole.REPLICA, Bootstrap.CLONE)

    def node_spec(self, name: str, role: NodeRole) -> NodeSpec:
        """Return what the container of node *name* is made from."""
        primary_address = None if role is NodeRole.PRIMARY else self._primary_address()
        state = self._operation.state
        return node_spec(state, name, role, self._spec.plan.name, self._room.resources, primary_address)

    async def _make_node(self, name: str, role: NodeRole, bootstrap: Bootstrap) -> Node:
        spec = self.node_spec(name, role)
        arg = effects.EnsureNodeInput(spec=spec, bootstrap=bootstrap, plan=self._spec.plan)
        node = await self._operation.step(f"start node {name}", effects.ENSURE_NODE, arg)
        await self._operation.commit(NodeIs(node=node))
        return node

    async def make_way_in(self) -> None:
        """Make the endpoint, still closed, and the poolers."""
        spec, network = self._spec, self._operation.state.status.network
        assert network is not None
        endpoint = await self._operation.step(
            MAKE_ENDPOINT,
            effects.CREATE_ENDPOINT,
            effects.CreateEndpointInput(
                cluster_id=spec.id,
                cluster_name=spec.name,
                network=network,
                image=spec.image,
                origin=Origin.of(spec),
                allow_list=spec.allow_list,
            ),
        )
        await self._operation.commit(EndpointIs(endpoint=endpoint))
        made = await self._operation.step(
            START_POOLERS,
            effects.CREATE_POOLERS,
            effects.CreatePoolersInput(
                cluster_id=spec.id,
                cluster_name=spec.name,
                endpoint=endpoint,
                image=spec.image,
                generation=1,
                pool_mode=spec.pool_mode,
                plan=spec.plan,
                primary_address=self._primary_address(),
                tls=spec.tls,
            ),
        )
        await self._operation.commit(PoolersAre(poolers=made.poolers))

    async def open_endpoint(self) -> None:
        """Let clients in; the primary serves reads as well until the replica is in sync."""
        await self._operation.do(OPEN_ENDPOINT, lambda: self._nodes.route(read_only=self._operation.primary_node))

    async def bring_in_sync(self) -> None:
        """Have the replica hold every commit, and serve reads."""
        await self._operation.do(BRING_IN_SYNC, self._bring_in_sync)

    async def _bring_in_sync(self) -> None:
        await self._operation.commit(*await bring_in_sync(self._operation.effect, self._operation.state, CATCH_UP_S))
        replica = self._operation.state.status.replica
        assert replica is not None
        await self._nodes.route(read_only=replica)

    # --- what they know -----------------------------------------------------------------------------------------------

    @property
    def _spec(self) -> ClusterSpec:
        return self._operation.state.spec

    def _primary_address(self) -> str:
        network = self._operation.state.status.network
        assert network is not None
        return node_address(network, FIRST)
