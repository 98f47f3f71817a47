"""Backups: making them, when they are made, and which there are."""

import secrets
from datetime import datetime, timedelta

from temporalio.client import WorkflowFailureError
from temporalio.exceptions import TimeoutError

from model import names
from model.backups import BackupRun, Backups, BackupType, RepositoryContents
from model.cluster import ClusterSpec, ClusterState
from model.errors import NotFound, Refused, StackDown
from model.operations import (
    BackupRequest,
    OperationOutcome,
    OperationRequest,
    ReadBackupsRequest,
    SetBackupPolicyRequest,
    VerifyBackupRequest,
)
from model.restore import COPY_IT
from model.schedules import SCHEDULED, drill_schedule_id, schedule_id
from model.validation import validated
from starter.client import shapes
from starter.client.adoption import Adoption
from starter.client.operation import Operation
from starter.client.shapes import BackupScheduleShape, BackupShape
from starter.client.temporal import CALL_TIMEOUT, from_failure, translated

READ_TIMEOUT = timedelta(seconds=60)
"""Bound on a look at a repository, which is a fraction of a second on a volume."""
RECENT = timedelta(hours=24)
"""How far back a list of backups goes that does not ask for all."""


class BackupCalls(Adoption):
    """The part of :class:`starter.client.MpgClient` for backups."""

    async def create_backup(
        self,
        cluster: str,
        type: BackupType | str = BackupType.FULL,
        *,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start a backup, beside whatever else is done to the cluster.

        Raises :class:`~model.errors.Refused` while another one is made.
        """
        return await self._submit(BackupRequest, cluster, org, request_id, type=type)

    async def verify_backup(
        self,
        cluster: str,
        backup_id: str | None = None,
        *,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start a drill: a backup is restored to a place that is thrown away, and everything in it is read.

        By default the latest good one, with the archive after it. Raises :class:`~model.errors.Refused` while another
        drill of the cluster is under way.
        """
        return await self._submit(VerifyBackupRequest, cluster, org, request_id, backup_id=backup_id)

    async def set_backup_policy(
        self,
        cluster: str,
        *,
        full: str | None = None,
        incr: str | None = None,
        keep_full: int | None = None,
        keep_days: int | None = None,
        drill: str | None = None,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start changing when backups are made and proven, and how long they are kept; what is None stays.

        *full*, *incr* and *drill* are cron lines in UTC; the last may be ``off``. Raises
        :class:`~model.errors.InvalidInput` for what is none.
        """
        return await self._submit(
            SetBackupPolicyRequest,
            cluster,
            org,
            request_id,
            full=full,
            incr=incr,
            keep_full=keep_full,
            keep_days=keep_days,
            drill=drill,
        )

    async def backups(
        self, cluster: str, *, since: datetime | None = None, org: str = names.DEFAULT_ORG
    ) -> tuple[BackupShape, ...]:
        """Return the cluster's backups that began after *since*, or all, the newest first, with one that is being made.

        By id also those of a cluster that was destroyed, as long as its repository is kept.
        """
        state = (await self.view(cluster, org=org)).state
        contents = await self._contents(state.spec)
        running = await self._running(state)
        found = list(shapes.backups(contents.backups, state.status.backups.proofs))
        # It may be there already, while its operation removes what is kept no longer.
        if running and running.operation_id.rpartition("/")[2] not in {each.request_id for each in contents.backups}:
            found.append(shapes.running_backup(running))
        return tuple(each for each in reversed(found) if since is None or each.start >= since)

    async def backup_schedule(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> BackupScheduleShape:
        """Return when the cluster's backups are made, next as well, and how long they are kept."""
        spec = (await self.view(cluster, org=org)).state.spec
        policy = _backups_of(spec).policy
        nexts = {type: await self._next(schedule_id(spec.id, type)) for type in SCHEDULED}
        return BackupScheduleShape(
            **policy.model_dump(),
            next_full=nexts[BackupType.FULL],
            next_incr=nexts[BackupType.INCR],
            next_drill=await self._next(drill_schedule_id(spec.id)),
        )

    async def _next(self, schedule: str) -> datetime | None:
        """Return when Temporal starts the next one; None where the schedule is missing, or paused."""
        handle = self._client.get_schedule_handle(schedule)
        try:
            with translated(self._settings):
                found = await handle.describe(rpc_timeout=CALL_TIMEOUT)
        except NotFound:
            return None
        return None if found.schedule.state.paused else next(iter(found.info.next_action_times), None)

    async def _contents(self, spec: ClusterSpec) -> RepositoryContents:
        request = validated(
            ReadBackupsRequest,
            cluster_id=spec.id,
            host=spec.host,
            repository=_backups_of(spec).repository,
            image=spec.image,
        )
        try:
            with translated(self._settings):
                return await self._client.execute_workflow(
                    ReadBackupsRequest.workflow,
                    request,
                    id=f"read-backups/{spec.name}/{secrets.token_hex(8)}",
                    task_queue=names.MAIN_QUEUE,
                    result_type=RepositoryContents,
                    execution_timeout=READ_TIMEOUT,
                    static_summary=f"Which backups {spec.name} has",
                )
        except WorkflowFailureError as failure:
            if isinstance(failure.cause, TimeoutError):
                silent = f"The repository of {spec.name} does not answer."
                raise StackDown(silent, remedy="See 'mpg doctor'.") from failure
            raise from_failure(failure.cause or failure) from failure

    async def _running(self, state: ClusterState) -> BackupRun | None:
        """Return the backup that is being made. One on record that was terminated is none."""
        running = state.status.backups.running
        return running if running and await self._is_running(running.operation_id) else None

    async def _is_running(self, operation_id: str) -> bool:
        try:
            found = await Operation(self._client, self._settings, operation_id).describe()
        except NotFound:
            return False
        return found.status is OperationOutcome.RUNNING

    async def _check_beside(self, state: ClusterState, request: OperationRequest) -> None:
        if isinstance(request, BackupRequest) and (running := await self._running(state)):
            raise Refused(
                f"Cluster {state.spec.name} is being backed up already, by {running.operation_id}.",
                remedy="Wait for its end.",
            )
        drill = state.status.backups.drill
        if isinstance(request, VerifyBackupRequest) and drill and await self._is_running(drill.operation_id):
            raise Refused(
                f"A backup of cluster {state.spec.name} is being verified already, by {drill.operation_id}.",
                remedy="Wait for its end.",
            )


def _backups_of(spec: ClusterSpec) -> Backups:
    if spec.backups is None:
        raise Refused(f"Cluster {spec.name} was made before there were backups and has no repository.", remedy=COPY_IT)
    return spec.backups
