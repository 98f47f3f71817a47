"""What the containers of a cluster use: by the kernel's files, or else as the Docker engine counts it."""

import asyncio
from collections.abc import Sequence

from activities.engine.cgroups import read_usage
from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerSummary, ContainerUsage
from activities.metrics.series import (
    CONTAINER_CPU,
    CONTAINER_CPU_LIMIT,
    CONTAINER_MEMORY,
    CONTAINER_MEMORY_LIMIT,
    Reading,
)
from model.names import LABEL_NAME


class ContainerMetrics:
    """The containers of one cluster."""

    def __init__(self, docker: DockerEngine) -> None:
        """Ask *docker* where there are no files."""
        self._docker = docker
        self._cpus: dict[str, float | None] = {}
        """Limits, each asked for once: with another limit it is another container."""

    async def read(self, container: ContainerSummary) -> list[Reading]:
        """Return what *container* uses, without its role; nothing where it does not run. Raises ``MpgError``."""
        if not container.running:
            return []
        usage = await asyncio.to_thread(read_usage, container.id) or await self._asked(container.id)
        return readings(container.labels.get(LABEL_NAME, container.name), usage) if usage else []

    async def _asked(self, container_id: str) -> ContainerUsage | None:
        usage = await self._docker.usage(container_id)
        if usage is None:
            return None
        if container_id not in self._cpus:
            found = await self._docker.inspect(container_id)
            self._cpus[container_id] = found and found.cpus
        return usage.model_copy(update={"cpus": self._cpus[container_id] or usage.cpus})

    def forget_all_but(self, living: Sequence[ContainerSummary]) -> None:
        """Drop what is known of containers that are not among *living* any more."""
        for gone in self._cpus.keys() - {each.id for each in living}:
            del self._cpus[gone]


def readings(name: str, usage: ContainerUsage) -> list[Reading]:
    """Return *usage* as readings of the container called *name*."""
    labels = {"container": name}
    return [
        Reading(CONTAINER_CPU, labels, usage.cpu_seconds),
        Reading(CONTAINER_CPU_LIMIT, labels, usage.cpus),
        Reading(CONTAINER_MEMORY, labels, usage.memory_bytes),
        Reading(CONTAINER_MEMORY_LIMIT, labels, usage.memory_limit_bytes),
    ]
