"""Which clusters this worker watches, beside what Temporal believes: a watch that nobody runs any more is begun anew.

A watch lasts as long as its cluster, and a worker has thousands. Heartbeats that were frequent enough to tell of a
dead worker would keep Temporal busy for nothing, so watches heartbeat rarely. A cluster is watched where it is: only
the next worker of the same host can take its watch over, and that worker does so itself, at once.

The other way round, a watch whose workflow has ended, or goes on as a new run, would hear of that with a heartbeat
only: it is ended here.

The proof that another worker of the host is gone is a lock of the kernel's (flock) on a file that is named like it:
it ends with the process, however that ends.
"""

import asyncio
import fcntl
import os
import uuid
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from temporalio import activity
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.fencing import try_lock
from model import effects, search_attributes
from model.errors import WorkerStops

LOOK_EVERY_S = 10.0
"""How often all watches are looked after. A watch that Temporal gave to nobody begins after two looks."""
AT_ONCE = 16
SOON = timedelta(milliseconds=1)

log = structlog.get_logger()

Run = tuple[str, str]
"""Workflow id and run id."""


@dataclass(eq=False)
class _Watch:
    """One try of a watch; two tries of one can overlap."""

    task: asyncio.Task[Any]
    over: bool = False

    def end(self) -> None:
        self.over = True
        self.task.cancel()


class Watches(Interceptor):
    """The watches that run in this process; an interceptor, since it is told of each by seeing it run."""

    def __init__(self, directory: Path, host: str) -> None:
        """Keep the proof that this worker lives in *directory*, which all workers of *host* share."""
        self._directory = directory
        self._host = host
        self._id = uuid.uuid4().hex
        self._here: dict[Run, set[_Watch]] = {}
        self._suspects: dict[Run, int] = {}

    @property
    def identity(self) -> str:
        """What the worker of this host's containers calls itself in Temporal."""
        return f"{self._host}/{self._id}"

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Note what runs *next*, if it is a watch."""
        return _Noted(next, self._here)

    @contextmanager
    def alive(self) -> Generator[None]:
        """Be known as alive to the other workers of the host, until the block or the process ends."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for other in self._directory.iterdir():
            if not other.name.startswith(".") and not self._lives(other):
                other.unlink(missing_ok=True)
        mine, draft = self._directory / self._id, self._directory / f".{self._id}"
        file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            draft.rename(mine)
            yield
        finally:
            mine.unlink(missing_ok=True)
            os.close(file)

    @asynccontextmanager
    async def looked_after(self, client: Client) -> AsyncGenerator[None]:
        """Look after all watches of the host now, and then every :data:`LOOK_EVERY_S` seconds, until the block ends."""
        looking = asyncio.create_task(self._keep_looking(client))
        try:
            yield
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

    async def _keep_looking(self, client: Client) -> None:
        while True:
            try:
                await self.look(client)
            except RPCError as error:
                # Temporal's absence is noticed by all else; the next look sees what this one did not.
                log.warning("could not look after the watches", error=error.message)
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self, client: Client) -> None:
        """Begin anew each watch of this host's clusters whose worker is dead, or which never reached this one.

        End those that run here and whose workflow does not run any more.
        """
        query = (
            "WorkflowType = 'Cluster' AND ExecutionStatus = 'Running'"
            f" AND {search_attributes.HOST.name} = '{self._host}'"
        )
        running = {(found.id, found.run_id) async for found in client.list_workflows(query, page_size=1000)}
        suspects, self._suspects = self._suspects, {}
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(run: Run) -> None:
            async with gate:
                with suppress(RPCError):  # it has ended meanwhile, or its watch begins just now
                    await self._look_at(client, run, suspects.get(run))

        async def over(run: Run) -> None:
            async with gate:
                await self._end_if_over(client, run)

        here = set(self._here)
        await asyncio.gather(*(one(run) for run in running - here), *(over(run) for run in here - running))

    async def _look_at(self, client: Client, run: Run, suspected: int | None) -> None:
        workflow_id, run_id = run
        description = await client.get_workflow_handle(workflow_id, run_id=run_id).describe()
        for pending in description.raw_description.pending_activities:
            if not _is_begun_watch(pending) or run in self._here:
                continue
            host, _, worker = pending.last_worker_identity.rpartition("/")
            if host != self._host:
                continue
            if worker == self._id and suspected != pending.attempt:
                # It may be on its way here, or its end on the way to Temporal.
                self._suspects[run] = pending.attempt
                continue
            if worker != self._id and self._lives(self._directory / worker):
                continue
            log.info("a watch begins anew", workflow=workflow_id, of=pending.last_worker_identity)
            watch = client.get_async_activity_handle(
                workflow_id=workflow_id, run_id=run_id, activity_id=pending.activity_id
            )
            error = WorkerStops("The worker that watched is gone.")
            await watch.fail(ApplicationError(str(error), type=type(error).__name__, next_retry_delay=SOON))

    async def _end_if_over(self, client: Client, run: Run) -> None:
        """The list of what runs may be older than the run: the workflow itself tells."""
        workflow_id, run_id = run
        try:
            description = await client.get_workflow_handle(workflow_id, run_id=run_id).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                return
        else:
            if description.status is WorkflowExecutionStatus.RUNNING:
                return
        for watch in self._here.get(run, ()):
            log.info("a watch is over", workflow=workflow_id)
            watch.end()

    def _lives(self, file: Path) -> bool:
        try:
            opened = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not try_lock(opened, fcntl.LOCK_SH)
        finally:
            os.close(opened)


def _is_begun_watch(pending: PendingActivityInfo) -> bool:
    begun = pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    return begun and pending.activity_type.name == effects.WATCH_CLUSTER.name


class _Noted(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, here: dict[Run, set[_Watch]]) -> None:
        super().__init__(following)
        self._here = here

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info, task = activity.info(), asyncio.current_task()
        if info.activity_type != effects.WATCH_CLUSTER.name or not info.workflow_id or not info.workflow_run_id:
            return await super().execute_activity(input)
        assert task is not None
        run, watch = (info.workflow_id, info.workflow_run_id), _Watch(task)
        self._here.setdefault(run, set()).add(watch)
        try:
            return await super().execute_activity(input)
        except asyncio.CancelledError as error:
            if not watch.over:
                raise
            benign = ApplicationErrorCategory.BENIGN
            raise ApplicationError("There is nothing to watch any more.", category=benign) from error
        finally:
            self._here[run].discard(watch)
            if not self._here[run]:
                del self._here[run]
