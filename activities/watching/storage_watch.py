"""Looking at how much of its storage a cluster uses, and telling its workflow when that is worth an event."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from activities.nodes.storage import ClusterStorage
from activities.postgres.sql import SqlSessions
from model.cluster import ClusterView
from model.effects import WatchInput
from model.names import cluster_workflow_id
from model.storage import GB, LOOK_S, Storage, StorageLook, UsedAt, is_worth_telling, look_again_s

log = structlog.get_logger()

FIRST_LOOK_S = 10.0
"""Within this of a cluster's beginning."""


class StorageWatch:
    """Follows the storage of one cluster. It tells by a signal: the watch that it is part of goes on."""

    def __init__(
        self, sql: SqlSessions, temporal: Client, arg: WatchInput, view: Callable[[], Awaitable[ClusterView | None]]
    ) -> None:
        """Look at the nodes of *arg*; *view* returns the cluster as it stands."""
        self._storage = ClusterStorage(sql, arg.cluster_id, arg.status.nodes)
        self._cluster_id = arg.cluster_id
        self._temporal = temporal
        self._view = view
        self._first = arg.status.storage.look is None
        self._known: tuple[Storage, int] | None = None
        """What is on record, and the bytes provided. Storage never shrinks: told late of more, this tells too much."""
        self._used: deque[UsedAt] = deque(maxlen=2)

    async def run(self) -> NoReturn:
        """Look again and again."""
        # Not all clusters at once when a worker starts.
        await asyncio.sleep(random.uniform(0, FIRST_LOOK_S if self._first else LOOK_S))  # noqa: S311
        while True:
            look = await self._storage.look()
            if look.nodes:
                await self._consider(look)
            provided = self._known[1] if self._known else 0
            await asyncio.sleep(look_again_s(self._used, provided) if self._used and provided else LOOK_S)

    async def _consider(self, look: StorageLook) -> None:
        self._used.append(UsedAt(at=look.at, used_bytes=look.used_bytes))
        if self._known is None:
            await self._learn()
        if self._known is None or not is_worth_telling(self._known[0], look, self._known[1]):
            return
        cluster = self._temporal.get_workflow_handle(cluster_workflow_id(self._cluster_id))
        try:
            await cluster.signal("storage_seen", look)
        except RPCError as error:
            log.warning("could not tell what storage is used", cluster=self._cluster_id, error=error.message)
        else:
            await self._learn()

    async def _learn(self) -> None:
        view = await self._view()
        if view is not None:
            self._known = view.state.status.storage, view.state.spec.storage_gb * GB
