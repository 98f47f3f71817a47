"""Looking at how much of its storage a cluster uses, and telling its workflow when that is worth an event."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from activities.engine.disk_promises import DiskPromises
from activities.nodes.storage import ClusterStorage
from model.cluster import ClusterView
from model.disk import Promise, nodes_bytes
from model.effects import WatchInput
from model.names import cluster_workflow_id
from model.storage import (
    GB,
    LOOK_S,
    Storage,
    StorageLook,
    UsedAt,
    answers_again,
    filled_in,
    is_worth_telling,
    look_again_s,
)

log = structlog.get_logger()

LEARN_EVERY_S = 300.0
"""How often at least it is asked what the cluster is provided with."""
FIRST_LOOK_S = 10.0
"""Within this of a cluster's beginning."""


class StorageWatch:
    """Follows the storage of one cluster. It tells by a signal: the watch that it is part of goes on."""

    def __init__(
        self,
        storage: ClusterStorage,
        temporal: Client,
        promises: DiskPromises,
        arg: WatchInput,
        view: Callable[[], Awaitable[ClusterView | None]],
        tell: Callable[[StorageLook, int], None],
    ) -> None:
        """Look at *storage*; *view* returns the cluster of *arg* as it stands, *promises* is told what it uses.

        *tell* hears of each look, with the bytes provided.
        """
        self._tell = tell
        self._storage = storage
        self._promises = promises
        self._cluster_id = arg.cluster_id
        self._temporal = temporal
        self._view = view
        self._first = arg.status.storage.look is None
        self._known: tuple[Storage, int] | None = None
        """What is on record, and the bytes provided. Storage never shrinks: told late of more, this tells too much."""
        self._learned_at = 0.0
        """When it was asked for last (monotonic, seconds)."""
        self._last: StorageLook | None = None
        """The last look here, of which perhaps nothing was told: it knows better since when a node is silent."""
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
        if self._known is None or time.monotonic() - self._learned_at > LEARN_EVERY_S:
            await self._learn()
        if self._known is None:
            return
        recorded, provided = self._known
        self._tell(look, provided)
        look = self._last = filled_in(look, self._last or recorded.look)
        self._promises.note(
            Promise(
                cluster_id=self._cluster_id,
                promised_bytes=nodes_bytes(provided // GB),
                used_bytes=sum(node.used_bytes for node in look.nodes),
            )
        )
        self._used.append(UsedAt(at=look.at, used_bytes=look.used_bytes))
        if not is_worth_telling(recorded, look, provided) and not answers_again(recorded.look, look):
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
            self._learned_at = time.monotonic()
            self._known = view.state.status.storage, view.state.spec.storage_gb * GB
