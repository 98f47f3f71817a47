"""Effects on PgBouncers: generations made, configured, drained and removed."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psycopg
from temporalio import activity

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import POOLER_DIR, ContainerSpec, Mount, RestartPolicy
from activities.engine.labels import Kind, StateLabel, make_labels
from activities.heartbeat import heartbeating, while_worker_runs
from activities.routing.health import mend_way_in
from activities.routing.pooler_console import Console
from activities.routing.pooler_files import SOCKETS_PATH, renew_pooler, write_pooler_files
from model import effects
from model.authority import Authority
from model.cluster import Endpoint, Pooler, PoolerPhase, Tls
from model.effects import (
    ConfigurePoolersInput,
    CreatePoolersInput,
    DrainPoolersInput,
    Nothing,
    Poolers,
    RemovePoolersInput,
)
from model.errors import NotYet
from model.names import sockets_volume
from model.plans import Plan
from model.poolers import plan_generation

ANSWER_TIMEOUT_S = 20.0
DRAINING_TIMEOUT_S = 2.0
DRAIN_POLL_S = 1.0
MEMORY_MB = 512
"""A thousand clients with TLS and prepared statements fit many times. A PgBouncer has one thread: more than one CPU
would be of no use to it."""
MOST_PROCESSES = 32


class PoolerActivities:
    """Effects on PgBouncers."""

    def __init__(self, docker: DockerEngine, master_key: bytes, drain_seconds: float, authority: Authority) -> None:
        """Work through *docker*; passwords are derived from *master_key*; sessions may stay *drain_seconds*.

        Certificates are *authority*'s.
        """
        self._authority = authority
        self._docker = docker
        self._master_key = master_key
        self._drain_limit = timedelta(seconds=drain_seconds)

    @activity.defn(name=effects.CREATE_POOLERS.name)
    async def create_poolers(self, arg: CreatePoolersInput) -> Poolers:
        """Make a generation beside the living ones, tell all of their peers, and wait until each console answers.

        Poolers of this generation that are there already are kept.

        Raises:
            HostFull: no port is left inside the endpoint.
            NotYet: a console does not answer.
        """
        others = tuple(pooler for pooler in arg.living if pooler.generation != arg.generation)
        made = plan_generation(arg.cluster_id, arg.generation, arg.pool_mode, others, arg.tls)
        async with heartbeating():
            await self._docker.create_volume(
                sockets_volume(arg.cluster_id), make_labels(arg.cluster_id, Kind.SOCKETS, "sockets")
            )
            everyone = (*others, *made)
            await asyncio.gather(*(self._make(arg, pooler) for pooler in made))
            await self._write(arg.cluster_id, everyone, arg.plan, arg.primary_address)
            # Also those that an earlier try started in the namespace of an endpoint that has ended since.
            await mend_way_in(self._docker, arg.cluster_name, arg.endpoint, made)
            await self._reload(arg.cluster_id, arg.endpoint, everyone)
        return Poolers(poolers=made)

    async def _make(self, arg: CreatePoolersInput, pooler: Pooler) -> None:
        await make_pooler(
            self._docker,
            pooler,
            cluster_id=arg.cluster_id,
            cluster_name=arg.cluster_name,
            endpoint=arg.endpoint,
            image=arg.image,
            authority=self._authority,
        )

    @activity.defn(name=effects.CONFIGURE_POOLERS.name)
    async def configure_poolers(self, arg: ConfigurePoolersInput) -> Nothing:
        """Write and load the configuration of all living poolers. Raises :class:`NotFound` and :class:`NotYet`."""
        async with heartbeating():
            await self._write(arg.cluster_id, arg.poolers, arg.plan, arg.primary_address)
            await self._reload(arg.cluster_id, arg.endpoint, arg.poolers)
        return Nothing()

    @activity.defn(name=effects.REMOVE_POOLERS.name)
    async def remove_poolers(self, arg: RemovePoolersInput) -> Nothing:
        """Remove the poolers' containers, and with them the sessions they serve."""
        async with heartbeating():
            await asyncio.gather(*(self._docker.remove(pooler.container, force=True) for pooler in arg.poolers))
        return Nothing()

    @activity.defn(name=effects.DRAIN_POOLERS.name)
    async def drain_poolers(self, arg: DrainPoolersInput) -> Nothing:
        """Remove each pooler when its last client is gone, or at the drain limit; the sessions left then are cut."""
        return await while_worker_runs(self._drain_all(arg))

    async def _drain_all(self, arg: DrainPoolersInput) -> Nothing:
        await asyncio.gather(*(self._drain(arg, pooler) for pooler in arg.poolers))
        return Nothing()

    async def _drain(self, arg: DrainPoolersInput, pooler: Pooler) -> None:
        # PgBouncer does not tell when a client leaves; asking is all there is.
        while datetime.now(UTC) < arg.since + self._drain_limit and await self._has_clients(arg, pooler):  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_S)
        await self._docker.remove(pooler.container, force=True)

    async def _has_clients(self, arg: DrainPoolersInput, pooler: Pooler) -> bool:
        """Tell whether somebody is connected. A pooler that does not answer though its container runs may serve."""
        try:
            console = await Console.open(
                arg.endpoint.address, pooler.port, master_key=self._master_key, cluster_id=arg.cluster_id
            )
        except psycopg.OperationalError:
            found = await self._docker.inspect(pooler.container)
            return found is not None and found.running
        try:
            return bool(await console.show_clients())
        except psycopg.Error:
            return True
        finally:
            await console.close()

    async def _write(self, cluster_id: str, poolers: Sequence[Pooler], plan: Plan, primary_address: str) -> None:
        await write_pooler_files(
            self._docker,
            cluster_id,
            poolers,
            plan=plan,
            primary_address=primary_address,
            master_key=self._master_key,
        )

    async def _reload(self, cluster_id: str, endpoint: Endpoint, poolers: Sequence[Pooler]) -> None:
        async def reload(pooler: Pooler) -> None:
            console = await self._answering(cluster_id, endpoint, pooler)
            if console is None:
                return
            try:
                await console.reload()
            except psycopg.Error as error:
                raise NotYet(f"Pooler {pooler.name} did not reload: {error}.") from None
            finally:
                await console.close()

        await asyncio.gather(*(reload(pooler) for pooler in poolers))

    async def _answering(self, cluster_id: str, endpoint: Endpoint, pooler: Pooler) -> Console | None:
        """Return the pooler's console, or None for one that has drained and been removed meanwhile."""
        try:
            return await Console.wait_until_answers(
                endpoint.address,
                pooler.port,
                master_key=self._master_key,
                cluster_id=cluster_id,
                timeout_s=ANSWER_TIMEOUT_S if pooler.phase is PoolerPhase.RUNNING else DRAINING_TIMEOUT_S,
            )
        except NotYet:
            if pooler.phase is PoolerPhase.DRAINING and await self._docker.inspect(pooler.container) is None:
                return None
            raise


async def make_pooler(
    docker: DockerEngine,
    pooler: Pooler,
    *,
    cluster_id: str,
    cluster_name: str,
    endpoint: Endpoint,
    image: str,
    authority: Authority,
) -> None:
    """Make a pooler's container, not started, unless it is there and runs: with its certificate, and nothing else.

    Its configuration is written before it starts.
    """
    found = await docker.inspect(pooler.container)
    if found is not None and found.running:
        return
    if found is not None:
        await docker.remove(found.name, force=True)
    state = StateLabel(cluster_id=cluster_id, cluster_name=cluster_name, pooler=pooler)
    await docker.create(
        ContainerSpec(
            name=pooler.container,
            image=image,
            command=("pooler",),
            labels=make_labels(cluster_id, Kind.POOLER, pooler.name, state=state),
            join=endpoint.container,
            mounts=(Mount(volume=sockets_volume(cluster_id), path=SOCKETS_PATH),),
            own=(POOLER_DIR,),
            restart=RestartPolicy.UNLESS_STOPPED,
            memory_mb=MEMORY_MB,
            cpus=1,
            pids=MOST_PROCESSES,
            # PgBouncer takes SIGINT for "when all clients are gone".
            stop_signal="SIGTERM",
        )
    )
    if pooler.tls is not Tls.OFF:
        await renew_pooler(docker, pooler, cluster_name, authority)
