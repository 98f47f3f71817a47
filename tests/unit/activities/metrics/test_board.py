"""What is shown of clusters, and until when."""

import pytest
from prometheus_client import generate_latest
from prometheus_client.registry import CollectorRegistry

from activities.metrics.board import MetricsBoard
from activities.metrics.series import NODE_UP, ROWS, Reading

READINGS = [
    Reading(NODE_UP, {"node": "a", "role": "primary"}, 1),
    Reading(ROWS, {"node": "a", "role": "primary", "database": 'we"ird', "operation": "inserted"}, 7),
]


def shown(board: MetricsBoard) -> list[str]:
    registry = CollectorRegistry()
    registry.register(board)
    return generate_latest(registry).decode().splitlines()


def test_readings_are_shown_with_the_cluster_and_in_one_family_for_all_clusters() -> None:
    board = MetricsBoard()
    for cluster in ("one", "two"):
        board.begin(cluster)
        board.show(cluster, "personal", READINGS, seconds=60)
    lines = shown(board)
    assert 'mpg_node_up{cluster="one",node="a",org="personal",role="primary"} 1.0' in lines
    assert lines.count("# TYPE mpg_node_up gauge") == 1
    assert lines.count("# TYPE mpg_database_rows_total counter") == 1
    assert sum(line.startswith("mpg_database_rows_total{") and r"we\"ird" in line for line in lines) == 2
    assert "mpg_worker_clusters 2.0" in lines


def test_cluster_that_ends_has_no_series_any_more() -> None:
    board = MetricsBoard()
    board.begin("one")
    board.show("one", "personal", READINGS, seconds=60)
    board.end("one")
    assert [line for line in shown(board) if not line.startswith("#")] == ["mpg_worker_clusters 0.0"]


def test_readings_that_none_follow_are_not_shown_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("activities.metrics.board.time.monotonic", lambda: now)
    board = MetricsBoard()
    board.begin("one")
    board.show("one", "personal", READINGS, seconds=30)
    now = 129.0
    assert any("mpg_node_up{" in line for line in shown(board))
    now = 131.0
    assert not any("mpg_node_up" in line for line in shown(board))
