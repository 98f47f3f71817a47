"""What `mpg status --json` promises to programs, to the letter."""

import pytest

from model.cluster import ClusterState, ClusterView, NodeRole
from starter.client.shapes import ClusterStatusShape, cluster_status
from tests.workflows.samples import ready_cluster


@pytest.fixture
def state() -> ClusterState:
    return ready_cluster()


def shape(state: ClusterState) -> ClusterStatusShape:
    return cluster_status(ClusterView(state=state))


def in_sync(state: ClusterState) -> dict[str, object]:
    return {node["role"]: node["in_sync"] for node in shape(state).model_dump(mode="json")["nodes"]}


def test_only_a_replica_is_in_sync_or_not(state: ClusterState) -> None:
    assert in_sync(state) == {"primary": None, "replica": True}
    behind = tuple(node.model_copy(update={"in_sync": False}) for node in state.status.nodes)
    state = state.model_copy(update={"status": state.status.model_copy(update={"nodes": behind})})
    assert in_sync(state) == {"primary": None, "replica": False}


def test_a_node_has_the_fields_that_programs_read(state: ClusterState) -> None:
    [primary] = [node for node in shape(state).model_dump(mode="json")["nodes"] if node["role"] == NodeRole.PRIMARY]
    assert set(primary) == {
        "name", "role", "status", "plan", "cpus", "memory_mb", "container", "timeline", "lag_bytes", "in_sync",
    }  # fmt: skip
