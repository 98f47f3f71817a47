"""DestroyCluster: removes a cluster with all its data; its backups may stay for some days. It only goes forward."""

from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import OVER, ClusterPhase, NodePhase
    from model.effects import RemoveClusterInput
    from model.errors import MpgError
    from model.facts import BackupsKept, PhaseIs
    from model.operations import DestroyClusterRequest, OperationResult
    from model.restore import KeptCluster, say
    from workflows.cluster.claims import release_name
    from workflows.cluster.kept import keep_backups
    from workflows.cluster.repository import remove_stored_backups
    from workflows.operation import Done, Operation
    from workflows.operations.scheduling import end_backups

LAST_ARCHIVE_S = 10.0
"""How long the archiver may take for what was committed last; a cluster that is destroyed may be a broken one."""
REMOVE = "remove containers, volumes and network"
ARCHIVE_LAST = "archive what was committed last"


@workflow.defn
class DestroyCluster(Operation):
    """Remove a cluster."""

    @workflow.run
    async def run(self, request: DestroyClusterRequest) -> OperationResult:
        """Remove everything; when that fails the cluster's own workflow goes on with it."""
        self._not_archived = ""

        async def steps() -> Done:
            spec = self.state.spec
            if self.state.status.phase in OVER:
                return Done(f"Cluster {spec.name} was destroyed already.", changed=False)
            until = await self.see_through(self._remove(request.keep_backups_days))
            backed_up = self.state.status.backups.latest() is not None
            told = (
                f" It can be restored until {say(until)}: mpg restore {spec.id} --latest."
                if until and backed_up
                else ""
            )
            lost = f" What was committed last is not in its archive: {self._not_archived}" if self._not_archived else ""
            return Done(f"Cluster {spec.name} was destroyed.{told}{lost}")

        return await self.operate(request, steps)

    async def _remove(self, days: int) -> datetime | None:
        """Remove the cluster; return until when its backups are kept, None where they are not."""
        spec = self.state.spec
        until = await self._keep(days) if spec.backups is not None and days else None
        kept = [BackupsKept(until=until)] if until else []
        await self.commit(*kept, PhaseIs(phase=ClusterPhase.DESTROYING))
        if spec.backups is not None:
            await end_backups(self)
        await self.step(
            REMOVE, effects.REMOVE_CLUSTER, RemoveClusterInput(cluster_id=spec.id, keep_repository=until is not None)
        )
        if until is None:
            await remove_stored_backups(self.effect, spec)
        await self.commit(PhaseIs(phase=ClusterPhase.DESTROYED))
        # Not left to the cluster's end: who destroys a cluster may make one of the same name next.
        await release_name(spec.org, spec.name, spec.id)
        return until

    async def _keep(self, days: int) -> datetime:
        """See that the backups go in time, before there is nobody left who knows of them."""
        end, self._not_archived = await self.do(ARCHIVE_LAST, self._archive_last)
        until = workflow.now().replace(microsecond=0) + timedelta(days=days)
        kept = KeptCluster(state=self.state, end=end, until=until, flushed=not self._not_archived)
        await keep_backups(kept)
        return until

    async def _archive_last(self) -> tuple[datetime, str]:
        """Have the archive reach to now. Return to where it reaches, and why it may lack what was committed last."""
        primary = self.state.status.primary
        if primary is None or primary.phase is not NodePhase.RUNNING:
            return workflow.now(), "It had no primary that ran."
        arg = effects.ArchiveNowInput(cluster_id=self.state.spec.id, primary=primary, timeout_s=LAST_ARCHIVE_S)
        try:
            return (await self.effect(effects.ARCHIVE_NOW, arg, ARCHIVE_LAST)).at, ""
        except MpgError as error:
            workflow.logger.warning("the last commits are not archived", extra={"error": str(error)})
            return workflow.now(), str(error)
