"""A backup's place on its cluster's record, and the Temporal Schedules that start backups."""

from datetime import UTC, datetime
from typing import Any

import structlog
from temporalio import activity
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowExecutionStatus,
    WorkflowUpdateFailedError,
)
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from model import effects, search_attributes
from model.backups import BackupType
from model.cluster import ClusterSpec
from model.effects import (
    BackupClaim,
    BackupStart,
    BeginBackupInput,
    ClusterKey,
    NoteBackupInput,
    Nothing,
    PutSchedulesInput,
)
from model.errors import NotFound, NotYet
from model.names import MAIN_QUEUE, cluster_workflow_id
from model.operations import BackupRequest, workflow_id
from model.schedules import SCHEDULED, Timing, schedule_id, timing

log = structlog.get_logger()


class ScheduleActivities:
    """Effects of backups on workflows and schedules, through Temporal's API."""

    def __init__(self, client: Client) -> None:
        """Ask *client*."""
        self._client = client

    # --- the cluster's record -----------------------------------------------------------------------------------------

    @activity.defn(name=effects.BEGIN_BACKUP.name)
    async def begin_backup(self, arg: BeginBackupInput) -> BackupStart:
        """Put the backup on the cluster's record, unless another one is being made; answer with the cluster's state.

        One on record whose operation runs no more, because it was terminated, is in nobody's way. Raises
        :class:`NotFound` when there is no such cluster.
        """
        start = await self._claim(arg.cluster_id, BackupClaim(run=arg.run))
        if start.other is None or await self._runs(start.other.operation_id):
            return start
        log.warning("a backup ended without a word", operation=start.other.operation_id)
        return await self._claim(arg.cluster_id, BackupClaim(run=arg.run, instead_of=start.other.operation_id))

    async def _claim(self, cluster_id: str, claim: BackupClaim) -> BackupStart:
        cluster = self._client.get_workflow_handle(cluster_workflow_id(cluster_id))
        try:
            answer: BackupStart = await cluster.execute_update(  # pyright: ignore[reportUnknownMemberType]
                "begin_backup", claim, result_type=BackupStart
            )
        except WorkflowUpdateFailedError as error:
            raise NotYet(f"The cluster's workflow was about to begin anew: {error.cause}.") from error
        except RPCError as error:
            raise _not_there(error, cluster_id) from error
        return answer

    async def _runs(self, operation_id: str) -> bool:
        try:
            description = await self._client.get_workflow_handle(operation_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return description.status is WorkflowExecutionStatus.RUNNING

    @activity.defn(name=effects.NOTE_BACKUP.name)
    async def note_backup(self, arg: NoteBackupInput) -> Nothing:
        """Tell the cluster of a backup. Telling it twice changes nothing. Raises :class:`NotFound`."""
        try:
            await self._client.get_workflow_handle(cluster_workflow_id(arg.cluster_id)).signal("note_backup", arg.note)
        except RPCError as error:
            raise _not_there(error, arg.cluster_id) from error
        return Nothing()

    # --- schedules ----------------------------------------------------------------------------------------------------

    @activity.defn(name=effects.PUT_SCHEDULES.name)
    async def put_schedules(self, arg: PutSchedulesInput) -> Nothing:
        """Make the cluster's schedules, or change them; one that somebody paused stays so."""
        for type in SCHEDULED:
            schedule = _schedule(arg, type, timing(arg.policy, type, datetime.now(UTC)))
            try:
                await self._client.create_schedule(
                    schedule_id(arg.cluster_id, type),
                    schedule,
                    trigger_immediately=type is arg.at_once,
                    memo={"cluster": arg.cluster_name, "backup": type.value},
                    search_attributes=_attributes(arg),
                )
            except ScheduleAlreadyRunningError:
                await self._change(schedule_id(arg.cluster_id, type), schedule)
        return Nothing()

    async def begin_first(self, spec: ClusterSpec) -> None:
        """Have the cluster of *spec* backed up now, by a schedule of its; they are put back where they are gone.

        One that somebody paused is left alone. Raises :class:`RPCError` where Temporal does not answer.
        """
        assert spec.backups is not None, "who has no repository is not looked at"
        log.warning("a cluster has no backup: one is begun", cluster=spec.id)
        handle = self._client.get_schedule_handle(schedule_id(spec.id, BackupType.INCR))
        put = PutSchedulesInput(
            cluster_id=spec.id,
            cluster_name=spec.name,
            org=spec.org,
            policy=spec.backups.policy,
            at_once=BackupType.INCR,
        )
        try:
            if not (await handle.describe()).schedule.state.paused:
                await handle.trigger()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            await self.put_schedules(put)

    async def _change(self, id: str, wanted: Schedule) -> None:
        def update(found: ScheduleUpdateInput) -> ScheduleUpdate:
            wanted.state.paused = found.description.schedule.state.paused
            return ScheduleUpdate(schedule=wanted)

        await self._client.get_schedule_handle(id).update(update)

    @activity.defn(name=effects.REMOVE_SCHEDULES.name)
    async def remove_schedules(self, arg: ClusterKey) -> Nothing:
        """Remove the cluster's schedules. What is gone already is no error; a backup that runs is let be."""
        for type in SCHEDULED:
            try:
                await self._client.get_schedule_handle(schedule_id(arg.cluster_id, type)).delete()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
        return Nothing()


def _schedule(arg: PutSchedulesInput, type: BackupType, timing: Timing) -> Schedule:
    request = BackupRequest(cluster_id=arg.cluster_id, type=type, scheduled=True)
    return Schedule(
        action=ScheduleActionStartWorkflow(
            request.operation,
            args=[request],
            # Temporal adds the time for which it is started.
            id=workflow_id(request, arg.cluster_name, type.value),
            task_queue=MAIN_QUEUE,
            static_summary=f"Backup {type} on {arg.cluster_name}, scheduled",
            typed_search_attributes=_attributes(arg, request.operation),
        ),
        spec=ScheduleSpec(calendars=[_calendar(timing)], jitter=timing.jitter),
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timing.catch_up, pause_on_failure=False
        ),
        state=ScheduleState(note=f"Backups of {arg.cluster_name}, {type}: {timing.line} (UTC)"),
    )


def _calendar(timing: Timing) -> ScheduleCalendarSpec:
    """Not the line itself: what cron takes either of, Temporal takes both of."""

    def each(values: frozenset[int]) -> list[ScheduleRange]:
        return [ScheduleRange(value) for value in sorted(values)]

    cron = timing.cron
    return ScheduleCalendarSpec(
        minute=each(cron.minutes),
        hour=each(cron.hours),
        day_of_month=each(cron.days),
        month=each(cron.months),
        day_of_week=each(cron.weekdays),
        comment=timing.line,
    )


def _attributes(arg: PutSchedulesInput, operation: str | None = None) -> TypedSearchAttributes:
    pairs: dict[Any, str] = {
        search_attributes.CLUSTER_ID: arg.cluster_id,
        search_attributes.CLUSTER: arg.cluster_name,
        search_attributes.ORG: arg.org,
    }
    if operation is not None:
        pairs[search_attributes.OPERATION] = operation
    return TypedSearchAttributes([SearchAttributePair(key, value) for key, value in pairs.items()])


def _not_there(error: RPCError, cluster_id: str) -> Exception:
    """Return the error to raise in place of *error*."""
    if error.status is not RPCStatusCode.NOT_FOUND:
        return error
    return NotFound(f"There is no cluster {cluster_id}, or it was destroyed.")
