"""What tests do with Temporal: start a cluster's workflow, run operations on it, read what happened."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from model import search_attributes
from model.cluster import ClusterState, ClusterView
from model.names import MAIN_QUEUE, cluster_workflow_id
from model.operations import OperationFailure, OperationRequest, OperationResult, Progress, workflow_id
from tests.workflows.stubs import Stubs
from workflows.cluster.cluster import Cluster, ClusterStart

PATIENCE_S = 20.0
TASK_TIMEOUT = timedelta(seconds=1)
"""A cancellation reaches a workflow whose local activity runs within 0.8 of this; the default is ten seconds."""

Handle = WorkflowHandle[Any, OperationResult]


async def until(condition: Callable[[], Awaitable[bool]], *, patience_s: float = PATIENCE_S) -> None:
    """Return once *condition* holds; fail when it does not in time."""
    async with asyncio.timeout(patience_s):
        while not await condition():
            await asyncio.sleep(0.01)


class Bench:
    """Clusters and operations of one test."""

    def __init__(self, client: Client, stubs: Stubs) -> None:
        """Begin with nothing."""
        self.client = client
        self.stubs = stubs
        self._started: list[WorkflowHandle[Any, Any]] = []

    async def cluster(self, state: ClusterState) -> WorkflowHandle[Any, ClusterState]:
        """Start the workflow of a cluster that stands like *state*."""
        handle = await self.client.start_workflow(
            Cluster.run,
            ClusterStart(state=state),
            id=cluster_workflow_id(state.spec.id),
            task_queue=MAIN_QUEUE,
            search_attributes=TypedSearchAttributes([SearchAttributePair(search_attributes.CLUSTER_ID, state.spec.id)]),
        )
        self._started.append(self.client.get_workflow_handle(handle.id))
        return handle

    async def start(self, request: OperationRequest, name: str = "orders", request_id: str | None = None) -> Handle:
        """Start an operation."""
        handle: Handle = await self.client.start_workflow(
            request.operation,
            request,
            id=workflow_id(request, name, request_id or secrets.token_hex(4)),
            task_queue=MAIN_QUEUE,
            task_timeout=TASK_TIMEOUT,
            result_type=OperationResult,
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(search_attributes.CLUSTER_ID, request.cluster_id)]
            ),
        )
        self._started.append(handle)
        self._started.append(self.client.get_workflow_handle(cluster_workflow_id(request.cluster_id)))
        return handle

    async def run(self, request: OperationRequest) -> OperationResult:
        """Run an operation to its end."""
        return await (await self.start(request)).result()

    async def view(self, cluster_id: str) -> ClusterView:
        """How the cluster stands."""
        handle = self.client.get_workflow_handle(cluster_workflow_id(cluster_id))
        return await handle.query("view", result_type=ClusterView)

    async def free(self, cluster_id: str) -> ClusterView:
        """Wait until nobody holds the cluster's turn; return how it stands then."""

        async def is_free() -> bool:
            return (await self.view(cluster_id)).operation is None

        await until(is_free)
        return await self.view(cluster_id)

    async def progress(self, handle: Handle) -> Progress:
        """What the operation says of itself."""
        found = await handle.query("progress", result_type=Progress)
        assert found is not None
        return found

    async def clear(self) -> None:
        """Terminate what still runs."""
        for handle in self._started:
            try:
                await handle.terminate("the test is over")
            except RPCError:
                continue


async def failure(handle: Handle) -> tuple[ApplicationError, OperationFailure]:
    """Wait for the operation to fail; return its error and the detail that it carries."""
    try:
        result = await handle.result()
    except WorkflowFailureError as error:
        cause = error.cause
        assert isinstance(cause, ApplicationError), cause
        return cause, OperationFailure.model_validate(cause.details[0])
    raise AssertionError(f"it was expected to fail, but: {result.message}")
