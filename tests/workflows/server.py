"""A development server, and a worker with the real workflows and stub activities."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.operations import OperationActivities
from activities.scheduling import ScheduleActivities
from activities.webhooks.beginning import BeginningActivities
from activities.webhooks.happenings import HappeningActivities
from model import search_attributes
from model.converter import DATA_CONVERTER
from model.errors import MpgError, NotFound
from model.names import DEFAULT_HOST, MAIN_QUEUE, host_queue
from model.settings import load_settings
from starter.prerequisites.temporal_binary import find_temporal
from starter.prerequisites.temporal_flags import TEMPORAL_DYNAMIC_CONFIG
from tests.workflows.stubs import REAL, Stubs
from workflows.registry import SANDBOX, WORKFLOWS

IDENTITY = "tests"
EVENTS_BEFORE_CONTINUE_AS_NEW = 60
_DYNAMIC_CONFIG = TEMPORAL_DYNAMIC_CONFIG | {
    "limit.historyCount.suggestContinueAsNew": str(EVENTS_BEFORE_CONTINUE_AS_NEW)
}
_BEAT = timedelta(milliseconds=20)


@asynccontextmanager
async def started_temporal() -> AsyncIterator[Client]:
    """A client of a development server of its own, in memory, on a free port."""
    binary = find_temporal(load_settings())
    if binary is None:
        raise NotFound("There is no 'temporal' program.", remedy="Run: mpg doctor --fix")
    async with await WorkflowEnvironment.start_local(
        data_converter=DATA_CONVERTER,
        identity=IDENTITY,
        dev_server_existing_path=str(binary),
        dev_server_log_level="error",
        dev_server_extra_args=[f"--dynamic-config-value={key}={value}" for key, value in _DYNAMIC_CONFIG.items()],
        search_attributes=search_attributes.ALL,
    ) as server:
        yield server.client


@asynccontextmanager
async def serving(client: Client) -> AsyncIterator[Stubs]:
    """The stubs behind a running worker."""
    operations, scheduling = OperationActivities(client), ScheduleActivities(client)
    stubs = Stubs(real=operations, scheduling=scheduling, beginning=BeginningActivities(client))
    async with AsyncExitStack() as stack:
        for worker in _workers(client, stubs, operations, scheduling, HappeningActivities(client)):
            await stack.enter_async_context(worker)
        yield stubs
        stubs.reset()


def real_activities(*objects: object) -> list[Callable[..., Any]]:
    """Return the activities that no stub takes the place of, as *objects* implement them."""
    return [getattr(each, name) for name in sorted(REAL) for each in objects if hasattr(each, name)]


def _workers(client: Client, stubs: Stubs, *real: object) -> list[Worker]:
    """As in production, but for the activities."""
    main = Worker(
        client,
        task_queue=MAIN_QUEUE,
        workflows=WORKFLOWS,
        activities=[*stubs.activities(host=False), *real_activities(*real)],
        workflow_runner=SANDBOX,
        workflow_failure_exception_types=[MpgError],
        max_concurrent_activities=1000,
        max_heartbeat_throttle_interval=_BEAT,
        default_heartbeat_throttle_interval=_BEAT,
    )
    host = Worker(
        client,
        task_queue=host_queue(DEFAULT_HOST),
        activities=stubs.activities(host=True),
        max_heartbeat_throttle_interval=_BEAT,
        default_heartbeat_throttle_interval=_BEAT,
    )
    return [main, host]
