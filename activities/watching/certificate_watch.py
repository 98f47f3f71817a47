"""Certificates renewed long before they end, and when the authority or the names in them are others."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from activities.engine.docker_engine import DockerEngine
from activities.nodes.tls import renew_node
from activities.routing.pooler_files import renew_pooler
from model.authority import Authority
from model.cluster import ClusterView, Tls
from model.effects import Alarm
from model.errors import MpgError

log = structlog.get_logger()

ReadView = Callable[[], Awaitable[ClusterView | None]]


class CertificateWatch:
    """Renews the certificates of one cluster. Servers read the new ones by a reload: no session notices."""

    def __init__(self, docker: DockerEngine, authority: Authority, read_view: ReadView) -> None:
        """Look through *docker* at the servers that *read_view* tells of."""
        self._docker = docker
        self._authority = authority
        self._read_view = read_view

    async def run(self) -> Alarm:
        """Never return: a certificate that could not be renewed is tried again at the next look."""
        # Not at once, when a worker takes up all of its watches.
        await asyncio.sleep(random.uniform(0, self._authority.check_every_s / 10))  # noqa: S311
        while True:
            try:
                await self.look()
            except MpgError as error:
                log.warning("certificates could not be looked at", error=str(error))
            await asyncio.sleep(self._authority.check_every_s)

    async def look(self) -> None:
        """Renew what is due, unless somebody is at work: a reload would also load what was written for later."""
        view = await self._read_view()
        if view is None or view.operation is not None or view.state.spec.tls is Tls.OFF:
            return
        spec, status = view.state.spec, view.state.status
        for node in status.nodes:
            if await renew_node(self._docker, node, spec.name, self._authority):
                log.info("certificate renewed", cluster=spec.id, node=node.name)
        for pooler in status.poolers:
            if await renew_pooler(self._docker, pooler, spec.name, self._authority, reload=True):
                log.info("certificate renewed", cluster=spec.id, pooler=pooler.name)
