"""Streams of events over HTTP, from a real stack with a cluster that is made, changed and loses a node."""

import json
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from api_service import Api, api, eventually, ready, token
from cli_program import Mpg

from model.settings import Settings
from starter.stack.parts import API
from starter.stack.process import ProcessId
from starter.stack.state import read_status

pytest_plugins = ("stack_fixtures",)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

NAME = "watched"
EVENTS = "/api/v1/organizations/personal/events"
STREAMS = 500
STREAMS_MB = 200
"""As much as all of those may take."""


@pytest.fixture(scope="module")
def rest(program: Mpg) -> Api:
    return api(program, token(program))


class Listener:
    """Reads one stream in a thread of its own."""

    def __init__(self, service: Api, path: str, **headers: str) -> None:
        self.events: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self.over = threading.Event()
        self._begun = threading.Event()
        self._service, self._path, self._headers = service, path, headers
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._begun.wait(30)

    def _read(self) -> None:
        named = {name.replace("_", "-"): value for name, value in self._headers.items()}
        timeout = httpx.Timeout(30, read=None)
        with self._service.http.stream("GET", self._path, headers=named, timeout=timeout) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            for event in _parsed(self._noted(answer.iter_lines())):
                self.events.append(event)
        self.over.set()

    def _noted(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self.lines.append(line)
            self._begun.set()
            yield line

    def told(self, **wanted: object) -> dict[str, Any]:
        """Return the first event with these fields, which is waited for; ``a__b`` is field b of a."""
        return eventually(lambda: next((each for each in self.events if _fits(each, wanted)), None))


def _parsed(lines: Iterator[str]) -> Generator[dict[str, Any]]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            event = json.loads(fields["data"])
            assert event["kind"] == fields["event"]
            yield event | {"id": fields["id"]}
            fields = {}


def _fits(event: dict[str, Any], wanted: dict[str, object]) -> bool:
    for path, value in wanted.items():
        found: Any = event
        for part in path.split("__"):
            found = (found or {}).get(part)
        if found != value:
            return False
    return True


def test_a_stream_tells_of_all_that_its_token_may_see_and_goes_on_where_it_was(
    program: Mpg, rest: Api, engine: docker.DockerClient
) -> None:
    everything = Listener(rest, EVENTS)
    made = rest("POST", "/api/v1/organizations/personal/postgresv2", {"name": NAME, "region": "local"}, status=201)[
        "data"
    ]["id"]
    at = f"/api/v1/postgresv2/{made}"
    everything.told(kind="operation.begun", operation__type="CreateCluster", cluster_id=made)
    everything.told(kind="cluster.status", status="initializing", cluster_id=made)
    ready(rest, made)
    everything.told(kind="cluster.status", status="ready", cluster=NAME)
    created = everything.told(kind="operation.ended", operation__type="CreateCluster", operation__status="done")
    assert created["operation"]["steps"]
    assert created["organization"] == "personal"

    own = Listener(api(program, token(program, "--cluster", NAME)), EVENTS)
    of_cluster = Listener(rest, f"{at}/events")
    stranger = Listener(api(program, token(program, "--cluster", NAME, "--read-only")), EVENTS)
    rest.refused("GET", "/api/v1/postgresv2/none/events", status=404)
    other = api(program, token(program, "--org", "elsewhere"))
    other.refused("GET", EVENTS, status=404)
    other.refused("GET", f"{at}/events", status=404)

    changed = rest("PATCH", at, {"pool_mode": "session"}, status=202)["data"]["id"]
    for listener in (everything, own, of_cluster, stranger):
        begun = listener.told(kind="operation.begun", operation__id=changed)
        step = listener.told(kind="operation.step", operation__id=changed)
        ended = listener.told(kind="operation.ended", operation__id=changed)
        assert ended["operation"]["steps"][-1]["status"] == "done"
        assert [each["id"] for each in (begun, step, ended)] == sorted(
            (each["id"] for each in (begun, step, ended)), key=lambda id: int(id.split("-")[1])
        )
    again = Listener(rest, EVENTS, Last_Event_ID=begun["id"])
    again.told(kind="operation.ended", operation__id=changed)
    assert begun["id"] not in [each["id"] for each in again.events]
    lost = Listener(rest, f"{EVENTS}?last_event_id=00000000-7")
    lost.told(kind="reset")

    # The node is not watched to be back in this moment: an end and a beginning of a condition, whichever are first.
    replica = next(node for node in rest("GET", f"{at}/nodes")["data"] if node["role"] == "replica")
    engine.containers.get(replica["container"]).kill()
    repair = everything.told(kind="operation.begun", operation__type="Repair", cluster_id=made)
    everything.told(kind="operation.ended", operation__id=repair["operation"]["id"])


def test_conditions_are_told_when_they_hold_and_when_they_do_not_any_more(
    program: Mpg, rest: Api, engine: docker.DockerClient
) -> None:
    [cluster] = rest("GET", "/api/v1/organizations/personal/postgres")["data"]
    listener = Listener(rest, EVENTS)
    replica = next(
        node for node in rest("GET", f"/api/v1/postgresv2/{cluster['id']}/nodes")["data"] if node["role"] == "replica"
    )
    container = engine.containers.get(replica["container"])
    container.pause()
    try:
        raised = listener.told(kind="condition.raised", condition__type="Degraded", cluster_id=cluster["id"])
        assert raised["condition"]["message"]
    finally:
        container.reload()
        if container.status == "paused":
            container.unpause()
    listener.told(kind="condition.lifted", condition__type="Degraded", cluster_id=cluster["id"])


def test_a_stream_ends_with_its_token(program: Mpg) -> None:
    made = program.done("auth", "token", "--json").json
    listener = Listener(api(program, made["token"]), EVENTS)
    program.done("auth", "revoke", made["id"])
    # At the next heartbeat, if nothing happens before.
    assert listener.over.wait(30)


def process_of_api(stack: Settings) -> ProcessId:
    status = read_status(stack)
    assert status is not None
    [process] = [each.process for each in status.parts if each.name == API]
    assert process is not None
    return process


def memory(process: ProcessId) -> int:
    """Return the resident memory of a process in bytes."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    [resident] = [int(line.split()[1]) for line in lines if line.startswith("VmRSS:")]
    return resident * 1024


@contextmanager
def open_streams(service: Api, count: int) -> Generator[list[httpx.Response]]:
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(
        base_url=service.http.base_url, headers=service.http.headers, limits=limits, timeout=60
    ) as client:
        answers = [client.send(client.build_request("GET", EVENTS), stream=True) for _ in range(count)]
        yield answers
        for answer in answers:
            answer.close()


def test_many_streams_take_little_and_end_at_once_with_the_server(program: Mpg, rest: Api, stack: Settings) -> None:
    process = process_of_api(stack)
    before = memory(process)
    with open_streams(rest, STREAMS) as answers:
        assert {answer.status_code for answer in answers} == {200}
        assert memory(process) - before < STREAMS_MB * 2**20
        process.send(signal.SIGTERM)
        # Streams end by themselves, each with a whole last line.
        eventually(lambda: not process.is_alive(), seconds=10)
        for answer in answers[:20]:
            assert answer.read().endswith(b"\n\n")
    eventually(lambda: _answers(rest))


def _answers(rest: Api) -> bool:
    try:
        return rest.http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
