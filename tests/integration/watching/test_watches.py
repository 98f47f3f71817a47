"""Watches that nobody runs are begun anew, those of the living left alone: a real Temporal, whose tasks are taken."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import activity, workflow
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import PollActivityTaskQueueRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.watching.watch_ownership import Watches
from model import effects, search_attributes
from model.settings import load_settings
from starter.prerequisites.temporal_binary import find_temporal

pytestmark = pytest.mark.integration

RUNNING = "ExecutionStatus = 'Running'"
Handle = WorkflowHandle[object, object]


@workflow.defn(name="Cluster", sandboxed=False)
class WatchedCluster:
    """Only the watch of it."""

    @workflow.run
    async def run(self, queue: str) -> str:
        return await workflow.execute_activity(
            effects.WATCH_CLUSTER.name,
            result_type=str,
            task_queue=queue,
            start_to_close_timeout=timedelta(days=1),
            heartbeat_timeout=timedelta(hours=1),
        )


@activity.defn(name=effects.WATCH_CLUSTER.name)
async def watch_cluster() -> str:
    await asyncio.Event().wait()
    return "never"


@pytest.fixture(scope="module")
async def temporal() -> AsyncGenerator[Client]:
    binary = find_temporal(load_settings())
    if binary is None:
        pytest.skip("this machine has no Temporal program: run 'mpg doctor --fix'")
    async with (
        await WorkflowEnvironment.start_local(
            dev_server_existing_path=str(binary),
            dev_server_extra_args=["--dynamic-config-value=system.forceSearchAttributesCacheRefreshOnRead=true"],
            search_attributes=[search_attributes.HOST],
        ) as server,
        Worker(server.client, task_queue="decisions", workflows=[WatchedCluster]),
    ):
        yield server.client


@pytest.fixture
def host() -> str:
    return f"h{secrets.token_hex(4)}"


@pytest.fixture
async def cluster(temporal: Client, host: str) -> AsyncGenerator[Handle]:
    """A cluster on *host* which waits for its watch to begin."""
    handle: Handle = await temporal.start_workflow(
        "Cluster",
        host,
        id=f"cluster/{host}",
        task_queue="decisions",
        search_attributes=TypedSearchAttributes([SearchAttributePair(search_attributes.HOST, host)]),
    )
    async with asyncio.timeout(10):
        while not (await handle.describe()).raw_description.pending_activities:
            await asyncio.sleep(0.02)
    await until_listed(temporal, host)
    yield handle
    with suppress(RPCError):  # the test ended it
        await handle.terminate()


async def until_listed(temporal: Client, host: str) -> None:
    async with asyncio.timeout(10):
        while not [each async for each in temporal.list_workflows(f"{search_attributes.HOST.name} = '{host}'")]:
            await asyncio.sleep(0.02)


async def take(temporal: Client, queue: str, identity: str) -> None:
    """Take the watch as a worker with *identity* would, and do nothing with it."""
    answer = await temporal.workflow_service.poll_activity_task_queue(
        PollActivityTaskQueueRequest(namespace=temporal.namespace, task_queue=TaskQueue(name=queue), identity=identity),
        timeout=timedelta(seconds=30),
    )
    assert answer.activity_type.name == effects.WATCH_CLUSTER.name


async def watch_of(cluster: Handle) -> PendingActivityInfo:
    (pending,) = (await cluster.describe()).raw_description.pending_activities
    return pending


async def begun(cluster: Handle) -> int:
    """The number of the try that somebody has; 0 while nobody has one."""
    pending = await watch_of(cluster)
    held = pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    return pending.attempt if held else 0


async def test_watch_of_a_living_worker_is_left_alone_and_that_of_a_dead_one_begun_anew(
    temporal: Client, cluster: Handle, host: str, tmp_path: Path
) -> None:
    mine, other = Watches(tmp_path, host), Watches(tmp_path, host)
    with mine.alive():
        with other.alive():
            await take(temporal, host, other.identity)
            for _ in range(3):
                await mine.look(temporal)
            assert await begun(cluster) == 1
        await mine.look(temporal)
        await take(temporal, host, mine.identity)
        assert (await watch_of(cluster)).attempt == 2


async def test_watch_that_never_arrived_is_begun_anew_with_the_second_look(
    temporal: Client, cluster: Handle, host: str, tmp_path: Path
) -> None:
    watches = Watches(tmp_path, host)
    with watches.alive():
        await take(temporal, host, watches.identity)
        await watches.look(temporal)
        assert await begun(cluster) == 1
        await watches.look(temporal)
        await take(temporal, host, watches.identity)
        assert (await watch_of(cluster)).attempt == 2


async def test_watch_that_runs_here_is_left_alone(temporal: Client, cluster: Handle, host: str, tmp_path: Path) -> None:
    watches = Watches(tmp_path, host)
    worker = Worker(
        temporal, task_queue=host, identity=watches.identity, activities=[watch_cluster], interceptors=[watches]
    )
    with watches.alive():
        async with worker:
            async with asyncio.timeout(10):
                while not await begun(cluster):
                    await asyncio.sleep(0.02)
            for _ in range(3):
                await watches.look(temporal)
            assert await begun(cluster) == 1


async def test_watch_whose_cluster_has_ended_is_ended_before_its_next_heartbeat(
    temporal: Client, cluster: Handle, host: str, tmp_path: Path
) -> None:
    watches, ended = Watches(tmp_path, host), asyncio.Event()

    @activity.defn(name=effects.WATCH_CLUSTER.name)
    async def watch_cluster() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    worker = Worker(
        temporal, task_queue=host, identity=watches.identity, activities=[watch_cluster], interceptors=[watches]
    )
    with watches.alive():
        async with worker, asyncio.timeout(10):
            while not await begun(cluster):
                await asyncio.sleep(0.02)
            await cluster.terminate()
            await watches.look(temporal)
            while [each async for each in temporal.list_workflows(f"WorkflowId = '{cluster.id}' AND {RUNNING}")]:
                await asyncio.sleep(0.02)
            await watches.look(temporal)
            await ended.wait()


async def test_watch_on_another_host_is_left_alone(
    temporal: Client, cluster: Handle, host: str, tmp_path: Path
) -> None:
    await take(temporal, host, f"elsewhere/{secrets.token_hex(16)}")
    watches = Watches(tmp_path, host)
    for _ in range(3):
        await watches.look(temporal)
    assert await begun(cluster) == 1


def test_proof_of_life_is_removed_with_the_worker_and_that_of_a_dead_one_by_the_next(tmp_path: Path) -> None:
    dead = tmp_path / secrets.token_hex(16)
    dead.touch()
    first, second = Watches(tmp_path, "local"), Watches(tmp_path, "local")
    with first.alive(), second.alive():
        left = {file.name for file in tmp_path.iterdir()}
        assert left == {each.identity.removeprefix("local/") for each in (first, second)}
    assert not list(tmp_path.iterdir())
