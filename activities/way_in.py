"""Whether the endpoint and the poolers on record are there, and belong together."""

from activities.docker_engine import DockerEngine
from model.cluster import Endpoint, Pooler, PoolerPhase
from model.effects import Alarm, AlarmKind


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
