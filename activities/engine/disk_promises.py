"""What the clusters of a host were promised of its disk, and use of it.

The watches of this worker look at that each minute and note it here, so that only the others are asked about: a query
to each of a thousand workflows would take seconds.
"""

import asyncio
from datetime import timedelta

import structlog
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from model import search_attributes
from model.cluster import ClusterView
from model.disk import Promise
from model.names import cluster_workflow_id

log = structlog.get_logger()

AT_ONCE = 16
ANSWER_BOUND = timedelta(seconds=5)


class DiskPromises:
    """The promises to all clusters of one host, whichever organization has them."""

    def __init__(self, client: Client, host: str) -> None:
        """Ask through *client* for what nobody noted."""
        self._client = client
        self._query = (
            f"WorkflowType = 'Cluster' AND ExecutionStatus = 'Running' AND {search_attributes.HOST.name} = '{host}'"
        )
        self._noted: dict[str, Promise] = {}

    def note(self, promise: Promise) -> None:
        """Note what a cluster was promised and uses. It is never promised less: who says so has not heard of more."""
        former = self._noted.get(promise.cluster_id)
        most = max(promise.promised_bytes, former.promised_bytes if former else 0)
        self._noted[promise.cluster_id] = promise.model_copy(update={"promised_bytes": most})

    async def all(self) -> list[Promise]:
        """Return the promises to all living clusters. One whose workflow cannot answer is left out, and logged."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(cluster_id: str) -> Promise | None:
            async with gate:
                return self._noted.get(cluster_id) or await self._ask(cluster_id)

        workflows = self._client.list_workflows(self._query, page_size=1000)
        living = [found.id.removeprefix(cluster_workflow_id("")) async for found in workflows]
        self._noted = {cluster_id: self._noted[cluster_id] for cluster_id in living if cluster_id in self._noted}
        return [found for found in await asyncio.gather(*(one(cluster_id) for cluster_id in living)) if found]

    async def _ask(self, cluster_id: str) -> Promise | None:
        cluster = self._client.get_workflow_handle(cluster_workflow_id(cluster_id))
        try:
            view = await cluster.query("view", result_type=ClusterView, rpc_timeout=ANSWER_BOUND)
        except (RPCError, WorkflowQueryFailedError) as error:
            log.warning("a cluster does not say what it was promised", cluster=cluster_id, error=str(error))
            return None
        return Promise.of(view.state)
