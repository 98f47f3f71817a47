"""The way into a cluster, its endpoint and its poolers: whether it is there and belongs together; started again."""

import asyncio

import psycopg

from activities.engine.docker_engine import DockerEngine
from activities.routing.pooler_console import Console
from model.cluster import Endpoint, Pooler, PoolerPhase
from model.effects import Alarm, AlarmKind
from model.errors import NeedsOperator, NotFound

POOLER_TIMEOUT_S = 20.0


async def broken_way_in(docker: DockerEngine, endpoint: Endpoint, poolers: tuple[Pooler, ...]) -> Alarm | None:
    """Return what of the way into a cluster does not run, or is not where clients come in; None if nothing."""
    found = await docker.inspect(endpoint.container)
    if found is None or not found.running or found.started_at is None:
        return Alarm(kind=AlarmKind.WAY_IN, name="endpoint", how="its container does not run")
    for pooler in poolers:
        container = await docker.inspect(pooler.container)
        if container is None or not container.running:
            if pooler.phase is not PoolerPhase.DRAINING:
                return Alarm(kind=AlarmKind.WAY_IN, name=pooler.name, how="its container does not run")
        elif container.started_at is not None and container.started_at < found.started_at:
            return Alarm(kind=AlarmKind.WAY_IN, name=pooler.name, how="it is in the namespace of a former endpoint")
    return None


async def paused_poolers(
    cluster_id: str, endpoint: Endpoint, poolers: tuple[Pooler, ...], master_key: bytes
) -> list[str]:
    """Return the names of the poolers that hold their clients. One that does not answer is not among them."""

    async def is_paused(pooler: Pooler) -> bool:
        try:
            console = await Console.open(endpoint.address, pooler.port, master_key=master_key, cluster_id=cluster_id)
            try:
                return await console.is_paused()
            finally:
                await console.close()
        except psycopg.Error:
            return False

    living = [pooler for pooler in poolers if pooler.phase is not PoolerPhase.STOPPED]
    paused = await asyncio.gather(*(is_paused(pooler) for pooler in living))
    return [pooler.name for pooler, held in zip(living, paused, strict=True) if held]


async def start_endpoint(
    docker: DockerEngine, cluster_name: str, endpoint: Endpoint, poolers: tuple[Pooler, ...]
) -> bool:
    """Start the endpoint if it does not run; tell whether poolers have to join its new namespace.

    Raises :class:`NeedsOperator` where its container is gone.
    """
    found = await docker.inspect(endpoint.container)
    if found is None:
        raise NeedsOperator(
            f"The endpoint of cluster {cluster_name} is gone, and with it the addresses of its clients.",
            remedy="Its data is in its nodes' volumes: save it with pg_dump there, then destroy the cluster.",
        )
    if not found.running:
        await docker.start(found.name)
    containers = await asyncio.gather(*(docker.inspect(each.container) for each in poolers))
    started = (await docker.inspect(endpoint.container) or found).started_at
    return any(each and each.started_at and started and each.started_at < started for each in containers)


async def start_pooler(docker: DockerEngine, pooler: Pooler, *, again: bool) -> None:
    """Start a pooler; *again* where it runs and the endpoint's namespace is a new one."""
    if again:
        # SIGTERM would wait for clients that cannot reach it any more.
        await docker.stop(pooler.container, signal="SIGQUIT", timeout_s=POOLER_TIMEOUT_S)
    await docker.start(pooler.container)


async def mend_way_in(docker: DockerEngine, cluster_name: str, endpoint: Endpoint, poolers: tuple[Pooler, ...]) -> None:
    """Start again what of the way in has ended. Rules and the poolers' configuration are as they were.

    Raises as :func:`start_endpoint`, and :class:`NotFound` for a pooler on record whose container is gone, after the
    others were started.
    """
    again = await start_endpoint(docker, cluster_name, endpoint, poolers)
    gone: list[str] = []

    async def start(pooler: Pooler) -> None:
        try:
            await start_pooler(docker, pooler, again=again)
        except NotFound:
            if pooler.phase is not PoolerPhase.DRAINING:
                gone.append(pooler.name)

    await asyncio.gather(*(start(pooler) for pooler in poolers))
    if gone:
        raise NotFound(f"The container of {' and '.join(gone)} is gone; it is made anew when the turn is free.")
