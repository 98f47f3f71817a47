"""The metrics over HTTP, and the file that says where."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
from prometheus_client import Gauge
from prometheus_client.registry import CollectorRegistry

from activities.metrics.exporter import announced, exported

_ANNOUNCE = """
import os, signal, sys
from pathlib import Path
from activities.metrics.exporter import announced
with announced(Path(sys.argv[1]), 1):
    print("there", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def targets(directory: Path) -> list[str]:
    return [
        target
        for file in directory.glob("*.json")
        for [group] in [json.loads(file.read_text())]
        for target in group["targets"]
    ]


def test_metrics_are_shown_where_the_file_says_until_the_end(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    Gauge("answer", "Of all.", registry=registry).set(42)
    with exported(registry, port=0, targets_dir=tmp_path) as port:
        assert targets(tmp_path) == [f"127.0.0.1:{port}"]
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
        assert "answer 42.0" in answer.text.splitlines()
        assert answer.headers["content-type"].startswith("text/plain; version=")
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
    assert targets(tmp_path) == []


def test_two_that_want_one_port_are_both_shown_with_what_the_other_adds(tmp_path: Path) -> None:
    inner, outer = CollectorRegistry(), CollectorRegistry()
    Gauge("inner", "One.", registry=inner)
    Gauge("outer", "Two.", registry=outer)
    with (
        exported(inner, port=0, targets_dir=tmp_path / "inner") as first,
        exported(outer, port=first, targets_dir=tmp_path / "outer", sdk_port=first) as second,
    ):
        assert second != first
        lines = httpx.get(f"http://127.0.0.1:{second}/metrics").text.splitlines()
        assert {"inner 0.0", "outer 0.0"} <= set(lines)


def test_file_of_a_process_that_died_is_removed_and_that_of_a_living_one_kept(tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", _ANNOUNCE, str(tmp_path)], capture_output=True, text=True)
    assert died.stdout == "there\n", died.stderr
    assert targets(tmp_path) == ["127.0.0.1:1"]
    with announced(tmp_path, 2) as mine:
        assert targets(tmp_path) == ["127.0.0.1:2"]
        kept = tmp_path / "worker-other.json"
        mine.rename(kept)
        with announced(tmp_path, 3):
            assert sorted(targets(tmp_path)) == ["127.0.0.1:2", "127.0.0.1:3"]
