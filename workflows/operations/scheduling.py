"""The schedules of a cluster's backups: begun with the cluster, ended with it."""

import asyncio
from functools import partial

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.backups import BackupPolicy, BackupRun, BackupType
    from model.drills import DrillRun
    from model.errors import MpgError
    from model.operations import BackupRequest, VerifyBackupRequest
    from workflows.call import call
    from workflows.operation import Operation

SCHEDULE = "schedule backups"
UNSCHEDULE = "end the schedules of backups"
END_BOUND_S = 60.0
"""How long a backup may take to end. What it leaves is removed with the cluster."""


def schedules_of(
    operation: Operation, policy: BackupPolicy, at_once: BackupType | None = None
) -> effects.PutSchedulesInput:
    """Return the schedules of the operation's cluster by *policy*; with new ones a backup *at_once* is begun."""
    spec = operation.state.spec
    return effects.PutSchedulesInput(
        cluster_id=spec.id, cluster_name=spec.name, org=spec.org, policy=policy, at_once=at_once
    )


async def schedule_backups(operation: Operation, at_once: BackupType) -> str:
    """Have the operation's cluster backed up from now on, by a first backup *at_once*.

    The cluster serves already: what goes wrong here undoes nothing. Return what to add to the result of the operation
    then; the condition ``BackupOverdue`` says so later.
    """
    spec = operation.state.spec
    if spec.backups is None:
        return ""
    arg = schedules_of(operation, spec.backups.policy, at_once)
    try:
        await operation.see_through(operation.step(SCHEDULE, effects.PUT_SCHEDULES, arg))
    except MpgError as error:
        workflow.logger.error("backups are not scheduled", extra={"error": str(error)})
        return f" Its backups are not scheduled: {error} Try again by: mpg backup schedule {spec.name} --keep-days N."
    return ""


async def unschedule(request: BackupRequest | VerifyBackupRequest) -> None:
    """Remove the schedules of a cluster that is gone, if one of them started *request*: its destruction was cut off."""
    if request.scheduled:
        arg = effects.ClusterKey(cluster_id=request.cluster_id)
        await call(effects.REMOVE_SCHEDULES, arg, summary="remove the schedules of a cluster that is gone")


async def end_backups(operation: Operation) -> None:
    """Start no backup of the operation's cluster any more, and no drill; end those that are under way."""
    spec = operation.state.spec
    await operation.step(UNSCHEDULE, effects.REMOVE_SCHEDULES, effects.ClusterKey(cluster_id=spec.id))
    for running in await _under_way(operation):
        await operation.do(f"end {running.operation_id}", partial(_end, running))


async def _under_way(operation: Operation) -> tuple[BackupRun | DrillRun, ...]:
    """Return what was under way when the turn came, and what has begun since: neither waits for a turn.

    With the phase ``destroying`` on record, the cluster lets none begin any more.
    """
    known = [operation.state.status.backups]
    if workflow.patched("end-what-began-since"):
        key = effects.ClusterKey(cluster_id=operation.state.spec.id)
        try:
            source = await call(effects.READ_SOURCE, key, summary="see which backups have begun since")
            known.append(source.state.status.backups)
        except MpgError as error:
            workflow.logger.warning("what has begun since is not known", extra={"error": str(error)})
    found = {run.operation_id: run for each in known for run in (each.running, each.drill) if run is not None}
    return tuple(found.values())


async def _end(running: BackupRun | DrillRun) -> None:
    handle = workflow.get_external_workflow_handle(running.operation_id)
    try:
        await handle.cancel()
    except FailureError as error:
        if is_cancelled_exception(error):
            raise
        workflow.logger.info("the backup had just ended", extra={"operation": running.operation_id})
        return
    arg = effects.AwaitOperationInput(operation_id=running.operation_id, run_id=running.run_id)
    try:
        async with asyncio.timeout(END_BOUND_S):
            await call(effects.AWAIT_OPERATION_END, arg, summary=f"wait for the end of {running.operation_id}")
    except TimeoutError:
        workflow.logger.warning("a backup does not end", extra={"operation": running.operation_id})
