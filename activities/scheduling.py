"""A backup's place on its cluster's record, and the Temporal Schedules that start backups."""

from datetime import UTC, datetime
from typing import Any, TypeVar

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
from model.base import Record
from model.cluster import ClusterSpec
from model.effects import (
    BackupClaim,
    BackupStart,
    BeginBackupInput,
    BeginDrillInput,
    ClusterKey,
    DrillClaim,
    DrillStart,
    NoteBackupInput,
    NoteDrillInput,
    Nothing,
    PutSchedulesInput,
)
from model.errors import NotFound, NotYet
from model.names import MAIN_QUEUE, cluster_workflow_id
from model.operations import BackupRequest, OperationRequest, VerifyBackupRequest, workflow_id
from model.schedules import SCHEDULED, Timing, drill_schedule_id, schedule_id, timing, timing_of

log = structlog.get_logger()

Start = TypeVar("Start", bound=Record)


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
        start = await self._claim(arg.cluster_id, "begin_backup", BackupClaim(run=arg.run), BackupStart)
        if start.other is None or await self._runs(start.other.operation_id):
            return start
        log.warning("a backup ended without a word", operation=start.other.operation_id)
        claim = BackupClaim(run=arg.run, instead_of=start.other.operation_id)
        return await self._claim(arg.cluster_id, "begin_backup", claim, BackupStart)

    @activity.defn(name=effects.BEGIN_DRILL.name)
    async def begin_drill(self, arg: BeginDrillInput) -> DrillStart:
        """Put the drill on the cluster's record, unless another one is under way; as :meth:`begin_backup`."""
        start = await self._claim(arg.cluster_id, "begin_drill", DrillClaim(run=arg.run), DrillStart)
        if start.other is None or await self._runs(start.other.operation_id):
            return start
        log.warning("a drill ended without a word", operation=start.other.operation_id)
        claim = DrillClaim(run=arg.run, instead_of=start.other.operation_id)
        return await self._claim(arg.cluster_id, "begin_drill", claim, DrillStart)

    async def _claim(self, cluster_id: str, update: str, claim: Record, answer: type[Start]) -> Start:
        cluster = self._client.get_workflow_handle(cluster_workflow_id(cluster_id))
        try:
            start: Start = await cluster.execute_update(  # pyright: ignore[reportUnknownMemberType]
                update, claim, result_type=answer
            )
        except WorkflowUpdateFailedError as error:
            raise NotYet(f"The cluster's workflow was about to begin anew: {error.cause}.") from error
        except RPCError as error:
            raise _not_there(error, cluster_id) from error
        return start

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
        return await self._tell(arg.cluster_id, "note_backup", arg.note)

    @activity.defn(name=effects.NOTE_DRILL.name)
    async def note_drill(self, arg: NoteDrillInput) -> Nothing:
        """Tell the cluster of a drill. Telling it twice changes nothing. Raises :class:`NotFound`."""
        return await self._tell(arg.cluster_id, "note_drill", arg.note)

    async def _tell(self, cluster_id: str, signal: str, note: Record) -> Nothing:
        try:
            await self._client.get_workflow_handle(cluster_workflow_id(cluster_id)).signal(signal, note)
        except RPCError as error:
            raise _not_there(error, cluster_id) from error
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
        await self._put_drills(arg)
        return Nothing()

    async def _put_drills(self, arg: PutSchedulesInput) -> None:
        id = drill_schedule_id(arg.cluster_id)
        if not arg.policy.drill:
            await self._delete(id)
            return
        schedule = _drills(arg, timing_of(arg.policy.drill, datetime.now(UTC)))
        try:
            await self._client.create_schedule(
                id,
                schedule,
                memo={"cluster": arg.cluster_name, "backup": "drill"},
                search_attributes=_attributes(arg),
            )
        except ScheduleAlreadyRunningError:
            await self._change(id, schedule)

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
        """Remove the cluster's schedules. What is gone already is no error; what runs is let be."""
        for id in (*(schedule_id(arg.cluster_id, type) for type in SCHEDULED), drill_schedule_id(arg.cluster_id)):
            await self._delete(id)
        return Nothing()

    async def _delete(self, id: str) -> None:
        try:
            await self._client.get_schedule_handle(id).delete()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise


def _schedule(arg: PutSchedulesInput, type: BackupType, timing: Timing) -> Schedule:
    request = BackupRequest(cluster_id=arg.cluster_id, type=type, scheduled=True)
    return _starting(
        arg,
        request,
        type.value,
        timing,
        summary=f"Backup {type} on {arg.cluster_name}, scheduled",
        note=f"Backups of {arg.cluster_name}, {type}: {timing.line} (UTC)",
    )


def _drills(arg: PutSchedulesInput, timing: Timing) -> Schedule:
    return _starting(
        arg,
        VerifyBackupRequest(cluster_id=arg.cluster_id, scheduled=True),
        "latest",
        timing,
        summary=f"Verify the latest backup of {arg.cluster_name}, scheduled",
        note=f"Drills of {arg.cluster_name}: {timing.line} (UTC)",
    )


def _starting(
    arg: PutSchedulesInput, request: OperationRequest, request_id: str, timing: Timing, *, summary: str, note: str
) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            request.operation,
            args=[request],
            # Temporal adds the time for which it is started.
            id=workflow_id(request, arg.cluster_name, request_id),
            task_queue=MAIN_QUEUE,
            static_summary=summary,
            typed_search_attributes=_attributes(arg, request.operation),
        ),
        spec=ScheduleSpec(calendars=[_calendar(timing)], jitter=timing.jitter),
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timing.catch_up, pause_on_failure=False
        ),
        state=ScheduleState(note=note),
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
