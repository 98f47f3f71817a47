"""The effect ``set_tls``: a cluster's servers offer, or require, TLS."""

import asyncio

import psycopg
from temporalio import activity

from activities.engine.docker_engine import DockerEngine
from activities.heartbeat import heartbeating
from activities.nodes.tls import offer_tls, put_pg_hba
from activities.routing.access_file import read_access, write_access
from activities.routing.pooler_console import Console
from activities.routing.pooler_files import renew_pooler, write_pooler_files
from model import effects
from model.authority import Authority
from model.cluster import Pooler, PoolerPhase, Tls
from model.effects import Nothing, SetTlsInput
from model.errors import NotFound, NotYet
from model.rebuilding import AccessPart


class TlsActivities:
    """Effects on TLS. Nothing here ends a session, or restarts anything."""

    def __init__(self, docker: DockerEngine, master_key: bytes, authority: Authority) -> None:
        """Work through *docker*; certificates are *authority*'s."""
        self._docker = docker
        self._master_key = master_key
        self._authority = authority

    @activity.defn(name=effects.SET_TLS.name)
    async def set_tls(self, arg: SetTlsInput) -> Nothing:
        """Have new connections to nodes and poolers be as asked. A node that is gone gets it when it is made again.

        Between poolers and nodes first what takes both, then what insists. Raises :class:`NotFound` and
        :class:`NotYet`.
        """
        async with heartbeating():
            if arg.tls is not Tls.OFF:
                await self._on_nodes(arg, offer=True)
            if arg.tls is not Tls.REQUIRED:
                await self._on_nodes(arg, offer=False)
            await self._on_poolers(arg)
            if arg.tls is Tls.REQUIRED:
                await self._on_nodes(arg, offer=False)
            known = await read_access(self._docker, arg.endpoint.container) or AccessPart()
            await write_access(self._docker, arg.endpoint.container, known.model_copy(update={"tls": arg.tls}))
        return Nothing()

    async def _on_nodes(self, arg: SetTlsInput, *, offer: bool) -> None:
        for node in arg.nodes:
            try:
                if offer:
                    await offer_tls(self._docker, node, arg.cluster_name, self._authority)
                else:
                    await put_pg_hba(self._docker, node, arg.network, backups=arg.backups, tls=arg.tls)
            except NotFound:
                if node.address == arg.primary_address:
                    raise

    async def _on_poolers(self, arg: SetTlsInput) -> None:
        if arg.tls is not Tls.OFF:
            await asyncio.gather(*(self._certify(arg, pooler) for pooler in arg.poolers))
        poolers = [pooler.model_copy(update={"tls": arg.tls}) for pooler in arg.poolers]
        await write_pooler_files(
            self._docker,
            arg.cluster_id,
            poolers,
            plan=arg.plan,
            primary_address=arg.primary_address,
            master_key=self._master_key,
        )
        await asyncio.gather(*(self._reload(arg, pooler) for pooler in poolers))

    async def _certify(self, arg: SetTlsInput, pooler: Pooler) -> None:
        try:
            await renew_pooler(self._docker, pooler, arg.cluster_name, self._authority)
        except NotFound:
            if pooler.phase is not PoolerPhase.DRAINING:
                raise

    async def _reload(self, arg: SetTlsInput, pooler: Pooler) -> None:
        try:
            console = await Console.wait_until_answers(
                arg.endpoint.address, pooler.port, master_key=self._master_key, cluster_id=arg.cluster_id
            )
        except NotYet:
            if pooler.phase is PoolerPhase.DRAINING:
                return
            raise
        try:
            await console.reload()
        except psycopg.Error as error:
            raise NotYet(f"Pooler {pooler.name} did not reload: {error}.") from None
        finally:
            await console.close()
