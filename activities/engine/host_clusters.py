"""The clusters on record of a host, whichever organization has them."""

import asyncio
from datetime import timedelta

import structlog
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from model import search_attributes
from model.cluster import ClusterState, ClusterView

log = structlog.get_logger()

AT_ONCE = 16
ANSWER_BOUND = timedelta(seconds=5)


class HostClusters:
    """Asks the workflows of all clusters of a host."""

    def __init__(self, client: Client, host: str) -> None:
        """Ask through *client*."""
        self._client = client
        self._query = (
            f"WorkflowType = 'Cluster' AND ExecutionStatus = 'Running' AND {search_attributes.HOST.name} = '{host}'"
        )

    async def states(self) -> list[ClusterState]:
        """Return their states. One whose workflow cannot answer is left out, which is logged."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(workflow_id: str) -> ClusterState | None:
            handle = self._client.get_workflow_handle(workflow_id)
            async with gate:
                try:
                    view = await handle.query("view", result_type=ClusterView, rpc_timeout=ANSWER_BOUND)
                except (RPCError, WorkflowQueryFailedError) as error:
                    log.warning("a cluster does not say what it was promised", workflow=workflow_id, error=str(error))
                    return None
            return view.state

        found = [each.id async for each in self._client.list_workflows(self._query, page_size=1000)]
        states = await asyncio.gather(*(one(workflow_id) for workflow_id in found))
        return [state for state in states if state is not None]
