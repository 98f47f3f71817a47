"""Views of clusters as they were last answered, for a client that is asked for them again and again.

A workflow's state follows from its history alone. So a view is good for as long as the workflow is at the place in its
history at which it was answered. Where it is Temporal itself says: that is read from one row, and costs a quarter of a
query, which a worker has to answer. Nobody is given an older state than Temporal had when he asked.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import Client

from model import names
from model.cluster import ClusterView
from model.errors import NotFound
from model.settings import Settings
from starter.client.temporal import CALL_TIMEOUT, translated

MOST = 5000
"""Views that are kept; then that goes which nobody has asked for for longest."""

T = TypeVar("T")


class Place(NamedTuple):
    """How far a workflow's history has come."""

    run_id: str
    transitions: int
    """How often its state in Temporal has changed, each event and each task included."""
    running: bool


class Joined(Generic[T]):
    """Has those who ask for one thing at a time share a call, which begins after each of them asked.

    While a call is under way the next ones wait for the one after it, together: however many ask, there are two.
    """

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Task[T]] = {}
        self._next: dict[str, asyncio.Task[T]] = {}

    async def ask(self, key: str, call: Callable[[], Awaitable[T]]) -> T:
        """Return what *call* answers for *key*, or raise what it raised."""
        before = self._under_way.get(key)
        if before is None:
            task = self._begun(self._under_way, key, self._call(key, call))
        else:
            task = self._next.get(key) or self._begun(self._next, key, self._call_after(before, key, call))
        return await asyncio.shield(task)  # whoever gives up leaves it to the others

    def _begun(self, where: dict[str, asyncio.Task[T]], key: str, work: Awaitable[T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        task.add_done_callback(_heard)
        where[key] = task
        return task

    async def _call(self, key: str, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        finally:
            self._under_way.pop(key, None)
            if (following := self._next.pop(key, None)) is not None:
                self._under_way[key] = following

    async def _call_after(self, before: asyncio.Task[T], key: str, call: Callable[[], Awaitable[T]]) -> T:
        await asyncio.wait([before])
        return await self._call(key, call)


class ViewCache:
    """Answers with clusters' views, each queried only where its workflow has gone on."""

    def __init__(self, client: Client, settings: Settings) -> None:
        """Ask *client*."""
        self._client = client
        self._settings = settings
        self._kept: OrderedDict[str, tuple[Place, ClusterView]] = OrderedDict()
        self._joined: Joined[tuple[Place, ClusterView] | None] = Joined()

    async def view(self, cluster_id: str, *, living: bool = False) -> ClusterView | None:
        """Return what its workflow says, None where there is none; with *living* None unless it runs.

        Raises:
            StackDown: Temporal does not answer, or no worker does and the view is not known.
        """
        found = await self._joined.ask(cluster_id, lambda: self._look(cluster_id))
        if found is None or (living and not found[0].running):
            return None
        return found[1]

    async def _look(self, cluster_id: str) -> tuple[Place, ClusterView] | None:
        place = await self._place(cluster_id)
        if place is None:
            self._kept.pop(cluster_id, None)
            return None
        kept = self._kept.get(cluster_id)
        if kept is None or kept[0] != place:
            # The place was read first: what is answered may be younger than it, and then is asked for again.
            kept = (place, await self._query(cluster_id, place))
            self._kept[cluster_id] = kept
        self._kept.move_to_end(cluster_id)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return kept

    async def _place(self, cluster_id: str) -> Place | None:
        request = DescribeWorkflowExecutionRequest(
            namespace=self._client.namespace,
            execution=WorkflowExecution(workflow_id=names.cluster_workflow_id(cluster_id)),
        )
        try:
            with translated(self._settings):
                answer = await self._client.workflow_service.describe_workflow_execution(request, timeout=CALL_TIMEOUT)
        except NotFound:
            return None
        info = answer.workflow_execution_info
        running = info.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
        return Place(info.execution.run_id, info.state_transition_count, running)

    async def _query(self, cluster_id: str, place: Place) -> ClusterView:
        handle = self._client.get_workflow_handle(names.cluster_workflow_id(cluster_id), run_id=place.run_id)
        with translated(self._settings):
            found = await handle.query("view", result_type=ClusterView, rpc_timeout=CALL_TIMEOUT)
        return ClusterView.model_validate(found)


def _heard(task: asyncio.Task[T]) -> None:
    """Take notice of its error, also where all who asked have given up."""
    if not task.cancelled():
        task.exception()
