"""Effect that takes everything away that belongs to a cluster."""

import asyncio

from temporalio import activity

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerSummary
from activities.engine.labels import Kind, cluster_labels
from activities.fencing import OperationFences
from activities.heartbeat import heartbeating
from model import effects
from model.effects import Nothing, RemoveClusterInput
from model.names import LABEL_KIND, backups_volume

_ORDER = (Kind.BACKUP, Kind.DRILL, Kind.POOLER, Kind.NODE, Kind.ENDPOINT)
"""Backups first: they fail without their node. Poolers live in the endpoint's network namespace."""


class CleanupActivities:
    """Removes clusters."""

    def __init__(self, docker: DockerEngine, fences: OperationFences) -> None:
        """Work through *docker*."""
        self._docker = docker
        self._fences = fences

    @activity.defn(name=effects.REMOVE_CLUSTER.name)
    async def remove_cluster(self, arg: RemoveClusterInput) -> Nothing:
        """Remove the cluster's containers, volumes with their data, and network. What is gone already is no error.

        The volume with its backups stays where the input says so.

        Steps of the operations in ``ended`` are waited for, and so are calls of the engine that a cancelled step left
        behind: what they still make is removed as well.
        """
        labels = cluster_labels(arg.cluster_id)
        async with heartbeating():
            await self._fences.close_off(arg.cluster_id, arg.ended)
            await self._docker.settled()
            containers = await self._docker.list_containers(labels)
            for kind in _ORDER:
                await self._remove([each for each in containers if each.labels.get(LABEL_KIND) == kind])
            await self._remove(await self._docker.list_containers(labels))
            kept = {backups_volume(arg.cluster_id)} if arg.keep_repository else set[str]()
            volumes = [each for each in await self._docker.list_volumes(labels) if each not in kept]
            await asyncio.gather(*(self._docker.remove_volume(volume) for volume in volumes))
            for name in await self._docker.list_networks(labels):
                await self._docker.remove_network(name)
        return Nothing()

    async def _remove(self, containers: list[ContainerSummary]) -> None:
        await asyncio.gather(*(self._docker.remove(each.id, force=True) for each in containers))
