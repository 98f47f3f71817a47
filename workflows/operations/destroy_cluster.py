"""DestroyCluster: removes a cluster with all its data. It only goes forward."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import OVER, ClusterPhase
    from model.effects import RemoveClusterInput
    from model.facts import PhaseIs
    from model.operations import DestroyClusterRequest, OperationResult
    from workflows.cluster.claims import release_name
    from workflows.cluster.repository import remove_stored_backups
    from workflows.operation import Done, Operation
    from workflows.operations.scheduling import end_backups


@workflow.defn
class DestroyCluster(Operation):
    """Remove a cluster."""

    @workflow.run
    async def run(self, request: DestroyClusterRequest) -> OperationResult:
        """Remove everything; when that fails the cluster's own workflow goes on with it."""

        async def steps() -> Done:
            if self.state.status.phase in OVER:
                return Done(f"Cluster {self.state.spec.name} was destroyed already.", changed=False)
            await self.see_through(self._remove())
            return Done(f"Cluster {self.state.spec.name} was destroyed.")

        return await self.operate(request, steps)

    async def _remove(self) -> None:
        spec = self.state.spec
        await self.commit(PhaseIs(phase=ClusterPhase.DESTROYING))
        if spec.backups is not None:
            await end_backups(self)
        await self.step(
            "remove containers, volumes and network", effects.REMOVE_CLUSTER, RemoveClusterInput(cluster_id=spec.id)
        )
        await remove_stored_backups(self.effect, spec)
        await self.commit(PhaseIs(phase=ClusterPhase.DESTROYED))
        # Not left to the cluster's end: who destroys a cluster may make one of the same name next.
        await release_name(spec.org, spec.name, spec.id)
