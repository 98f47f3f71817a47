"""KeptBackups: what is kept of a destroyed cluster, its record and its backups, until their time has come.

The timer is Temporal's: it outlives workers and restarts. It is begun before the cluster is removed, so that no backups
stay behind that nobody removes.
"""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy

    from model import effects, search_attributes
    from model.backups import Reading, RepositoryKind
    from model.effects import ClusterKey, RepositoryRef
    from model.errors import MpgError
    from model.facts import BackupRecordIs, apply
    from model.names import kept_workflow_id
    from model.restore import KeptCluster
    from workflows.call import call
    from workflows.cluster.readers import ReaderBook

AGAIN_AFTER = timedelta(hours=1)
"""Until the next try, where the backups could not be removed, because the host is away for instance."""


@workflow.defn
class KeptBackups:
    """Holds what is kept of one cluster. Its id is :func:`model.names.kept_workflow_id`."""

    @workflow.init
    def __init__(self, kept: KeptCluster) -> None:
        """Hold *kept*."""
        self._kept = kept
        self._readers = ReaderBook(lambda: self._reading, self._put_readers)

    @workflow.run
    async def run(self, kept: KeptCluster) -> None:
        """Wait for the end, and remove the backups; those of a cluster that lives after all stay."""
        self._readers.follow()
        while (left := self._kept.until - workflow.now()) > timedelta(0):
            await self._wait(left, self._kept.until)
        while True:
            until = self._kept.until  # a word that comes while it is tried counts as well
            if not self._reading and await self._removed():
                return
            if workflow.patched("tried-again-on-a-word"):
                await self._wait(AGAIN_AFTER, until)
            else:
                await workflow.sleep(AGAIN_AFTER)

    async def _wait(self, left: timedelta, until: datetime) -> None:
        """Sleep for so long, or until the end is another one than *until*, or nobody reads any more."""
        read = bool(self._reading)
        try:
            await workflow.wait_condition(
                lambda: self._kept.until != until or (read and not self._reading), timeout=left
            )
        except TimeoutError:
            return

    async def _removed(self) -> bool:
        spec = self._kept.state.spec
        try:
            source = await call(effects.READ_SOURCE, ClusterKey(cluster_id=spec.id), summary="see that it is gone")
            if source.over and spec.backups is not None:
                arg = RepositoryRef(cluster_id=spec.id, repository=spec.backups.repository, image=spec.image)
                if arg.repository.kind is RepositoryKind.S3 and workflow.patched("store-from-any-host"):
                    await call(effects.REMOVE_STORED, arg, summary="remove the backups")
                else:
                    await call(effects.REMOVE_REPOSITORY, arg, summary="remove the backups", host=spec.host)
        except MpgError as error:
            workflow.logger.warning("backups that are due are not removed", extra={"error": str(error)})
            return False
        return True

    @workflow.signal
    def keep_until(self, until: datetime) -> None:
        """Another end was chosen; one that is past is now, and has what could not be removed tried again."""
        self._kept = self._kept.model_copy(update={"until": until})

    @workflow.signal
    def keep(self, kept: KeptCluster) -> None:
        """The cluster is destroyed once more: it has written since, and may have another end."""
        former, self._kept = self._reading, kept
        for reading in former:
            self._readers.begin(reading)
        if workflow.patched("readers-kept-again"):
            self._readers.follow()

    @workflow.signal
    def begin_reading(self, reading: Reading) -> None:
        """A restore is about to choose a backup, or has chosen one: they stay until it has ended."""
        self._readers.begin(reading)

    @property
    def _reading(self) -> tuple[Reading, ...]:
        return self._kept.state.status.backups.readers

    def _put_readers(self, readers: tuple[Reading, ...]) -> None:
        record = self._kept.state.status.backups.model_copy(update={"readers": readers})
        state = apply(self._kept.state, [BackupRecordIs(record=record)])
        self._kept = self._kept.model_copy(update={"state": state})

    @workflow.query
    def kept(self) -> KeptCluster:
        """What is kept, and until when."""
        return self._kept


async def keep_backups(kept: KeptCluster) -> None:
    """Begin to keep, or where an earlier destruction has begun that already, keep as it is known now."""
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
        keeper = workflow.get_external_workflow_handle(workflow_id)
        if workflow.patched("keep-all-of-it"):
            await keeper.signal("keep", kept)
        else:
            await keeper.signal("keep_until", kept.until)


async def keep_no_longer(cluster_id: str) -> None:
    """End what an earlier destruction of a cluster has begun to keep, which lives: its backups are not touched."""
    try:
        await workflow.get_external_workflow_handle(kept_workflow_id(cluster_id)).signal("keep_until", workflow.now())
    except FailureError as error:
        if is_cancelled_exception(error):
            raise
        workflow.logger.info("nothing is kept any more", extra={"cluster": cluster_id})
