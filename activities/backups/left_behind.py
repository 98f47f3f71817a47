"""Containers of backups and drills whose operation has ended without them: a terminated workflow undoes nothing.

The activity may hear of its end late, or never, where its worker died as well. So each worker looks after those of its
host by itself: one look is two lists of the engine, and a call to Temporal for each container that there is.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import structlog
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.backups.pgbackrest import remove_left_command
from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerSummary
from activities.engine.labels import Kind
from model.backups import BackupNote
from model.cluster import ClusterState
from model.drills import DrillNote
from model.errors import MpgError
from model.names import (
    LABEL_CLUSTER,
    LABEL_KIND,
    backup_container,
    backup_helper_container,
    cluster_workflow_id,
    drill_container,
)

log = structlog.get_logger()

LOOK_EVERY_S = 10.0
OPERATION_LABEL = "mpg.operation"
"""On the container of a backup or a drill: the workflow that it is made for."""
RUN_LABEL = "mpg.run"
"""On the same: that workflow's run. Two stacks on one engine can have operations of one id, and never of one run."""


def operation_labels() -> dict[str, str]:
    """Return the labels that say for which workflow the activity that runs here works; none outside an activity."""
    if not activity.in_activity():
        return {}
    info = activity.info()
    labels = {OPERATION_LABEL: info.workflow_id, RUN_LABEL: info.workflow_run_id}
    return {name: value for name, value in labels.items() if value}


class LeftBehind:
    """Ends what operations that are over have left on this host, and tells their clusters."""

    def __init__(self, docker: DockerEngine, client: Client) -> None:
        """Look at *docker*, and ask *client* what runs."""
        self._docker = docker
        self._client = client

    @asynccontextmanager
    async def looked_after(self) -> AsyncGenerator[None]:
        """Look now and then every :data:`LOOK_EVERY_S` seconds, until the block ends."""
        looking = asyncio.create_task(self._keep_looking())
        try:
            yield
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self.look()
            except (RPCError, MpgError) as error:
                # The absence of Temporal or of the engine is noticed by all else; the next look comes.
                log.warning("could not look for what was left behind", error=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Remove every container whose operation is known to be over, with what belongs to it, and lost commands'."""
        for kind, name_of in ((Kind.BACKUP, backup_container), (Kind.DRILL, drill_container)):
            for found in await self._docker.list_containers({LABEL_KIND: kind}):
                cluster_id, operation = found.labels.get(LABEL_CLUSTER, ""), found.labels.get(OPERATION_LABEL)
                if await remove_left_command(self._docker, found):
                    log.warning("a command's container was left behind", cluster=cluster_id, container=found.name)
                    continue
                if operation is None or found.name != name_of(cluster_id):
                    continue
                if await is_over(self._client, operation, found.labels.get(RUN_LABEL, "")):
                    await self._end(cluster_id, kind, operation, found)

    async def _end(self, cluster_id: str, kind: Kind, operation: str, left: ContainerSummary) -> None:
        if await self._docker.inspect(left.id) is None:
            return  # its activity was faster
        log.warning("an operation left its container behind", cluster=cluster_id, operation=operation)
        if kind is Kind.BACKUP:
            await self._docker.remove(backup_helper_container(cluster_id), force=True)
        await self._docker.remove(left.id, force=True)
        if kind is Kind.DRILL and await self._docker.inspect(left.name) is None:
            await self._docker.remove_volume(left.name)
        await self._tell(cluster_id, kind, operation)

    async def forget(self, state: ClusterState) -> None:
        """Have the cluster of *state* take a backup and a drill off its record that ended without a word.

        Raises :class:`RPCError` where Temporal does not answer.
        """
        known = state.status.backups
        for kind, run in ((Kind.BACKUP, known.running), (Kind.DRILL, known.drill)):
            if run is not None and await is_over(self._client, run.operation_id, run.run_id):
                log.warning("an operation ended without a word", cluster=state.spec.id, operation=run.operation_id)
                await self._tell(state.spec.id, kind, run.operation_id)

    async def _tell(self, cluster_id: str, kind: Kind, operation: str) -> None:
        """Have the cluster take the operation off its record; one that is gone has none."""
        cluster = self._client.get_workflow_handle(cluster_workflow_id(cluster_id))
        try:
            if kind is Kind.BACKUP:
                await cluster.signal("note_backup", BackupNote(operation_id=operation))
            else:
                await cluster.signal("note_drill", DrillNote(operation_id=operation))
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise


async def is_over(client: Client, workflow_id: str, run_id: str) -> bool:
    """Tell whether a run is known to have ended. One that Temporal does not know is not known to have.

    Raises :class:`RPCError` where Temporal does not answer.
    """
    try:
        description = await client.get_workflow_handle(workflow_id, run_id=run_id or None).describe()
    except RPCError as error:
        if error.status in {RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT}:
            return False
        raise
    return description.status is not WorkflowExecutionStatus.RUNNING
