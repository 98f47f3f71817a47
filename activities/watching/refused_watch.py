"""Who was refused by a cluster's allow list, told in the log."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from activities.engine.docker_engine import DockerEngine
from activities.routing.allow_list import refused_by
from model.cluster import ClusterView
from model.effects import Alarm
from model.errors import MpgError

log = structlog.get_logger()

LOOK_EVERY_S = 10.0
IDLE_S = 600.0
"""How soon a list is noticed that was given to a cluster without one. That costs Temporal a query of each:
the endpoint remembers for longer than this whom it refused."""
FIRST_LOOK_S = 60.0
"""Within which the first look is: not at once, when a worker takes up all of its watches."""


class RefusedWatch:
    """Names in the log each address that one cluster refused."""

    def __init__(self, docker: DockerEngine, read_view: Callable[[], Awaitable[ClusterView | None]]) -> None:
        """Look through *docker* at the cluster that *read_view* tells of."""
        self._docker = docker
        self._read_view = read_view
        self._told: dict[str, int] = {}

    async def run(self) -> Alarm:
        """Never return."""
        await asyncio.sleep(random.uniform(0, FIRST_LOOK_S))  # noqa: S311
        while True:
            listed = False
            try:
                listed = await self.look()
            except MpgError as error:
                log.warning("who was refused is not known", error=str(error))
            await asyncio.sleep(LOOK_EVERY_S if listed else IDLE_S)

    async def look(self) -> bool:
        """Tell of those that were refused since the last look; return whether the cluster has a list at all."""
        view = await self._read_view()
        endpoint = view and view.state.status.endpoint
        if view is None or endpoint is None or not view.state.spec.allow_list:
            return False
        refused = await refused_by(self._docker, endpoint.container)
        for address, times in refused.items():
            # An address is forgotten an hour after its last try, and its count begins anew.
            before = self._told.get(address, 0)
            new = times - before if times >= before else times
            if new:
                log.warning(
                    "connections refused: not on the allow list", cluster=view.state.spec.id, address=address, times=new
                )
        self._told = refused
        return True
