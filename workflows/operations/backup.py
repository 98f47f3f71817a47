"""Backup: a full, differential or incremental backup, beside whatever else is done to the cluster.

It has no turn and never waits for one. Other operations stop and start the nodes that it reads: then it begins again,
with the cluster as it stands by then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from model import backups, effects
    from model.backup_runs import PAUSES_S, Source, begins_again, choose_source, note_of, outranks
    from model.checks import check
    from model.cluster import OVER, ClusterPhase, ClusterState
    from model.errors import MpgError, NotFound, Refused
    from model.operations import BackupRequest, OperationResult
    from model.readers import backups_read, is_chosen
    from workflows.call import call, failure_of
    from workflows.operation import Done, Operation
    from workflows.operations.scheduling import unschedule

R = TypeVar("R")

ENSURE = "see that the repository is there"
SAMPLE = "sample rows, for its proof"
EXPIRE = "remove what is kept no longer"


@workflow.defn
class Backup(Operation):
    """Back a cluster up."""

    @workflow.run
    async def run(self, request: BackupRequest) -> OperationResult:
        """Take the backup, then remove what the policy no longer promises. There is nothing to undo."""
        self._request = request
        self._take = f"take a backup ({request.type})"
        self._made: tuple[backups.Backup, ...] = ()

        async def steps() -> Done:
            if self._other is not None:
                return Done(f"Left out: {self._other.operation_id} is being made.", changed=False)
            sampling = workflow.patched("sample-rows")
            self.plan(ENSURE, self._take, *([SAMPLE] if sampling else []), EXPIRE)
            try:
                return await self._back_up(sampling=sampling)
            except (Exception, asyncio.CancelledError) as error:
                await self.finish(self._note_failure(error))
                raise

        return await self.operate(request, steps, self._begin)

    # --- in place of a turn -------------------------------------------------------------------------------------------

    async def _begin(self) -> ClusterState:
        """Put the backup on the cluster's record: there is one at a time."""
        self._started_at = workflow.now()
        self._other = await self._claim()
        while self._other is not None and self._is_to_wait(self._other):
            await self._end_of(self._other)
            self._other = await self._claim()
        if self._other is not None and not self._request.scheduled:
            raise Refused(
                f"Cluster {self.state.spec.name} is being backed up already, by {self._other.operation_id}.",
                remedy="Wait for its end.",
            )
        return self.state

    async def _claim(self) -> backups.BackupRun | None:
        """Ask the cluster how it stands, and for the place on its record; return the backup that has it instead."""
        info = workflow.info()
        run = backups.BackupRun(
            operation_id=info.workflow_id, run_id=info.run_id, type=self._request.type, started_at=self._started_at
        )
        arg = effects.BeginBackupInput(cluster_id=self._request.cluster_id, run=run)
        try:
            start = await call(effects.BEGIN_BACKUP, arg, summary="ask how the cluster stands")
        except NotFound:
            await unschedule(self._request)
            raise
        self.state = start.state
        if self.state.status.phase in {*OVER, ClusterPhase.DESTROYING}:
            await unschedule(self._request)
        check(self.state, self._request)
        return start.other

    def _is_to_wait(self, running: backups.BackupRun) -> bool:
        return self._request.scheduled and outranks(self._request.type, running.type)

    async def _end_of(self, running: backups.BackupRun) -> None:
        arg = effects.AwaitOperationInput(operation_id=running.operation_id, run_id=running.run_id)
        await call(effects.AWAIT_OPERATION_END, arg, summary=f"wait for the end of {running.operation_id}")

    # --- steps --------------------------------------------------------------------------------------------------------

    async def _back_up(self, *, sampling: bool) -> Done:
        await self._persist(ENSURE, self._ensure)
        made = await self._persist(self._take, self._take_from)
        if made.error is not None:
            raise MpgError(f"Backup {made.id} was made, but is not good: {made.error}")
        self._made = (made,)
        if sampling:
            await self.do(SAMPLE, lambda: self._sample_rows(made))
        try:
            contents = await self._expire()
        except MpgError as error:
            raise MpgError(f"Backup {made.id} is there, but what is kept no longer was not removed: {error}") from error
        await self.see_through(self._note(note_of(self._id, made, contents)))
        return Done(self._told(made))

    async def _persist(self, step: str, action: Callable[[Source], Awaitable[R]]) -> R:
        """Do *step*; where a node was stopped meanwhile, or another one is the primary, begin it again in a while."""

        async def begin() -> R:
            for beginnings, pause_s in enumerate(PAUSES_S):
                try:
                    return await action(choose_source(self.state, beginnings))
                except MpgError as error:
                    if not begins_again(error):
                        raise
                    workflow.logger.warning("backup begins again", extra={"step": step, "error": str(error)})
                await asyncio.sleep(pause_s)
                await self._claim()
            return await action(choose_source(self.state, len(PAUSES_S)))

        return await self.do(step, begin)

    async def _ensure(self, source: Source) -> None:
        arg = effects.EnsureRepositoryInput(**self._repository(), primary=source.primary)
        await self.effect(effects.ENSURE_REPOSITORY, arg, ENSURE)

    async def _take_from(self, source: Source) -> backups.Backup:
        network = self.state.status.network
        assert network is not None, "a cluster with a primary has its network"
        arg = effects.TakeBackupInput(
            **self._repository(),
            cluster_name=self.state.spec.name,
            network=network,
            primary=source.primary,
            replica=source.replica,
            type=self._request.type,
            request_id=self._id.rpartition("/")[2],
        )
        return await self.effect(effects.TAKE_BACKUP, arg, self._take)

    async def _sample_rows(self, made: backups.Backup) -> None:
        """A backup without sampled rows is as good, and its proof says less."""
        await self._claim()
        try:
            arg = effects.SampleRowsInput(**self._repository(), primary=self.primary_node, backup_id=made.id)
            await self.effect(effects.SAMPLE_ROWS, arg, SAMPLE)
        except MpgError as error:
            workflow.logger.warning("no rows are sampled", extra={"backup": made.id, "error": str(error)})

    async def _expire(self) -> backups.RepositoryContents:
        # Read anew: the policy may have been changed while the backup was made.
        await self._claim()
        known = self.state.status.backups
        arg = effects.ExpireBackupsInput(
            **self._repository(),
            policy=self._backups.policy,
            now=workflow.now(),
            read=backups_read(known.readers),
            choosing=not is_chosen(known.readers),
            proofs=known.proofs,
        )
        return await self.step(EXPIRE, effects.EXPIRE_BACKUPS, arg)

    def _told(self, made: backups.Backup) -> str:
        became = "" if made.type is self._request.type else f", {made.type} because there was none to build on"
        stored = made.stored_bytes / 2**20
        return f"Backup {made.id} of cluster {self.state.spec.name} is there{became}: {stored:.1f} MB stored."

    # --- the record ---------------------------------------------------------------------------------------------------

    async def _note_failure(self, error: BaseException) -> None:
        failure = backups.BackupFailure(
            operation_id=self._id,
            type=self._request.type,
            failed_at=workflow.now(),
            message="It was cancelled." if is_cancelled_exception(error) else str(failure_of(error)),
        )
        try:
            await self._note(backups.BackupNote(operation_id=self._id, made=self._made, failure=failure))
        except MpgError as lost:
            workflow.logger.error("the failure is not on record", extra={"error": str(lost)})

    async def _note(self, note: backups.BackupNote) -> None:
        arg = effects.NoteBackupInput(cluster_id=self._request.cluster_id, note=note)
        await call(effects.NOTE_BACKUP, arg, summary="record how the backup went")

    @property
    def _id(self) -> str:
        return workflow.info().workflow_id

    @property
    def _backups(self) -> backups.Backups:
        assert self.state.spec.backups is not None, "checked"
        return self.state.spec.backups

    def _repository(self) -> dict[str, Any]:
        spec = self.state.spec
        return {"cluster_id": spec.id, "repository": self._backups.repository, "image": spec.image}
