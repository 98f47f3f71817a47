"""Charts where Prometheus does not answer as it should, by a server that answers what it is told."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from model.operations import OperationOutcome
from model.settings import load_settings
from starter.client import prometheus
from starter.client.charting import draw, latest
from starter.client.metric_charts import CHARTS, scope, window
from starter.client.metric_shapes import ChartShape, MetricsRange
from starter.client.metrics import marks
from starter.client.shapes import OperationShape

CLUSTER = "q3v8k2m1x7c9b4n6"
NOW = 1_800_000_000
Answer = Callable[[str], tuple[int, str]]


@contextmanager
def server(answer: Answer) -> Generator[str]:
    """Answer each query so; lend the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            status, text = answer(sent["query"][0])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()
        thread.join()


def matrix(*values: tuple[float, str]) -> str:
    return json.dumps({"status": "success", "data": {"result": [{"metric": {"role": "primary"}, "values": values}]}})


async def drawn(home: Path, **settings: object) -> tuple[ChartShape, ...]:
    reach = MetricsRange.HOUR
    gate = asyncio.Semaphore(4)
    return await draw(load_settings(home=home, **settings), gate, scope(CLUSTER, reach, None), window(reach, NOW))


async def test_points_that_are_left_out_or_no_number_are_gaps(tmp_path: Path) -> None:
    since = NOW - 3600
    text = matrix((since, "1"), (since + 40, "NaN"), (since + 60, "+Inf"), (since + 80, "2.5"))
    with server(lambda query: (200, text)) as url:
        memory = (await drawn(tmp_path, prometheus_url=url))[1]
    assert memory.series[0].values[:5] == (1.0, None, None, None, 2.5)
    assert set(memory.series[0].values[5:]) == {None}


async def test_one_chart_that_fails_hides_no_other(tmp_path: Path) -> None:
    def answer(query: str) -> tuple[int, str]:
        return (
            (422, "query processing would load too many samples") if "_memory_" in query else (200, matrix((NOW, "1")))
        )

    with server(answer) as url:
        found = {chart.id: chart for chart in await drawn(tmp_path, prometheus_url=url)}
    assert found["memory"].missing == "Prometheus refuses to answer (422)."
    assert [id for id, chart in found.items() if chart.missing] == ["memory"]
    assert found["cpu"].series


@pytest.mark.parametrize(
    ("status", "text", "sentence"),
    [
        (503, "starting", "Prometheus refuses to answer (503)."),
        (302, "", "What answers where Prometheus should be is none."),
        (200, "<html>", "What answers where Prometheus should be is none."),
        (200, matrix((NOW, "many")), "What answers where Prometheus should be is none."),
        (200, '{"data": []}', "What answers where Prometheus should be is none."),
    ],
)
async def test_what_is_no_answer_is_a_sentence(tmp_path: Path, status: int, text: str, sentence: str) -> None:
    with server(lambda query: (status, text)) as url:
        assert {chart.missing for chart in await drawn(tmp_path, prometheus_url=url)} == {sentence}


async def test_nobody_there_and_none_configured_are_sentences(tmp_path: Path) -> None:
    found = await drawn(tmp_path, prometheus_url="http://127.0.0.1:1")
    assert {chart.missing for chart in found} == {"Prometheus does not answer."}
    [none] = {chart.missing for chart in await drawn(tmp_path, prometheus_port=0)}
    assert "MPG_PROMETHEUS_PORT is 0" in (none or "")


async def test_one_that_hangs_is_waited_for_once_and_not_for_each_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "ANSWER_S", 0.3)
    ends = threading.Event()

    def answer(query: str) -> tuple[int, str]:
        ends.wait(60)
        return 200, matrix()

    with server(answer) as url:
        try:
            async with asyncio.timeout(3):
                found = await drawn(tmp_path, prometheus_url=url)
        finally:
            ends.set()
    assert {chart.missing for chart in found} == {"Prometheus does not answer in time."}
    assert len(found) == len(CHARTS)


async def test_no_more_queries_run_at_a_time_than_were_allowed(tmp_path: Path) -> None:
    at_work, most, lock = 0, 0, threading.Lock()
    four = threading.Barrier(4)

    def answer(query: str) -> tuple[int, str]:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        with suppress(threading.BrokenBarrierError):  # of the last ones, which are fewer
            four.wait(0.2)
        with lock:
            at_work -= 1
        return 200, matrix()

    with server(answer) as url:
        await drawn(tmp_path, prometheus_url=url)
    assert most == 4


def operation(name: str, kind: str, start: int, end: int | None) -> OperationShape:
    return OperationShape(
        id=name,
        type=kind,
        cluster_id=CLUSTER,
        status=OperationOutcome.RUNNING if end is None else OperationOutcome.DONE,
        started_at=datetime.fromtimestamp(start, UTC),
        finished_at=None if end is None else datetime.fromtimestamp(end, UTC),
    )


def test_marks_are_operations_that_reach_into_the_range() -> None:
    found = marks(
        [
            operation("d", "Failover", 300, 301),
            operation("c", "Backup", 250, None),
            operation("b", "ChangePlan", 90, 110),
            operation("a", "Restart", 80, 99),
        ],
        100,
    )
    assert [(each.id, each.failover, each.start, each.end) for each in found] == [
        ("d", True, 300, 301), ("c", False, 250, None), ("b", False, 90, 110),
    ]  # fmt: skip


async def test_latest_value_is_nothing_where_prometheus_is_not_there_or_answers_no_number(tmp_path: Path) -> None:
    gate = asyncio.Semaphore(1)
    assert await latest(load_settings(home=tmp_path, prometheus_port=0), gate, "x", "role") == {}
    with server(lambda query: (503, "")) as url:
        assert await latest(load_settings(home=tmp_path, prometheus_url=url), gate, "x", "role") == {}
    # Whatever second it is asked for.
    with server(lambda query: (200, matrix((int(time.time()), "3")))) as url:
        assert await latest(load_settings(home=tmp_path, prometheus_url=url), gate, "x", "role") in ({"primary": 3}, {})
