"""The worker: the one process that runs workflows and activities. Connect, register, serve.

``python -m worker`` serves until SIGTERM or SIGINT; then it stops taking work, lets what runs come to a point where
the next worker can go on, and exits.
"""

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import structlog
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetStickyTaskQueueRequest
from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import RPCError
from temporalio.worker import Interceptor, Worker

from activities.fencing import FencedActivities, OperationFences
from activities.log_context import LoggedActivities
from activities.metrics.worker_metrics import WorkerMetrics
from activities.recovery.key_guard import GuardedActivities
from activities.registry import Activities, open_activities
from activities.watching.watch_ownership import Watches
from model.converter import DATA_CONVERTER
from model.errors import MpgError
from model.master_key import load_or_create_master_key
from model.names import MAIN_QUEUE, host_queue
from model.settings import Settings, load_settings
from model.temporal_tls import temporal_tls
from starter.client.temporal import compression
from starter.leave import leave
from starter.logs import configure_logging
from starter.nexus.handlers import nexus_service, serves_nexus
from starter.traces import traced
from workflows.metered import MeteredOperations
from workflows.registry import SANDBOX, WORKFLOWS

GRACE = timedelta(seconds=5)
"""How long activities may go on after a stop was asked for. What takes longer is taken up by the next worker."""

MOST_ACTIVITIES = 20_000
"""At once, on each queue. Every cluster has a watch, which lasts as long as the cluster: the limit is on clusters."""
STICKY = timedelta(seconds=2)
"""How long a workflow's task waits for the worker that has it in memory; a killed worker costs this much."""

TAKEN_OVER_AT_ONCE = 16

log = structlog.get_logger()


async def connect(settings: Settings, runtime: Runtime | None = None) -> Client:
    """Return a client of the namespace in *settings*. Raises ``RuntimeError`` when Temporal does not answer.

    The SDK counts in *runtime* what it does.
    """
    return await Client.connect(
        settings.temporal_target,
        namespace=settings.temporal_namespace,
        data_converter=DATA_CONVERTER,
        tls=temporal_tls(settings),
        api_key=settings.temporal_api_key.get_secret_value() if settings.temporal_api_key else None,
        grpc_compression=compression(settings),
        runtime=runtime,
    )


@asynccontextmanager
async def serving(
    client: Client,
    settings: Settings,
    activities: Activities,
    metrics: WorkerMetrics | None = None,
    tracing: Sequence[Interceptor] = (),
) -> AsyncGenerator[None]:
    """Run workflows and *activities* until the block ends, and take over at once what a former worker left.

    *metrics* counts the operations, *tracing* traces them.
    """
    watches = Watches(settings.workers_dir, settings.host_name)
    async with AsyncExitStack() as stack:
        stack.enter_context(watches.alive())
        answers = [nexus_service(client, settings)] if await serves_nexus(client) else []
        counted = [metrics.operations, MeteredOperations(metrics.operations.count)] if metrics else []
        for worker in _workers(client, settings, activities, watches, answers, counted, tracing):
            await stack.enter_async_context(worker)
        await _take_over(client)
        await stack.enter_async_context(watches.looked_after(client))
        if activities.left_behind is not None:
            await stack.enter_async_context(activities.left_behind.looked_after())
        yield


def _workers(
    client: Client,
    settings: Settings,
    activities: Activities,
    watches: Watches,
    answers: Sequence[object],
    counted: Sequence[Interceptor],
    tracing: Sequence[Interceptor],
) -> list[Worker]:
    """Return the worker of decisions and SQL work, with what it *answers* on Nexus, and the one of containers."""
    logged, fenced = LoggedActivities(), FencedActivities(OperationFences(settings.fences_dir))
    # Last, so that a watch is known as one while it waits for the right key.
    guarded = [GuardedActivities(activities.keys)] if activities.keys else []
    main = Worker(
        client,
        task_queue=MAIN_QUEUE,
        workflows=WORKFLOWS,
        activities=activities.main,
        nexus_service_handlers=answers,
        workflow_runner=SANDBOX,
        workflow_failure_exception_types=[MpgError],
        interceptors=[*tracing, logged, fenced, *guarded, *counted],
        sticky_queue_schedule_to_start_timeout=STICKY,
        max_concurrent_activities=MOST_ACTIVITIES,
        max_concurrent_local_activities=100,
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        graceful_shutdown_timeout=GRACE,
    )
    host = Worker(
        client,
        task_queue=host_queue(settings.host_name),
        identity=watches.identity,
        activities=activities.host,
        interceptors=[*tracing, logged, fenced, watches, *guarded, *counted],
        max_concurrent_activities=MOST_ACTIVITIES,
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        graceful_shutdown_timeout=GRACE,
    )
    return [main, host]


async def _take_over(client: Client) -> None:
    """Have Temporal hand out at once what it keeps for a former worker, which may have died.

    It keeps each workflow for the worker that has it in memory: tasks for :data:`STICKY`, queries for up to 10 s
    (matching's stickyPollerUnavailableWindow). A workflow that another living worker has is only replayed once more.
    """
    gate = asyncio.Semaphore(TAKEN_OVER_AT_ONCE)

    async def release(workflow_id: str) -> None:
        execution = WorkflowExecution(workflow_id=workflow_id)
        async with gate:
            with contextlib.suppress(RPCError):  # it has ended meanwhile
                await client.workflow_service.reset_sticky_task_queue(
                    ResetStickyTaskQueueRequest(namespace=client.namespace, execution=execution)
                )

    try:
        running = [found.id async for found in client.list_workflows("ExecutionStatus='Running'")]
    except RPCError as error:
        # It only takes longer then.
        log.warning("could not take over from a former worker", error=error.message)
        return
    await asyncio.gather(*(release(workflow_id) for workflow_id in running))


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _traced_operations() -> Interceptor:
    from workflows.traced import TracedOperations

    return TracedOperations()


async def main() -> None:
    """Serve until a signal says stop."""
    settings = load_settings()
    configure_logging(settings)
    stop = stop_signal()
    metrics = WorkerMetrics()
    client = await connect(settings, metrics.runtime)
    async with AsyncExitStack() as stack:
        master_key = load_or_create_master_key(settings.master_key_file)
        stack.enter_context(metrics.exported(settings))
        opened = open_activities(settings, client, master_key, metrics.board)
        activities = await stack.enter_async_context(opened)
        tracing = stack.enter_context(traced(settings, "worker", _traced_operations))
        await stack.enter_async_context(serving(client, settings, activities, metrics, tracing))
        gc.collect()
        gc.freeze()  # what the code itself consists of stays: looking through it stopped everything for 40 ms at times
        log.info("worker serves", host=settings.host_name, temporal=settings.temporal_target)
        await stop.wait()
        log.info("worker stops")


if __name__ == "__main__":
    asyncio.run(main())
    leave(0)
