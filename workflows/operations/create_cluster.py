"""CreateCluster: everything side by side; the first query is answered before the replica has its copy."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.backups import BackupType
    from model.cluster import ClusterPhase, ClusterSpec, ClusterState, Tls
    from model.effects import Bootstrap, HostCheck
    from model.facts import PhaseIs
    from model.names import DEFAULT_DATABASE, POSTGIS
    from model.operations import CreateClusterRequest, OperationResult
    from model.tuning import connection_limit
    from workflows.operation import Done, Operation
    from workflows.operations import new_cluster
    from workflows.operations.new_cluster import NewCluster
    from workflows.operations.scheduling import SCHEDULE, schedule_backups

INSTALL_POSTGIS = f"install PostGIS in {DEFAULT_DATABASE}"
SET_UP_ROLES = "set up roles"


@workflow.defn
class CreateCluster(Operation):
    """Make a cluster."""

    @workflow.run
    async def run(self, request: CreateClusterRequest) -> OperationResult:
        """Containers in parallel; undone by removing all of them."""

        async def steps() -> Done:
            self.plan(
                new_cluster.MAKE_NETWORK,
                new_cluster.MAKE_ENDPOINT,
                new_cluster.START_FIRST,
                new_cluster.START_SECOND,
                SET_UP_ROLES,
                *([INSTALL_POSTGIS] if request.postgis_enabled else []),
                new_cluster.START_POOLERS,
                new_cluster.OPEN_ENDPOINT,
                new_cluster.BRING_IN_SYNC,
                *([SCHEDULE] if self.state.spec.backups else []),
            )
            await self._new.make_network()
            await self.together(self._serve(), self._new.make_replica())
            await self._new.bring_in_sync()
            await self.conclude(PhaseIs(phase=ClusterPhase.READY))
            return Done(f"Cluster {request.name} was created.{await schedule_backups(self, BackupType.FULL)}")

        return await self.operate(request, steps, lambda: self._begin(request))

    async def _begin(self, request: CreateClusterRequest) -> ClusterState:
        """See that the host has room, claim the name, and start the cluster's own workflow."""
        arg = effects.CheckHostInput(
            plan=request.plan,
            pg_major_version=request.pg_major_version,
            storage_gb=request.storage_gb,
            postgis=request.postgis_enabled,
        )
        room = await new_cluster.see_room(arg, request.host)
        self._new = NewCluster(self, room)
        return await self._new.begin(_spec(request, room), request.operation)

    async def _serve(self) -> None:
        await self.together(self._make_primary(), self._new.make_way_in())
        await self._new.open_endpoint()

    async def _make_primary(self) -> None:
        await self._new.make_primary(Bootstrap.INIT)
        await self._set_up_roles()
        if self.state.spec.postgis_enabled:
            await self._install_postgis()

    async def _set_up_roles(self) -> None:
        spec = self.state.spec
        await self.step(
            SET_UP_ROLES,
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
        tls=Tls.REQUIRED if request.require_tls else Tls.OFFERED,
        backups=room.backups,
        created_at=workflow.now(),
    )
