"""Reading one cluster's metrics again and again, as a part of its watch; nothing waits for it."""

import asyncio
import random
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import psycopg
import structlog

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerSummary
from activities.engine.labels import Kind, StateLabel, cluster_labels, read_state
from activities.metrics.board import MetricsBoard
from activities.metrics.containers import ContainerMetrics
from activities.metrics.nodes import NodeMetrics, NodeSeen
from activities.metrics.poolers import read_pooler
from activities.metrics.replication import LagMeter
from activities.metrics.series import (
    COLLECTION,
    DATABASE_SIZE,
    NODE_UP,
    STORAGE_PROVIDED,
    STORAGE_USED,
    Reading,
)
from activities.postgres.sql import SqlSessions
from model.cluster import NodeRole, Pooler
from model.effects import WatchInput
from model.errors import MpgError
from model.names import DEFAULT_ORG, LABEL_KIND, LABEL_NAME, pooler_label
from model.storage import StorageLook

log = structlog.get_logger()
T = TypeVar("T")

CALL_TIMEOUT_S = 5
"""For an answer of the Docker engine."""
SOURCE_S = 5.0
"""Bound on each source of a round; they are read side by side."""
ROUNDS_SHOWN = 2.5
"""For so many rounds a reading is shown when none follows it."""
STORAGE_SHOWN_S = 150.0
"""For so long a look at the storage is shown, which there is one of each minute."""
TEMPLATES = frozenset({"template0", "template1"})
POOLER = "pooler"
"""The role of a container that is one."""


@dataclass(frozen=True)
class MetricSources:
    """What readings come from, and where they go."""

    docker: DockerEngine
    """For this alone: calls that wait for an answer keep nobody else waiting."""
    sql: SqlSessions
    master_key: bytes
    board: MetricsBoard
    every_s: float
    """0: nothing is read."""


@dataclass(frozen=True)
class _Storage:
    look: StorageLook
    provided_bytes: int
    at: float


class ClusterMetrics:
    """The metrics of one cluster."""

    def __init__(self, sources: MetricSources, arg: WatchInput) -> None:
        """Read the cluster of *arg* from *sources*."""
        self._sources = sources
        self._cluster_id = arg.cluster_id
        self._status = arg.status
        self._containers = ContainerMetrics(sources.docker)
        self._nodes = [NodeMetrics(sources.sql, node, arg.cluster_id) for node in arg.status.nodes]
        self._roles = {node.name: node.role for node in arg.status.nodes}
        self._lag = LagMeter()
        self._storage: _Storage | None = None
        self._org: str | None = None

    def note_storage(self, look: StorageLook, provided_bytes: int) -> None:
        """Take over what the watch of the storage saw."""
        self._storage = _Storage(look, provided_bytes, time.monotonic())

    async def run(self) -> None:
        """Read until cancelled; then the cluster's series are gone."""
        board, every_s = self._sources.board, self._sources.every_s
        board.begin(self._cluster_id)
        try:
            if not every_s:
                await asyncio.Event().wait()
            # Not all clusters at once when a worker starts.
            await asyncio.sleep(random.uniform(0, every_s))  # noqa: S311
            while True:
                begun = time.monotonic()
                try:
                    await self._round(begun)
                except Exception:  # a mistake of ours in one round
                    log.exception("metrics could not be read", cluster=self._cluster_id)
                took = time.monotonic() - begun
                await asyncio.sleep(max(every_s * random.uniform(0.95, 1.0) - took, 0))  # noqa: S311
        finally:
            board.end(self._cluster_id)
            await asyncio.gather(*(node.close() for node in self._nodes), return_exceptions=True)

    async def _round(self, begun: float) -> None:
        readings = [*await self.read(), Reading(COLLECTION, {}, time.monotonic() - begun)]
        if self._org is not None:
            shown_s = ROUNDS_SHOWN * self._sources.every_s + SOURCE_S
            self._sources.board.show(self._cluster_id, self._org, readings, seconds=shown_s)

    async def read(self) -> list[Reading]:
        """Return the readings of a round, without those of a source that failed or took too long."""
        listed, nodes = await asyncio.gather(
            self._tried(self._sources.docker.list_containers(cluster_labels(self._cluster_id)), "its containers"),
            asyncio.gather(*(self._tried(node.read(), f"node {node.name}") for node in self._nodes)),
        )
        seen = [node for node in nodes if node is not None]
        self._learn_roles(seen)
        containers = [each for each in listed or () if each.labels.get(LABEL_KIND) in {Kind.NODE, Kind.POOLER}]
        self._containers.forget_all_but(containers)
        states = [state for each in listed or () if (state := read_state(each.labels)) is not None]
        if listed and self._org is None:
            self._org = next((state.origin.org for state in states if state.origin), DEFAULT_ORG)
        used, pooled = await asyncio.gather(self._used(containers), self._pooled(states))
        return [*self._said(seen), *used, *pooled, *self._stored(seen)]

    def _learn_roles(self, seen: Sequence[NodeSeen]) -> None:
        """Take a node's word for its role. Beside another that is the primary, a silent one is not any more."""
        said = {node.name: node.role for node in seen}
        if NodeRole.PRIMARY in said.values():
            said = dict.fromkeys(self._roles, NodeRole.REPLICA) | said
        self._roles |= said

    def _said(self, seen: Sequence[NodeSeen]) -> list[Reading]:
        answered = {node.name for node in seen}
        by_role = {node.role: node for node in seen}
        return [
            *(Reading(NODE_UP, self._node_labels(node.name), node.name in answered) for node in self._nodes),
            *(
                Reading(each.series, {**self._node_labels(node.name), **each.labels}, each.value)
                for node in seen
                for each in node.readings
            ),
            *self._lag.read(by_role.get(NodeRole.PRIMARY), by_role.get(NodeRole.REPLICA)),
        ]

    def _node_labels(self, name: str) -> dict[str, str]:
        return {"node": name, "role": self._roles[name].value}

    async def _used(self, containers: Sequence[ContainerSummary]) -> list[Reading]:
        read = await asyncio.gather(*(self._tried(self._containers.read(each), each.name) for each in containers))
        return [
            Reading(each.series, {**each.labels, "role": self._role_of(container)}, each.value)
            for container, readings in zip(containers, read, strict=True)
            for each in readings or ()
        ]

    def _role_of(self, container: ContainerSummary) -> str:
        role = self._roles.get(container.labels.get(LABEL_NAME, ""))
        return role.value if role and container.labels.get(LABEL_KIND) == Kind.NODE else POOLER

    async def _pooled(self, states: Sequence[StateLabel]) -> list[Reading]:
        endpoint = self._status.endpoint
        poolers = [state.pooler for state in states if state.pooler is not None]
        if endpoint is None:
            return []
        read = await asyncio.gather(*(self._pool(endpoint.address, pooler) for pooler in poolers))
        return [each for readings in read for each in readings or ()]

    async def _pool(self, address: str, pooler: Pooler) -> list[Reading] | None:
        key, cluster_id = self._sources.master_key, self._cluster_id
        reading = read_pooler(address, pooler, master_key=key, cluster_id=cluster_id)
        return await self._tried(reading, f"pooler {pooler_label(pooler.name)}")

    def _stored(self, seen: Sequence[NodeSeen]) -> list[Reading]:
        storage = self._storage
        if storage is None or time.monotonic() - storage.at > STORAGE_SHOWN_S:
            return []
        primary = next((node.name for node in seen if node.role is NodeRole.PRIMARY), None)
        look = storage.look
        return [
            Reading(STORAGE_PROVIDED, {}, storage.provided_bytes),
            *(
                Reading(STORAGE_USED, self._node_labels(node.name), node.used_bytes)
                for node in look.nodes
                if node.name in self._roles
            ),
            *(
                Reading(DATABASE_SIZE, {**self._node_labels(primary), "database": database.name}, database.bytes)
                for database in look.databases
                if primary and database.name not in TEMPLATES
            ),
        ]

    async def _tried(self, reading: Awaitable[T], what: str) -> T | None:
        try:
            async with asyncio.timeout(SOURCE_S):
                return await reading
        except (MpgError, psycopg.Error, OSError, TimeoutError) as error:
            log.debug("metrics could not be read", cluster=self._cluster_id, what=what, error=str(error))
            return None
