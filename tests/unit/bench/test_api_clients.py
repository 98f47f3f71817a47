"""The bench's clients of the API: what waits count from, what is an event's arrival, what is not sent in time."""

import json
import threading
import time
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.api_load import Call, Orders, Stream, send
from bench.api_streams import Log

NOW = 1_000_000_000.0


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))  # type: ignore[attr-defined]
        content = b"{}"
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Generator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as made:
        made.asked = []  # type: ignore[attr-defined]
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def test_load_is_sent_in_turn_with_the_token_and_every_answer_is_told(server: ThreadingHTTPServer) -> None:
    calls = (Call(name="read of one", path="/one"), Call(name="read of none", path="/none"))
    orders = Orders(port=server.server_port, token="t", streams=(Stream(calls=calls, per_second=200),))
    over = threading.Event()
    threading.Timer(0.5, over.set).start()
    found = send(orders, over)
    assert {each.name: each.status for each in found.answers} == {"read of one": 200, "read of none": 404}
    assert all(each.waited_ms > 0 for each in found.answers)
    assert {authorization for _, authorization in server.asked} == {"Bearer t"}  # type: ignore[attr-defined]


def test_load_that_nobody_answers_is_told_as_such() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as closed:
        port = closed.server_port
    orders = Orders(port=port, token="t", streams=(Stream(calls=(Call(name="x", path="/"),), per_second=100),))
    over = threading.Event()
    threading.Timer(0.3, over.set).start()
    found = send(orders, over)
    assert {each.status for each in found.answers} == {0}
    assert found.answers[0].said


def event(number: int, kind: str, **operation: str) -> bytes:
    data = json.dumps({"kind": kind, "operation": operation or None})
    return f"a4\r\nid: e-{number}\nevent: {kind}\ndata: {data}".encode()


def test_event_counts_from_its_facts_own_time_to_its_arrival_on_the_last_stream() -> None:
    log = Log()
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW))
    for stream in range(3):
        log.note(event(1, "operation.begun", started_at=at), NOW + 0.1 + stream)
        log.note(event(2, "operation.ended", started_at="2020-01-01T00:00:00Z", finished_at=at), NOW + 0.2)
        log.note(event(3, "cluster.status"), NOW)
        log.note(b"\r\n2\r\n:", NOW)
    begun, ended = log.heard.values()
    assert (begun.fact, begun.first, begun.last, begun.streams) == (NOW, NOW + 0.1, NOW + 2.1, 3)
    assert (ended.fact, ended.last) == (NOW, NOW + 0.2)
