"""KeptBackups: what is kept of a destroyed cluster, its record and its backups, until their time has come.

The timer is Temporal's: it outlives workers and restarts. It is begun before the cluster is removed, so that no backups
stay behind that nobody removes.
"""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy

    from model import effects, search_attributes
    from model.effects import ClusterKey, RepositoryRef
    from model.errors import MpgError
    from model.names import kept_workflow_id
    from model.restore import KeptCluster
    from workflows.call import call

AGAIN_AFTER = timedelta(hours=1)
"""Until the next try, where the backups could not be removed: a restore reads them, or the host is away."""


@workflow.defn
class KeptBackups:
    """Holds what is kept of one cluster. Its id is :func:`model.names.kept_workflow_id`."""

    @workflow.init
    def __init__(self, kept: KeptCluster) -> None:
        """Hold *kept*."""
        self._kept = kept

    @workflow.run
    async def run(self, kept: KeptCluster) -> None:
        """Wait for the end, and remove the backups; those of a cluster that lives after all stay."""
        while (left := self._kept.until - workflow.now()) > timedelta(0):
            await self._wait(left)
        while not await self._removed():
            await self._wait(AGAIN_AFTER)

    async def _wait(self, left: timedelta) -> None:
        """Sleep until the end as it is known now, or until it is another one."""
        until = self._kept.until
        try:
            await workflow.wait_condition(lambda: self._kept.until != until, timeout=left)
        except TimeoutError:
            return

    async def _removed(self) -> bool:
        spec = self._kept.state.spec
        try:
            source = await call(effects.READ_SOURCE, ClusterKey(cluster_id=spec.id), summary="see that it is gone")
            if source.over and spec.backups is not None:
                arg = RepositoryRef(cluster_id=spec.id, repository=spec.backups.repository, image=spec.image)
                await call(effects.REMOVE_REPOSITORY, arg, summary="remove the backups", host=spec.host)
        except MpgError as error:
            workflow.logger.warning("backups that are due are not removed", extra={"error": str(error)})
            return False
        return True

    @workflow.signal
    def keep_until(self, until: datetime) -> None:
        """Another end was chosen; one that is past is now, and has what could not be removed tried again."""
        self._kept = self._kept.model_copy(update={"until": until})

    @workflow.query
    def kept(self) -> KeptCluster:
        """What is kept, and until when."""
        return self._kept


async def keep_backups(kept: KeptCluster) -> None:
    """Begin to keep, or where that has begun already, keep until then."""
    spec = kept.state.spec
    workflow_id = kept_workflow_id(spec.id)
    pairs = {
        search_attributes.CLUSTER_ID: spec.id,
        search_attributes.CLUSTER: spec.name,
        search_attributes.ORG: spec.org,
        search_attributes.HOST: spec.host,
    }
    try:
        await workflow.start_child_workflow(
            KeptBackups.run,
            kept,
            id=workflow_id,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            search_attributes=TypedSearchAttributes([SearchAttributePair(key, value) for key, value in pairs.items()]),
            static_summary=f"Backups of {spec.name} ({spec.id}), kept until {kept.until:%Y-%m-%d %H:%M} UTC",
        )
    except WorkflowAlreadyStartedError:
        await workflow.get_external_workflow_handle(workflow_id).signal("keep_until", kept.until)
