"""One stream of the engine's events for all clusters: what happens to managed containers, told to who watches them."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import docker
import structlog
from docker.utils import kwargs_from_env

from model.base import Record
from model.names import LABEL_CLUSTER, LABEL_KIND, LABEL_MANAGED, LABEL_NAME

log = structlog.get_logger()

RECONNECT_S = 1.0


class ContainerEvent(Record):
    """A managed container died or started. ``action`` is the engine's word; ``resync`` after a gap in the stream."""

    action: str
    kind: str = ""
    name: str = ""


RESYNC = ContainerEvent(action="resync")
"""Events may have been missed: look for yourself."""


class DockerEvents:
    """Subscriptions to the events of clusters. The stream is read by one thread, begun with the first subscription."""

    def __init__(self, base_url: str | None = None) -> None:
        """Listen to the engine at *base_url* (None: ``DOCKER_HOST`` or the local socket)."""
        self._base_url = base_url
        self._subscribers: dict[str, set[asyncio.Queue[ContainerEvent]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._stream: Any = None

    @asynccontextmanager
    async def of_cluster(self, cluster_id: str) -> AsyncGenerator[asyncio.Queue[ContainerEvent], None]:
        """Lend a queue of the cluster's events, beginning with :data:`RESYNC`."""
        self._start()
        queue: asyncio.Queue[ContainerEvent] = asyncio.Queue()
        queue.put_nowait(RESYNC)
        self._subscribers.setdefault(cluster_id, set()).add(queue)
        try:
            yield queue
        finally:
            self._subscribers[cluster_id].discard(queue)
            if not self._subscribers[cluster_id]:
                del self._subscribers[cluster_id]

    async def close(self) -> None:
        """End the stream and its thread."""
        self._closing.set()
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.close()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 2 * RECONNECT_S)

    def _start(self) -> None:
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._read, name="docker-events", daemon=True)
            self._thread.start()

    def _read(self) -> None:
        while not self._closing.is_set():
            try:
                self._follow()
            except Exception as error:
                # Whatever broke the stream, watching must go on: subscribers look for themselves meanwhile.
                if not self._closing.is_set():
                    log.warning("the stream of Docker's events broke", error=str(error))
            self._closing.wait(RECONNECT_S)

    def _follow(self) -> None:
        where = {"base_url": self._base_url} if self._base_url else dict(kwargs_from_env())
        client: Any = docker.APIClient(**cast("dict[str, Any]", where), version="auto")
        try:
            wanted = {"type": "container", "event": ["die", "start"], "label": f"{LABEL_MANAGED}=true"}
            self._stream = client.events(decode=True, filters=wanted)
            self._tell(None, RESYNC)
            for event in self._stream:
                labels = event["Actor"]["Attributes"]
                told = ContainerEvent(
                    action=event["Action"], kind=labels.get(LABEL_KIND, ""), name=labels.get(LABEL_NAME, "")
                )
                self._tell(labels.get(LABEL_CLUSTER, ""), told)
        finally:
            client.close()

    def _tell(self, cluster_id: str | None, event: ContainerEvent) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._spread, cluster_id, event)

    def _spread(self, cluster_id: str | None, event: ContainerEvent) -> None:
        for each, queues in self._subscribers.items():
            if cluster_id in {None, each}:
                for queue in queues:
                    queue.put_nowait(event)
