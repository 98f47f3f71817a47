"""Webhooks of a real stack, with receivers that listen on this machine. What clusters are made of is stubs."""

import base64
import hmac
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from api_service import Api, api, eventually, ready, token
from cli_program import Mpg, running_stack

from model.effects import Alarm, AlarmKind
from model.settings import Settings, load_settings
from starter.prerequisites.go_programs import find_go
from starter.stack.state import read_status
from tests.free_ports import free_port
from tests.integration.webhook_worker import ALARM_FILE

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[4]
WEBHOOKS = "/api/v1/organizations/personal/webhooks"
PAGE = ROOT / "docs" / "webhooks.md"
GO_PROGRAM = """package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

FUNCTION

func main() {
	body, _ := io.ReadAll(os.Stdin)
	header := http.Header{}
	header.Set("webhook-id", os.Args[2])
	header.Set("webhook-timestamp", os.Args[3])
	header.Set("webhook-signature", os.Args[4])
	if err := Verify(os.Args[1], header, body); err != nil {
		os.Exit(1)
	}
}
"""


class Receiver:
    """An HTTP server that keeps what it got and answers ``status``; while ``held`` is not set it does not answer."""

    def __init__(self, port: int = 0) -> None:
        self.status = 204
        self.location: str | None = None
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.held = threading.Event()
        self.held.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
                receiver.held.wait(30)
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("location", receiver.location)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hooks"

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What it got, by number."""
        return sorted((json.loads(body) for _, body in self.requests), key=lambda each: each["sequence"])

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]

    def close(self) -> None:
        self.held.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiving(port: int = 0) -> Generator[Receiver]:
    receiver = Receiver(port)
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def program() -> Generator[Mpg]:
    with running_stack(
        PYTHONPATH=str(ROOT),
        MPG_WORKER_MODULE="tests.integration.webhook_worker",
        MPG_WEBHOOK_PRIVATE_NETWORKS="127.0.0.0/8",
        MPG_WEBHOOK_PLAIN_HTTP="true",
    ) as made:
        yield made


@pytest.fixture(scope="module")
def settings(program: Mpg) -> Settings:
    with patch.dict("os.environ", program.environment):
        return load_settings()


@pytest.fixture(scope="module")
def rest(program: Mpg) -> Api:
    return api(program, token(program))


def raise_alarm(settings: Settings, alarm: Alarm) -> None:
    """Have the cluster's watch tell of *alarm*, and wait until it did."""
    file = settings.home / ALARM_FILE
    written = Path(f"{file}.new")
    written.write_text(alarm.model_dump_json())
    written.rename(file)
    eventually(lambda: not file.exists())


def verify(secret: str, headers: dict[str, str], body: bytes) -> None:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    age = datetime.now(UTC).timestamp() - int(headers["webhook-timestamp"])
    assert 0 <= age < 300


def made(rest: Api, receiver: Receiver, **fields: object) -> tuple[str, str]:
    """Make a webhook; return its id and its secret."""
    found = rest("POST", WEBHOOKS, {"url": receiver.url} | fields, status=201)["data"]
    return found["webhook"]["id"], found["secret"]


def only(rest: Api, webhook: str) -> dict[str, Any]:
    """Return the only delivery to a webhook, once it was tried."""
    return eventually(
        lambda: next((e for e in rest("GET", f"{WEBHOOKS}/{webhook}/deliveries")["data"] if e["tries"]), None)
    )


def test_each_kind_of_event_arrives_once_signed_and_numbered(rest: Api, settings: Settings) -> None:
    with receiving() as receiver, receiving() as picky:
        webhook, secret = made(rest, receiver)
        made(rest, picky, events=["failover"])
        wanted = {"name": "told", "region": "local"}
        cluster = rest("POST", "/api/v1/organizations/personal/postgresv2", wanted, status=201)["data"]["id"]
        ready(rest, cluster)
        eventually(lambda: receiver.messages)  # an end is found a little later, and numbered then
        raise_alarm(settings, Alarm(kind=AlarmKind.MASTER_KEY, name="master key", how="Another key."))
        eventually(lambda: len(receiver.messages) >= 2)
        raise_alarm(settings, Alarm(kind=AlarmKind.MASTER_KEY, name="master key", how=""))
        eventually(lambda: len(receiver.messages) >= 3)
        raise_alarm(settings, Alarm(kind=AlarmKind.NODE, name="a", how="its process ended"))
        eventually(lambda: len(receiver.messages) >= 5)
        rest("DELETE", f"/api/v1/organizations/personal/postgresv2/{cluster}", status=202)
        eventually(lambda: any(_is_end(each, "DestroyCluster") for each in receiver.messages))
        for headers, body in receiver.requests:
            verify(secret, headers, body)
        messages = receiver.messages
        assert [each["sequence"] for each in messages] == list(range(1, len(messages) + 1))
        assert len(set(receiver.ids)) == len(messages), "once each"
        assert _is_end(messages[0], "CreateCluster")
        assert [each["type"] for each in messages[1:5]] == [
            "condition.raised",
            "condition.lifted",
            "operation.ended",
            "failover",
        ]
        assert messages[1]["data"]["condition"]["message"] == "Another key."
        assert {each["data"]["cluster"] for each in messages} == {"told"}
        assert [each["type"] for each in picky.messages] == ["failover"]
        assert eventually(lambda: rest("GET", f"{WEBHOOKS}/{webhook}")["data"]["state"] == "ok")
        _clear(rest)


def _is_end(message: dict[str, Any], type: str) -> bool:
    return message["type"] == "operation.ended" and message["data"]["operation"]["type"] == type


def _clear(rest: Api) -> None:
    for each in rest("GET", WEBHOOKS)["data"]:
        rest("DELETE", f"{WEBHOOKS}/{each['id']}")


def test_receiver_that_was_down_gets_it_when_it_is_up_and_again_when_asked(program: Mpg, rest: Api) -> None:
    port = free_port()
    with receiving(port) as receiver:
        webhook, secret = made(rest, receiver, events=["failover"])
    message = rest("POST", f"{WEBHOOKS}/{webhook}/test", status=202)["data"]["id"]
    assert only(rest, webhook)["state"] == "retrying"
    assert rest("GET", f"{WEBHOOKS}/{webhook}")["data"]["state"] == "retrying"
    assert "Connection refused" in only(rest, webhook)["error"]
    with receiving(port) as receiver:
        since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        (again,) = rest("POST", f"{WEBHOOKS}/{webhook}/replay", {"since": since}, status=202)["data"]
        assert again["id"] == message
        eventually(lambda: receiver.requests)
        eventually(lambda: only(rest, webhook)["state"] == "delivered")
        program.done("webhooks", "replay", webhook, message)
        eventually(lambda: len(receiver.requests) == 2)
        (first, body), (second, other) = receiver.requests
        assert first["webhook-id"] == second["webhook-id"] == message
        assert body == other
        verify(secret, second, other)
        rest.refused("POST", f"{WEBHOOKS}/{webhook}/deliveries/evt_none/replay", status=404)
    (shown,) = program.done("webhooks", "deliveries", webhook, "--json").json
    assert (shown["id"], shown["type"]) == (message, "webhook.test")
    _clear(rest)


def test_redirect_is_not_followed(rest: Api) -> None:
    with receiving() as receiver, receiving() as elsewhere:
        receiver.status, receiver.location = 307, elsewhere.url
        webhook, _ = made(rest, receiver, events=["failover"])
        rest("POST", f"{WEBHOOKS}/{webhook}/test", status=202)
        assert (only(rest, webhook)["state"], only(rest, webhook)["status"]) == ("retrying", 307)
        assert elsewhere.requests == []
        _clear(rest)


def test_worker_that_is_killed_halfway_sends_it_again_with_the_same_id(rest: Api, settings: Settings) -> None:
    with receiving() as receiver:
        webhook, _ = made(rest, receiver, events=["failover"])
        receiver.held.clear()
        rest("POST", f"{WEBHOOKS}/{webhook}/test", status=202)
        eventually(lambda: receiver.requests)
        status = read_status(settings)
        assert status is not None
        [worker] = [each.process for each in status.parts if each.name.startswith("worker") and each.process]
        os.kill(worker.pid, signal.SIGKILL)
        receiver.held.set()
        eventually(lambda: len(receiver.requests) >= 2)
        assert len(set(receiver.ids)) == 1
        assert eventually(lambda: only(rest, webhook)["state"] == "delivered")
        _clear(rest)


@pytest.mark.parametrize(
    "url",
    ["https://10.0.0.1/", "https://[fd00::1]/", "https://169.254.169.254/", "https://unknown.invalid/", "ftp://a/"],
)
def test_receiver_that_may_not_be_called_is_refused(rest: Api, url: str) -> None:
    before = rest("GET", WEBHOOKS)
    said = rest.refused("POST", WEBHOOKS, {"url": url}, status=422)
    assert (said == f"{urlsplit(url).hostname} has no address that webhooks may go to.") is url.startswith("https:")
    assert rest("GET", WEBHOOKS) == before


def test_creation_with_a_key_is_recognised(rest: Api) -> None:
    with receiving() as receiver:
        wanted = {"url": receiver.url}
        first, again = (rest("POST", WEBHOOKS, wanted, status=201, Idempotency_Key="key-1") for _ in range(2))
        assert first == again
        rest.refused("POST", WEBHOOKS, wanted | {"events": ["failover"]}, status=422, Idempotency_Key="key-1")
        _clear(rest)


def test_who_may_do_what_and_what_is_on_record(program: Mpg, rest: Api) -> None:
    with receiving() as receiver:
        webhook = program.done("webhooks", "create", receiver.url, "--event", "failover", "--json").json["webhook"][
            "id"
        ]
        reader, stranger = (api(program, token(program, *each)) for each in (("--read-only",), ("--org", "elsewhere")))
        (seen,) = reader("GET", WEBHOOKS)["data"]
        assert seen["events"] == ["failover"]
        assert seen["url"] == receiver.url.removesuffix("/hooks")
        assert reader("GET", f"{WEBHOOKS}/{webhook}")["data"]["url"] == seen["url"]
        assert rest("GET", f"{WEBHOOKS}/{webhook}")["data"]["url"] == receiver.url
        reader.refused("GET", f"{WEBHOOKS}/{webhook}/secret", status=403)
        reader.refused("POST", f"{WEBHOOKS}/{webhook}/test", status=403)
        stranger.refused("GET", WEBHOOKS, status=404)
        shown = rest("GET", f"{WEBHOOKS}/{webhook}/secret")["data"]["secret"]
        assert program.done("webhooks", "secret", webhook).out.strip() == shown
        assert webhook in program.done("webhooks", "list").out
        program.done("webhooks", "delete", webhook, "--yes")
        rest.refused("GET", f"{WEBHOOKS}/{webhook}", status=404)
        lines = rest.http.get("/api/v1/organizations/personal/audit").text.splitlines()
        noted = [entry["action"] for entry in map(json.loads, lines) if entry.get("about") == webhook]
        assert noted == ["CreateWebhook", "ReadWebhookSecret", "ReadWebhookSecret", "DeleteWebhook"]


@pytest.fixture(scope="module")
def go_receiver(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The function in Go of docs/webhooks.md, in a program: secret, id, timestamp and signature, the body on stdin."""
    (function,) = re.findall(r"```go\n(.*?)```", PAGE.read_text(), re.DOTALL)
    go = find_go()
    if go is None:
        pytest.skip("Go is not installed")
    directory = tmp_path_factory.mktemp("receiver")
    (directory / "main.go").write_text(GO_PROGRAM.replace("FUNCTION", function))
    subprocess.run([go, "build", "-o", "receiver", "main.go"], cwd=directory, check=True, timeout=120)
    return [str(directory / "receiver")]


def test_receivers_of_the_page_take_what_is_signed_and_nothing_else(rest: Api, go_receiver: list[str]) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    page: dict[str, Any] = {}
    exec(compile(source, str(PAGE), "exec"), page)
    with receiving() as receiver:
        webhook, secret = made(rest, receiver)
        rest("POST", f"{WEBHOOKS}/{webhook}/test", status=202)
        headers, body = eventually(lambda: receiver.requests and receiver.requests[0])
        _clear(rest)
    later = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 400)}
    other = {**headers, "webhook-id": "evt_other"}
    for given, said, good in (
        (headers, body, True),
        (headers, body + b" ", False),
        (later, body, False),
        (other, body, False),
    ):
        try:
            page["verify"](secret, given, said)
            taken = True
        except ValueError:
            taken = False
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        ended = subprocess.run([*go_receiver, secret, *(given[name] for name in names)], input=said, timeout=10)
        assert (taken, ended.returncode == 0) == (good, good)
