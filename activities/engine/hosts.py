"""Effects on the host itself: whether it can carry a cluster."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from temporalio import activity

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import HostInfo
from model import effects
from model.effects import CheckHostInput, HostCheck
from model.errors import HostFull, NotFound
from model.plans import HostCapacity, find_plan, fit, load_plans
from model.secrets import key_id
from model.settings import POSTGIS_SUFFIX, Settings

MIN_FREE_MB = 1024
"""What a fresh cluster needs with its first WAL. The storage asked for is a promise that volumes grow into, so it is
not demanded as free space up front; watching the disk is the operator's."""


REMEDY = "'mpg doctor' says how to build one."
POSTGIS_REMEDY = "Build it with 'mpg doctor --postgis --fix', or create the cluster without PostGIS."


class HostActivities:
    """Effects on the machine whose Docker engine this worker uses."""

    def __init__(self, docker: DockerEngine, settings: Settings, master_key: bytes) -> None:
        """Ask *docker*; plans, what is allowed and where backups go come from *settings*."""
        self._docker = docker
        self._key_id = key_id(master_key)
        self._settings = settings

    @activity.defn(name=effects.CHECK_HOST.name)
    async def check_host(self, arg: CheckHostInput) -> HostCheck:
        """Return what a node of the plan gets on this host.

        Raises:
            InvalidInput: there is no such plan, or the plan table can't be read.
            HostTooSmall: the host is smaller than the plan and overcommit is not allowed.
            NotFound: there is no image of that Postgres version, none with PostGIS, or not the one asked for.
            HostFull: the disk has not even the room of an empty cluster.
        """
        plan = find_plan(load_plans(self._settings.plans_file), arg.plan)
        host = await self._docker.host()
        capacity = HostCapacity(cpus=host.cpus, memory_mb=host.memory_mb)
        resources = fit(plan, capacity, allow_overcommit=self._settings.allow_overcommit)
        image = await self._present(arg.image) if arg.image else await self._choose(arg)
        if arg.storage_gb > 0:
            check_disk(host)
        return HostCheck(
            plan=plan, resources=resources, capacity=capacity, image=image, backups=self._settings.backups(self._key_id)
        )

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


def check_disk(host: HostInfo) -> None:
    """See that the disk of the engine has room for an empty cluster. Raises :class:`HostFull` with the numbers."""
    root = Path(host.root_dir)
    if not root.exists():
        # The engine's files are not visible to this worker (it runs in a container itself): nothing to measure.
        return
    free_mb = shutil.disk_usage(root).free // 1024**2
    if free_mb < MIN_FREE_MB:
        raise HostFull(
            f"The disk of the Docker engine has {free_mb} MB free, a new cluster needs {MIN_FREE_MB} MB.",
            remedy="Free space on it, then try again.",
        )
