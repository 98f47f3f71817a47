"""CreateCluster: everything side by side; the first query is answered before the replica has its copy."""

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.addresses import node_address
    from model.adoption import Origin
    from model.backups import BackupType
    from model.cluster import ClusterPhase, ClusterSpec, ClusterState, ClusterStatus, NodeRole
    from model.effects import Bootstrap, ClusterKey, HostCheck, RemoveClusterInput
    from model.errors import AlreadyExists
    from model.facts import EndpointIs, NetworkIs, NodeIs, PhaseIs, PoolersAre
    from model.names import DEFAULT_DATABASE, NODES, POSTGIS
    from model.operations import CreateClusterRequest, OperationResult
    from model.tuning import connection_limit
    from workflows.call import call
    from workflows.cluster.repository import remove_stored_backups
    from workflows.cluster.start import start_record
    from workflows.nodes import Nodes, bring_in_sync, node_spec
    from workflows.operation import Done, Operation
    from workflows.operations.naming import claim_name_for, release_name_for
    from workflows.operations.scheduling import SCHEDULE, schedule_backups

FIRST, SECOND = NODES
CATCH_UP_S = 60.0
"""How long the replica may take to catch up: there is next to nothing to replay."""
INSTALL_POSTGIS = f"install PostGIS in {DEFAULT_DATABASE}"


@workflow.defn
class CreateCluster(Operation):
    """Make a cluster."""

    def __init__(self) -> None:
        """Begin without a turn."""
        super().__init__()
        self._nodes = Nodes(self)

    @workflow.run
    async def run(self, request: CreateClusterRequest) -> OperationResult:
        """Containers in parallel; undone by removing all of them."""

        async def steps() -> Done:
            self.plan(
                "make the network",
                "make the endpoint",
                f"start node {FIRST}",
                f"start node {SECOND}",
                "set up roles",
                *([INSTALL_POSTGIS] if request.postgis_enabled else []),
                "start the poolers",
                "open the endpoint",
                f"bring {SECOND} in sync",
                *([SCHEDULE] if self._room.backups else []),
            )
            await self._make_network()
            await self.together(self._serve(), self._make_replica())
            await self.do(f"bring {SECOND} in sync", self._bring_in_sync)
            await self.conclude(PhaseIs(phase=ClusterPhase.READY))
            return Done(f"Cluster {request.name} was created.{await schedule_backups(self, BackupType.FULL)}")

        return await self.operate(request, steps, lambda: self._begin(request))

    # --- the turn: this operation begins the cluster's record and is its first holder ---------------------------------

    async def _begin(self, request: CreateClusterRequest) -> ClusterState:
        """See that the host has room, claim the name, and start the cluster's own workflow."""
        self._room = await self._see_room(request)
        self.state = ClusterState(spec=_spec(request, self._room), status=ClusterStatus())
        await self.finish(claim_name_for(self))
        await self.finish(self._start_cluster(request))
        return self.state

    async def _see_room(self, request: CreateClusterRequest) -> HostCheck:
        arg = effects.CheckHostInput(
            plan=request.plan,
            pg_major_version=request.pg_major_version,
            storage_gb=request.storage_gb,
            postgis=request.postgis_enabled,
        )
        return await call(
            effects.CHECK_HOST, arg, summary=f"see that {request.host} has room for {request.plan}", host=request.host
        )

    async def _start_cluster(self, request: CreateClusterRequest) -> None:
        try:
            await start_record(self.state, request.operation)
        except WorkflowAlreadyStartedError as error:
            raise AlreadyExists(f"There is, or was, a cluster with id {request.cluster_id}.") from error
        # From here on the name goes free with the cluster, and not before.
        self.keep()
        self.on_failure("make the network", self._remove_everything)

    async def _remove_everything(self) -> None:
        spec = self.state.spec
        await self.effect(
            effects.REMOVE_CLUSTER, RemoveClusterInput(cluster_id=spec.id), "remove everything that was made"
        )
        await remove_stored_backups(self.effect, spec)
        self.all_undone()
        await self.commit(PhaseIs(phase=ClusterPhase.ERROR))
        await release_name_for(self)

    # --- steps --------------------------------------------------------------------------------------------------------

    async def _make_network(self) -> None:
        network = await self.step("make the network", effects.CREATE_NETWORK, ClusterKey(cluster_id=self.state.spec.id))
        await self.commit(NetworkIs(network=network))

    async def _serve(self) -> None:
        await self.together(self._make_primary(), self._make_way_in())
        await self.do("open the endpoint", lambda: self._nodes.route(read_only=self.primary_node))

    async def _make_primary(self) -> None:
        await self._make_node(FIRST, NodeRole.PRIMARY, Bootstrap.INIT)
        await self._set_up_roles()
        if self.state.spec.postgis_enabled:
            await self._install_postgis()

    async def _make_replica(self) -> None:
        await self._make_node(SECOND, NodeRole.REPLICA, Bootstrap.CLONE)

    async def _make_node(self, name: str, role: NodeRole, bootstrap: Bootstrap) -> None:
        primary_address = None if role is NodeRole.PRIMARY else self._primary_address()
        spec = node_spec(self.state, name, role, self.state.spec.plan.name, self._room.resources, primary_address)
        arg = effects.EnsureNodeInput(spec=spec, bootstrap=bootstrap, plan=self.state.spec.plan)
        node = await self.step(f"start node {name}", effects.ENSURE_NODE, arg)
        await self.commit(NodeIs(node=node))

    async def _set_up_roles(self) -> None:
        spec = self.state.spec
        await self.step(
            "set up roles",
            effects.SET_UP_ROLES,
            effects.SetUpRolesInput(
                target=self.primary,
                users=spec.users,
                databases=spec.databases,
                connection_limit=connection_limit(spec.plan),
            ),
        )

    async def _install_postgis(self) -> None:
        arg = effects.EnableExtensionInput(
            target=self.primary,
            database=DEFAULT_DATABASE,
            extension=POSTGIS,
        )
        await self.step(INSTALL_POSTGIS, effects.ENABLE_EXTENSION, arg)

    async def _make_way_in(self) -> None:
        spec, network = self.state.spec, self.state.status.network
        assert network is not None
        endpoint = await self.step(
            "make the endpoint",
            effects.CREATE_ENDPOINT,
            effects.CreateEndpointInput(
                cluster_id=spec.id,
                cluster_name=spec.name,
                network=network,
                image=spec.image,
                origin=Origin.of(spec),
            ),
        )
        await self.commit(EndpointIs(endpoint=endpoint))
        made = await self.step(
            "start the poolers",
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
            ),
        )
        await self.commit(PoolersAre(poolers=made.poolers))

    async def _bring_in_sync(self) -> None:
        await self.commit(*await bring_in_sync(self.effect, self.state, CATCH_UP_S))
        replica = self.state.status.replica
        assert replica is not None
        await self._nodes.route(read_only=replica)

    def _primary_address(self) -> str:
        network = self.state.status.network
        assert network is not None
        return node_address(network, FIRST)


def _spec(request: CreateClusterRequest, room: HostCheck) -> ClusterSpec:
    return ClusterSpec(
        id=request.cluster_id,
        name=request.name,
        org=request.org,
        region=request.region,
        host=request.host,
        plan=room.plan,
        pool_mode=request.pool_mode,
        pg_major_version=request.pg_major_version,
        image=room.image,
        storage_gb=request.storage_gb,
        durability=request.durability,
        postgis_enabled=request.postgis_enabled,
        backups=room.backups,
        created_at=workflow.now(),
    )
