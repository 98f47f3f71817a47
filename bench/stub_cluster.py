"""Clusters that exist as a record only, for measuring the orchestrator without containers."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from model import search_attributes
from model.addresses import endpoint_address, node_address
from model.cluster import (
    Address,
    ClusterPhase,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    Endpoint,
    Network,
    Node,
    NodePhase,
    NodeRole,
    PoolMode,
)
from model.names import (
    DEFAULT_HOST,
    DEFAULT_ORG,
    MAIN_QUEUE,
    NODES,
    cluster_workflow_id,
    endpoint_container,
    network,
    node_container,
)
from model.plans import DEFAULT_PLANS
from model.poolers import plan_generation
from starter.client.submission import new_cluster_id
from workflows.cluster.cluster import ClusterStart

_PLAN = DEFAULT_PLANS["basic"]
_NETWORK = Network(name="stub", subnet="10.216.0.0/28", gateway="10.216.0.1")
_AT_ONCE = 50


def stub_node(name: str, role: NodeRole, cluster_id: str = "") -> Node:
    """Return a node as a healthy cluster has it."""
    return Node(
        name=name,
        role=role,
        phase=NodePhase.RUNNING,
        container=node_container(cluster_id, name),
        address=node_address(_NETWORK, name),
        plan=_PLAN.name,
        cpus=_PLAN.cpus,
        memory_mb=_PLAN.memory_mb,
        timeline=1,
        lag_bytes=0,
        in_sync=role is NodeRole.REPLICA,
    )


def stub_state(cluster_id: str) -> ClusterState:
    """Return the record of a cluster that is ready."""
    at = Address(host="127.0.0.1", port=1)
    endpoint = Endpoint(
        container=endpoint_container(cluster_id),
        address=endpoint_address(_NETWORK),
        pooled=at,
        direct=at,
        read_only=at,
    )
    first, second = NODES
    status = ClusterStatus(
        phase=ClusterPhase.READY,
        network=_NETWORK.model_copy(update={"name": network(cluster_id)}),
        endpoint=endpoint,
        nodes=(
            stub_node(first, NodeRole.PRIMARY, cluster_id),
            stub_node(second, NodeRole.REPLICA, cluster_id),
        ),
        poolers=plan_generation(cluster_id, 1, PoolMode.TRANSACTION, ()),
    )
    spec = ClusterSpec(
        id=cluster_id,
        name=f"stub-{cluster_id}",
        org=DEFAULT_ORG,
        region="local",
        host=DEFAULT_HOST,
        plan=_PLAN,
        created_at=datetime.now(UTC),
    )
    return ClusterState(spec=spec, status=status)


async def start_clusters(client: Client, count: int) -> Sequence[str]:
    """Start *count* clusters' workflows and return their ids."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one() -> str:
        state = stub_state(new_cluster_id())
        async with gate:
            await client.start_workflow(
                "Cluster",
                ClusterStart(state=state),
                id=cluster_workflow_id(state.spec.id),
                task_queue=MAIN_QUEUE,
                search_attributes=_shown(state.spec),
            )
        return state.spec.id

    return await asyncio.gather(*(one() for _ in range(count)))


def _shown(spec: ClusterSpec) -> TypedSearchAttributes:
    pairs = {
        search_attributes.CLUSTER_ID: spec.id,
        search_attributes.CLUSTER: spec.name,
        search_attributes.ORG: spec.org,
        search_attributes.HOST: spec.host,
    }
    return TypedSearchAttributes([SearchAttributePair(key, value) for key, value in pairs.items()])
