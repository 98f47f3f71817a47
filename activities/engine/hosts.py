"""Effects on the host itself: whether it can carry a cluster, and keep what it promised to those there are."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from temporalio import activity

from activities.engine.disk_promises import DiskPromises
from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import HostInfo
from model import effects
from model.disk import Promise, nodes_bytes, require_room
from model.effects import CheckDiskInput, CheckHostInput, HostCheck, Nothing
from model.errors import HostFull, NotFound
from model.plans import HostCapacity, find_plan, fit, load_plans
from model.secrets import key_id
from model.settings import POSTGIS_SUFFIX, Settings

MIN_FREE_MB = 1024
"""What a fresh cluster needs with its first WAL, where more may be promised than there is."""


REMEDY = "'mpg doctor' says how to build one."
POSTGIS_REMEDY = "Build it with 'mpg doctor --postgis --fix', or create the cluster without PostGIS."


class HostActivities:
    """Effects on the machine whose Docker engine this worker uses."""

    def __init__(self, docker: DockerEngine, settings: Settings, master_key: bytes, promises: DiskPromises) -> None:
        """Ask *docker*; plans, limits and where backups go come from *settings*, claims to the disk from *promises*."""
        self._docker = docker
        self._key_id = key_id(master_key)
        self._settings = settings
        self._promises = promises

    @activity.defn(name=effects.CHECK_HOST.name)
    async def check_host(self, arg: CheckHostInput) -> HostCheck:
        """Return what a node of the plan gets on this host.

        Raises:
            InvalidInput: there is no such plan, or the plan table can't be read.
            HostTooSmall: the host is smaller than the plan and overcommit is not allowed.
            NotFound: there is no image of that Postgres version, none with PostGIS, or not the one asked for.
            HostFull: the disk cannot hold what the cluster and those there are were promised; where more may be
                promised than there is, it has not even the room of an empty cluster.
        """
        plan = find_plan(load_plans(self._settings.plans_file), arg.plan)
        host = await self._docker.host()
        capacity = HostCapacity(cpus=host.cpus, memory_mb=host.memory_mb)
        resources = fit(plan, capacity, allow_overcommit=self._settings.allow_overcommit)
        image = await self._present(arg.image) if arg.image else await self._choose(arg)
        if arg.storage_gb > 0:
            await self._see_room(host, Promise(cluster_id="", promised_bytes=nodes_bytes(arg.storage_gb)))
        return HostCheck(
            plan=plan, resources=resources, capacity=capacity, image=image, backups=self._settings.backups(self._key_id)
        )

    @activity.defn(name=effects.CHECK_DISK.name)
    async def check_disk(self, arg: CheckDiskInput) -> Nothing:
        """See that the disk can hold what the cluster is to have. Raises :class:`HostFull` with the numbers."""
        host = await self._docker.host()
        own = next((each for each in await self._promises.all() if each.cluster_id == arg.cluster_id), None)
        used = own.used_bytes if own else 0
        promised = nodes_bytes(arg.storage_gb)
        wanted = Promise(cluster_id=arg.cluster_id, promised_bytes=promised, used_bytes=used)
        await self._see_room(host, wanted, least_mb=0)
        self._promises.note(wanted)
        return Nothing()

    async def _see_room(self, host: HostInfo, wanted: Promise, *, least_mb: int = MIN_FREE_MB) -> None:
        free = free_bytes(host)
        if free is None:
            return
        require_free(free, least_mb)
        if not self._settings.allow_storage_overcommit:
            require_room(free, await self._promises.all(), wanted)

    async def _choose(self, arg: CheckHostInput) -> str:
        tags = await self._docker.image_tags(self._settings.node_image)
        image = self._settings.node_image_for(arg.pg_major_version, postgis=arg.postgis)
        if image.rpartition(":")[2] not in tags:
            raise missing_image(arg, tags)
        return image

    async def _present(self, image: str) -> str:
        repository, _, tag = image.rpartition(":")
        if tag not in await self._docker.image_tags(repository):
            raise NotFound(f"This host has no image {image}, which the cluster is made of.", remedy=REMEDY)
        return image


def missing_image(arg: CheckHostInput, tags: Sequence[str]) -> NotFound:
    """Return the error of a host that has only *tags* of the node image."""
    if arg.postgis:
        found = [tag.removesuffix(POSTGIS_SUFFIX) for tag in tags if tag.endswith(POSTGIS_SUFFIX)]
        what, remedy = f"image with PostGIS for Postgres {arg.pg_major_version}", POSTGIS_REMEDY
    else:
        found = [tag for tag in tags if tag.isdigit()]
        what, remedy = f"image for Postgres {arg.pg_major_version}", REMEDY
    versions = ", ".join(found) or "none"
    return NotFound(f"This host has no {what}; the versions it has: {versions}.", remedy=remedy)


def free_bytes(host: HostInfo) -> int | None:
    """Return what is free on the engine's disk; None where this worker does not see it, being in a container itself."""
    root = Path(host.root_dir)
    return shutil.disk_usage(root).free if root.exists() else None


def require_free(free: int, least_mb: int) -> None:
    """See that the disk has room for an empty cluster. Raises :class:`HostFull` with the numbers."""
    if free < least_mb * 1024**2:
        raise HostFull(
            f"The disk of the Docker engine has {free // 1024**2} MB free, a new cluster needs {least_mb} MB.",
            remedy="Free space on it, then try again.",
        )
