"""The embedded stack for real: Temporal on a SQLite file, a worker, and what happens when parts of it die."""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from temporalio.api.operatorservice.v1 import ListNexusEndpointsRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from model import search_attributes
from model.errors import MpgError
from model.names import MAIN_QUEUE
from model.nexus import ENDPOINT
from model.settings import Settings, load_settings
from starter.stack import embedded as stack
from starter.stack.embedded import PartStatus, StackState, StackStatus
from starter.stack.parts import API, temporal_db
from starter.stack.process import ProcessId
from starter.stack.state import initial_status, write_status
from tests.free_ports import free_port

REPOSITORY = Path(__file__).parents[4]

pytestmark = pytest.mark.integration


@pytest.fixture
async def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Settings]:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    settings = load_settings(
        home=tmp_path / "home",
        temporal_port=free_port(),
        temporal_ui_port=free_port(),
        api_port=free_port(),
        prometheus_port=0,
        worker_module="tests.integration.stub_worker",
    )
    yield settings
    await stack.stop(settings)


async def nap(settings: Settings, workflow_id: str, seconds: float = 0.01) -> float:
    client = await Client.connect(settings.temporal_target, namespace="mpg")
    return await client.execute_workflow("StubNap", seconds, id=workflow_id, task_queue=MAIN_QUEUE, result_type=float)


def process_of(status: StackStatus, name: str) -> ProcessId:
    [process] = [part.process for part in status.parts if part.name == name]
    assert process
    return process


async def status_when(settings: Settings, wanted: Callable[[StackStatus], bool]) -> StackStatus:
    async with asyncio.timeout(30):
        while not wanted(status := await stack.status(settings)):
            await asyncio.sleep(0.02)
    return status


async def gone(process: ProcessId) -> None:
    async with asyncio.timeout(15):
        while process.is_alive():
            await asyncio.sleep(0.02)


async def test_up_returns_a_stack_that_runs_workflows_and_fires_timers_in_time(settings: Settings) -> None:
    started = await stack.start_detached(settings)
    assert not started.already_up
    assert started.status.state is StackState.UP
    assert started.status.temporal_address == f"127.0.0.1:{settings.temporal_port}"
    # The server's default fires it up to a second late.
    assert min([await nap(settings, f"nap-{number}") for number in range(3)]) < 0.3


async def test_what_temporal_knows_of_us_once_the_stack_is_up(settings: Settings) -> None:
    await stack.start_detached(settings)
    client = await Client.connect(settings.temporal_target, namespace="mpg")
    namespace = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="mpg"))
    assert namespace.config.workflow_execution_retention_ttl.seconds == 720 * 3600
    known = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace="mpg"))
    assert set(search_attributes.TYPES) <= set(known.custom_attributes)
    found = await client.operator_service.list_nexus_endpoints(ListNexusEndpointsRequest(name=ENDPOINT))
    [target] = [each.spec.target.worker for each in found.endpoints]
    assert (target.namespace, target.task_queue) == ("mpg", MAIN_QUEUE)


async def test_a_second_up_changes_nothing(settings: Settings) -> None:
    first = await stack.start_detached(settings)
    second = await stack.start_detached(settings)
    assert second.already_up
    assert second.status == first.status


async def test_of_two_ups_at_once_one_starts_the_stack_and_both_find_it(settings: Settings) -> None:
    first, second = await asyncio.gather(stack.start_detached(settings), stack.start_detached(settings))
    assert first.status.supervisor == second.status.supervisor
    assert {first.already_up, second.already_up} == {True, False}


@pytest.mark.parametrize("part", ["temporal", "worker"])
async def test_a_part_that_is_killed_is_started_again(settings: Settings, part: str) -> None:
    before = (await stack.start_detached(settings)).status
    killed = process_of(before, part)
    killed.send(signal.SIGKILL)

    def restarted(status: StackStatus) -> bool:
        return any(now.name == part and now.process not in (None, killed) for now in status.parts)

    after = await status_when(settings, restarted)
    assert after.supervisor == before.supervisor
    async with asyncio.timeout(30):
        await nap_through_restart(settings)


async def nap_through_restart(settings: Settings) -> None:
    while True:
        try:
            await nap(settings, f"nap-{time.monotonic()}")
            return
        except Exception:
            await asyncio.sleep(0.1)


async def test_down_and_up_lose_nothing(settings: Settings) -> None:
    await stack.start_detached(settings)
    await nap(settings, "nap-before")
    assert await stack.stop(settings)
    assert (await stack.status(settings)).state is StackState.DOWN
    # A copy of the one file is a whole backup.
    assert not temporal_db(settings).with_name("temporal.db-wal").exists()

    await stack.start_detached(settings)
    client = await Client.connect(settings.temporal_target, namespace="mpg")
    assert await client.get_workflow_handle("nap-before", result_type=float).result() < 5


async def test_down_of_a_stack_that_is_down_is_nothing(settings: Settings) -> None:
    assert not await stack.stop(settings)


async def test_no_part_outlives_a_supervisor_that_is_killed(settings: Settings) -> None:
    status = (await stack.start_detached(settings)).status
    assert status.supervisor
    status.supervisor.send(signal.SIGKILL)
    for part in ("temporal", "worker"):
        await gone(process_of(status, part))
    assert (await stack.status(settings)).state is StackState.DOWN
    assert (await stack.start_detached(settings)).status.state is StackState.UP


async def test_a_part_that_did_outlive_its_supervisor_is_ended_by_the_next_up(settings: Settings) -> None:
    with bystander() as orphan:
        left = ProcessId.of(orphan.pid)
        assert left
        record_parts(settings, left)
        await stack.start_detached(settings)
        assert orphan.poll() == -signal.SIGTERM


async def test_a_process_that_only_has_the_pid_of_a_part_is_left_alone(settings: Settings) -> None:
    with bystander() as stranger:
        now = ProcessId.of(stranger.pid)
        assert now
        record_parts(settings, ProcessId(pid=now.pid, started=now.started - 1))
        await stack.start_detached(settings)
        assert stranger.poll() is None
        stranger.kill()


def bystander() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "300"])


def record_parts(settings: Settings, process: ProcessId) -> None:
    """Leave the record that a supervisor leaves when it is killed."""
    (settings.home / "run").mkdir(parents=True)
    part = PartStatus(name="worker", process=process, log=settings.logs_dir / "worker.log")
    write_status(settings, initial_status(settings, StackState.UP).model_copy(update={"parts": (part,)}))


@pytest.mark.parametrize("setting", ["temporal_port", "temporal_ui_port"])
async def test_a_taken_port_is_one_sentence_with_the_setting(settings: Settings, setting: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", getattr(settings, setting)))
        holder.listen()
        with pytest.raises(MpgError) as caught:
            await stack.start_detached(settings)
    assert f"MPG_{setting.upper()}" in str(caught.value)
    assert "\n" not in str(caught.value)
    failed = await stack.status(settings)
    assert failed.state is StackState.FAILED
    assert failed.supervisor is None


async def test_an_api_that_can_not_start_is_told_of_and_tried_again_while_the_rest_is_up(settings: Settings) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", settings.api_port))
        holder.listen()
        status = (await stack.start_detached(settings)).status
        assert status.state is StackState.UP
        assert "MPG_API_PORT" in trouble_of(status)
        assert await nap(settings, "nap-without-api") < 30
        doctor = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("mpg"),
            "doctor",
            env=settings.child_environment(os.environ),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await doctor.communicate()
        assert f"Port {settings.api_port} of 127.0.0.1 is in use by another program" in out.decode()
        assert doctor.returncode == 1
    await status_when(settings, lambda found: not trouble_of(found))
    await until_api_answers(settings)
    process_of(await stack.status(settings), API).send(signal.SIGTERM)
    (settings.api_dir / "key").chmod(0o644)
    told = await status_when(settings, lambda found: bool(trouble_of(found)))
    assert str(settings.api_dir / "key") in trouble_of(told)
    assert told.state is StackState.UP


def trouble_of(status: StackStatus) -> str:
    [api] = [part for part in status.parts if part.name == API]
    return api.trouble


async def until_api_answers(settings: Settings) -> None:
    """Return once it does: it is in no trouble as soon as it runs, and listens a moment later."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(httpx.ConnectError):
                assert_api_answers(settings)
                return
            await asyncio.sleep(0.1)


def assert_api_answers(settings: Settings) -> None:
    assert httpx.get(f"{settings.api_url}/healthz").json() == {"ok": True}


async def test_a_worker_that_can_not_start_fails_the_up_and_leaves_nothing_running(settings: Settings) -> None:
    broken = settings.model_copy(update={"worker_module": "no_such_worker"})
    with pytest.raises(MpgError, match="no_such_worker") as caught:
        await stack.start_detached(broken)
    assert "worker.log" in str(caught.value)
    assert (await stack.status(settings)).parts == ()


async def test_a_half_made_state_directory_is_made_whole(settings: Settings) -> None:
    (settings.home / "run").mkdir(parents=True)
    (settings.home / "run" / "stack.json").write_text('{"state": "st')
    temporal_db(settings).touch()
    assert (await stack.start_detached(settings)).status.state is StackState.UP


async def test_a_server_killed_while_it_makes_its_tables_does_not_spoil_the_next_start(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    with sqlite3.connect(temporal_db(settings)) as connection:
        connection.execute("CREATE TABLE executions (id INTEGER)")  # its first table, its columns cut short
    connection.close()
    assert (await stack.start_detached(settings)).status.state is StackState.UP
    assert list(settings.home.glob("temporal.db.unfinished-*"))


async def test_a_file_that_is_not_a_database_is_left_alone_and_named(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    temporal_db(settings).write_bytes(b"not a database " * 1000)
    with pytest.raises(MpgError, match=r"temporal\.db"):
        await stack.start_detached(settings)
    assert temporal_db(settings).read_bytes().startswith(b"not a database")


async def test_a_stack_in_the_foreground_ends_with_its_signal(settings: Settings) -> None:
    async with asyncio.timeout(60):
        await stack.run_foreground(settings, on_ready=lambda _: os.kill(os.getpid(), signal.SIGTERM))
    assert (await stack.status(settings)).state is StackState.DOWN
