"""The effect ``note_durability``: what commits wait for, kept where an adoption finds it."""

from temporalio import activity

from activities.engine.docker_engine import DockerEngine
from activities.heartbeat import heartbeating
from activities.routing.access_file import read_access, write_access
from model import effects
from model.cluster import Durability
from model.effects import NoteDurabilityInput, Nothing
from model.rebuilding import AccessPart


async def note_durability(docker: DockerEngine, container: str, durability: Durability) -> None:
    """Keep *durability* at the endpoint of *container*. Raises :class:`NotFound` where that is gone."""
    known = await read_access(docker, container) or AccessPart()
    if known.durability is not durability:
        await write_access(docker, container, known.model_copy(update={"durability": durability}))


class DurabilityActivities:
    """The effect ``note_durability``."""

    def __init__(self, docker: DockerEngine) -> None:
        """Work through *docker*."""
        self._docker = docker

    @activity.defn(name=effects.NOTE_DURABILITY.name)
    async def note_durability(self, arg: NoteDurabilityInput) -> Nothing:
        """Keep it; at once where it is so already. Raises :class:`NotFound`."""
        async with heartbeating():
            await note_durability(self._docker, arg.endpoint.container, arg.durability)
        return Nothing()
