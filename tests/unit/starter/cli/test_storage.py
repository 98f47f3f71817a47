"""What `mpg storage` shows to people."""

from datetime import UTC, datetime, timedelta

import pytest

from model.cluster import ClusterState, ClusterView
from model.facts import AutoGrowIs, apply
from model.storage import GB, AutoGrow, DatabaseUsage, NodeUsage, StorageLook
from model.storage_facts import facts_after
from starter.cli.storage import show
from starter.client.storage_shapes import storage_shape
from tests.workflows.samples import ready_cluster

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def looked(state: ClusterState, *used_gb: float) -> ClusterState:
    for hour, used in enumerate(used_gb):
        at = NOW + timedelta(hours=hour)
        nodes = (NodeUsage(name="a", data_bytes=int(used * GB), wal_bytes=5 * 2**20, temp_bytes=0),)
        databases = (DatabaseUsage(name="small", bytes=8192), DatabaseUsage(name="large", bytes=GB))
        state = apply(state, facts_after(state, StorageLook(at=at, nodes=nodes, databases=databases), at))
    return state


def shown(state: ClusterState, capsys: pytest.CaptureFixture[str]) -> str:
    show(storage_shape(ClusterView(state=state)))
    return capsys.readouterr().out


def test_nothing_seen_yet_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(ready_cluster(), capsys)
    assert "10.0 GB per node" in text
    assert "used       –" in text


def test_nodes_and_databases_are_listed_with_the_largest_first(capsys: pytest.CaptureFixture[str]) -> None:
    state = apply(ready_cluster(), [AutoGrowIs(auto_grow=AutoGrow(step_gb=5, max_gb=50))])
    text = shown(looked(state, 4.0, 4.5, 5.0), capsys)
    for said in (
        "5.0 GB (50 %)",
        "5.0 MB",
        "go on",
        "12.0 GB a day, full on 2026-01-01",
        "5 GB at a time, up to 50 GB",
    ):
        assert said in text
    assert text.index("large") < text.index("small")


def test_full_cluster_says_that_writes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(looked(ready_cluster(), 9.6, 9.6, 9.6), capsys)
    assert "refused until there is room" in text
    assert "it is not growing" in text
