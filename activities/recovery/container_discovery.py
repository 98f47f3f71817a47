"""What a host's engine knows of clusters: their ids, and of one of them what its containers tell."""

import asyncio
from collections.abc import Iterable, Sequence

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerSummary
from activities.engine.labels import Kind, StateLabel, cluster_labels, read_state
from activities.nodes.files import COMPLETE_FILE, STANDBY_SIGNAL
from activities.routing.access_file import read_access
from activities.routing.rules import RULES_FILE, read_pooler_ports
from model.base import Record
from model.cluster import Pooler
from model.errors import NotFound
from model.names import DEFAULT_ORG, LABEL_CLUSTER, LABEL_KIND, LABEL_MANAGED
from model.rebuilding import AccessPart, EndpointPart, NodePart, Parts
from model.settling import Seen


class ClusterSeen(Record):
    """A cluster by its labels alone."""

    id: str
    name: str
    org: str


async def clusters_on(docker: DockerEngine) -> list[ClusterSeen]:
    """Return the clusters of which the engine has containers, by name. Raises :class:`StackDown`."""
    found: dict[str, list[StateLabel]] = {}
    for each in await docker.list_containers({LABEL_MANAGED: "true"}):
        label = read_state(each.labels)
        if label is not None and each.labels.get(LABEL_CLUSTER) == label.cluster_id:
            found.setdefault(label.cluster_id, []).append(label)
    seen = [_seen(cluster_id, labels) for cluster_id, labels in found.items()]
    return sorted(seen, key=lambda each: (each.name, each.id))


def _seen(cluster_id: str, labels: Sequence[StateLabel]) -> ClusterSeen:
    org = next((label.origin.org for label in labels if label.origin), DEFAULT_ORG)
    return ClusterSeen(id=cluster_id, name=labels[0].cluster_name, org=org)


async def read_parts(docker: DockerEngine, cluster_id: str, *, host: str, region: str) -> Parts:
    """Return what the containers of one cluster tell; nothing is asked of Postgres.

    Raises:
        NotFound: the engine has no container of that cluster.
    """
    containers = await docker.list_containers(cluster_labels(cluster_id))
    labels = {each.name: label for each in containers if (label := read_state(each.labels))}
    if not labels:
        raise NotFound(f"This host has no containers of a cluster {cluster_id!r}.", remedy="See 'mpg adopt'.")
    readable = [each for each in containers if each.name in labels]
    nodes = await asyncio.gather(*(_node(docker, each, labels[each.name]) for each in _of(readable, Kind.NODE)))
    endpoint = next(iter(_of(readable, Kind.ENDPOINT)), None)
    return Parts(
        cluster_id=cluster_id,
        cluster_name=next(iter(labels.values())).cluster_name,
        host=host,
        region=region,
        endpoint=endpoint and await _endpoint(docker, endpoint, labels[endpoint.name]),
        nodes=tuple(node for node in nodes if node),
        poolers=_poolers(labels[each.name] for each in _of(readable, Kind.POOLER)),
        pooled_ports=read_pooler_ports(await _rules(docker, endpoint)),
    )


def _of(containers: Sequence[ContainerSummary], kind: Kind) -> list[ContainerSummary]:
    return [each for each in containers if each.labels.get(LABEL_KIND) == kind]


async def _endpoint(docker: DockerEngine, found: ContainerSummary, label: StateLabel) -> EndpointPart | None:
    container = await docker.inspect(found.name)
    if label.endpoint is None or container is None or container.started_at is None:
        # Never started: its ports may have been somebody else's.
        return None
    access = await read_access(docker, found.name) or AccessPart()
    return EndpointPart(endpoint=label.endpoint, origin=label.origin, access=access, made_at=found.created_at)


async def _rules(docker: DockerEngine, endpoint: ContainerSummary | None) -> str:
    rules = await docker.get_file(endpoint.name, RULES_FILE) if endpoint else None
    return (rules or b"").decode(errors="replace")


def _poolers(labels: Iterable[StateLabel]) -> tuple[Pooler, ...]:
    return tuple(label.pooler for label in labels if label.pooler)


async def _node(docker: DockerEngine, found: ContainerSummary, label: StateLabel) -> NodePart | None:
    """A running standby has ``standby.signal`` too: Postgres removes the file when it is promoted."""
    if label.node is None:
        return None
    complete, standby = await asyncio.gather(
        docker.path_exists(found.name, COMPLETE_FILE), docker.path_exists(found.name, STANDBY_SIGNAL)
    )
    seen = _SEEN[standby, found.running] if complete else Seen.MISSING
    return NodePart(spec=label.node, plan=label.plan, key_id=label.key_id, seen=seen)


_SEEN = {
    (False, True): Seen.PRIMARY,
    (False, False): Seen.STOPPED_PRIMARY,
    (True, True): Seen.STANDBY,
    (True, False): Seen.STOPPED_STANDBY,
}
"""By whether there is a ``standby.signal``, and whether the container runs."""
