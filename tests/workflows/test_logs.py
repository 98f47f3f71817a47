"""What log lines say of the operation that they are about: the real worker's interceptors, on a server of their own."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError

import worker
from activities.operations import OperationActivities
from activities.registry import Activities
from activities.scheduling import ScheduleActivities
from activities.webhooks.happenings import HappeningActivities
from model.cluster import PoolMode, Role
from model.names import cluster_workflow_id
from model.operations import CreateUserRequest, SetPoolModeRequest
from model.settings import load_settings
from starter.logs import configure_logging
from tests.workflows import samples
from tests.workflows.bench import Bench, until
from tests.workflows.server import real_activities, started_temporal
from tests.workflows.stubs import Call, Stubs, fails

log = structlog.get_logger()


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is logged, as in production."""
    root = logging.getLogger()
    handlers, level, stream = root.handlers, root.level, io.StringIO()
    configure_logging(load_settings(log_format="json", log_level="info"), stream)
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture(scope="module")
async def served_by_worker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Client, Stubs]]:
    """Stub activities behind a worker as worker.py makes it."""
    settings = load_settings(home=tmp_path_factory.mktemp("home"))
    async with started_temporal() as client:
        operations, scheduling = OperationActivities(client), ScheduleActivities(client)
        stubs = Stubs(real=operations, scheduling=scheduling)
        main = [*stubs.activities(host=False), *real_activities(operations, scheduling, HappeningActivities(client))]
        async with worker.serving(client, settings, Activities(main=main, host=stubs.activities(host=True))):
            yield client, stubs


@pytest.fixture
async def served(served_by_worker: tuple[Client, Stubs]) -> AsyncIterator[Bench]:
    """Where operations run on that worker."""
    client, stubs = served_by_worker
    stubs.reset()
    bench = Bench(client, stubs)
    yield bench
    stubs.reset()
    await bench.clear()


async def logs_and_fails(call: Call) -> None:
    """An activity that writes lines in each way there is, and whose second try is well."""
    log.info("by itself")
    await asyncio.create_task(in_a_task())
    logging.getLogger("docker").warning("by a library")
    activity.logger.info("by the SDK's logger")
    if activity.info().attempt == 1:
        raise RuntimeError("a moment, please")


async def in_a_task() -> None:
    log.info("in a task of its own")


WAYS = ("by itself", "in a task of its own", "by a library", "by the SDK's logger")


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.mark.parametrize("local", [True, False])
async def test_lines_of_an_activity_say_cluster_operation_activity_and_attempt(
    served: Bench, written: io.StringIO, local: bool
) -> None:
    state = samples.ready_cluster()
    await served.cluster(state)
    if local:
        effect, text = "create_user", "create_user ben writer"
        request: Any = CreateUserRequest(cluster_id=state.spec.id, username="ben", role=Role.WRITER)
    else:
        effect, text = "create_poolers", "create_poolers generation=2 session"
        request = SetPoolModeRequest(cluster_id=state.spec.id, pool_mode=PoolMode.SESSION)
    served.stubs.plan(text, logs_and_fails)
    operation = await served.start(request)
    await operation.result()
    expected = {
        "cluster": state.spec.id,
        "operation": operation.id,
        "workflow_type": request.operation,
        "activity": effect,
    }
    for way in WAYS:
        found = [line for line in lines(written) if line["event"] == way]
        # At least: a local activity may be forgotten, and run again.
        assert {line["attempt"] for line in found} == {1, 2}, way
        assert all({key: line[key] for key in expected} == expected for line in found), way
    told = [line for line in lines(written) if line["event"] == "Completing activity as failed"]
    failed = [line for line in told if line.get("operation") == operation.id]
    assert {(line["activity"], line["attempt"]) for line in failed} == {(effect, 1)}, "what the SDK says afterwards"


async def test_lines_of_activities_of_others_do_not_mix(served: Bench, written: io.StringIO) -> None:
    """Two operations at once, each of whose activities waits until both have begun."""
    both = asyncio.Barrier(2)

    async def logs_beside_the_other(call: Call) -> None:
        await asyncio.wait_for(both.wait(), 20)
        log.info("beside the other", expected=call.workflow_id)

    states = [samples.ready_cluster() for _ in range(2)]
    for state, username in zip(states, ("ben", "eve"), strict=True):
        await served.cluster(state)
        served.stubs.plan(f"create_user {username} writer", logs_beside_the_other)
    operations = [
        await served.start(CreateUserRequest(cluster_id=state.spec.id, username=username, role=Role.WRITER))
        for state, username in zip(states, ("ben", "eve"), strict=True)
    ]
    await asyncio.gather(*(operation.result() for operation in operations))
    found = [line for line in lines(written) if line["event"] == "beside the other"]
    assert {line["operation"]: line["cluster"] for line in found} == {
        operation.id: state.spec.id for operation, state in zip(operations, states, strict=True)
    }
    assert all(line["operation"] == line["expected"] for line in found)


async def test_lines_of_a_workflow_say_which_it_is(served: Bench, written: io.StringIO) -> None:
    state = samples.ready_cluster()
    await served.cluster(state)
    for text in ("create_user ben writer", "drop_user ben"):
        served.stubs.plan(text, fails())
    operation = await served.start(CreateUserRequest(cluster_id=state.spec.id, username="ben", role=Role.WRITER))
    with pytest.raises(WorkflowFailureError):
        await operation.result()

    async def both_told() -> bool:
        return {"could not undo", "operation did not complete"} <= {line["event"] for line in lines(written)}

    await until(both_told)
    [own] = [line for line in lines(written) if line["event"] == "could not undo"]
    assert (own["operation"], own["workflow_type"]) == (operation.id, "CreateUser")
    [cluster_s] = [line for line in lines(written) if line["event"] == "operation did not complete"]
    assert (cluster_s["workflow"], cluster_s["workflow_type"]) == (cluster_workflow_id(state.spec.id), "Cluster")
    assert cluster_s["cluster"] == state.spec.id
    assert cluster_s["operation"] == operation.id, "what the line is about stays"
