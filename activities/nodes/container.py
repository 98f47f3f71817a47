"""A node's container and the files on its volume, without Postgres: made, prepared, taken away."""

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import SCRATCH, SOCKETS, ContainerInfo, ContainerSpec, Mount
from activities.engine.labels import Kind, StateLabel, make_labels, node_digest
from activities.nodes.archiving import node_repository_files
from activities.nodes.files import COMPLETE_FILE, CONF_DIR, RENDERING, STANDBY_SIGNAL, node_files, standby_files
from activities.nodes.repository_conf import RepositoryKeys, repository_environment
from activities.nodes.tls import CERTIFICATE_FILE, node_tls_files
from model.addresses import node_address
from model.authority import Authority
from model.backups import RepositoryKind
from model.cluster import NodeRole, Tls
from model.effects import Bootstrap, EnsureNodeInput, NodeSpec
from model.errors import NeedsOperator, NotFound
from model.names import (
    LABEL_SPEC,
    REPLICATOR,
    REPOSITORY_PATH,
    VOLUME_PATH,
    backups_volume,
    node_container,
    node_volume,
)
from model.secrets import key_id

STOP_TIMEOUT_S = 60.0
"""How long a clean stop may take; a busy node writes its checkpoint in it."""
MIN_SHM_MB = 64
_NO_REPOSITORY = {REPOSITORY_PATH: "mode=0755,size=1m"}
"""The entrypoint gives that directory to ``postgres``, also where nothing is in it."""
_MODE = {Bootstrap.INIT: "init", Bootstrap.CLONE: "clone", Bootstrap.KEEP: "start", Bootstrap.REJOIN: "rejoin"}


async def make_node(docker: DockerEngine, arg: EnsureNodeInput, master_key: bytes) -> None:
    """Make a node's volumes, if there are none, and its container, not started."""
    spec = arg.spec
    volume = node_volume(spec.cluster_id, spec.name)
    await docker.create_volume(volume, make_labels(spec.cluster_id, Kind.NODE, spec.name))
    mounts, scratch = [Mount(volume=volume, path=VOLUME_PATH)], SCRATCH | SOCKETS
    if spec.repository is not None and spec.repository.kind is RepositoryKind.VOLUME:
        mounts.append(await make_backups_volume(docker, spec.cluster_id))
    else:
        scratch |= _NO_REPOSITORY
    await docker.create(
        ContainerSpec(
            name=node_container(spec.cluster_id, spec.name),
            image=spec.image,
            command=("node", _MODE[arg.bootstrap]),
            labels=_labels(arg, master_key),
            environment=_environment(spec),
            network=spec.network.name,
            address=node_address(spec.network, spec.name),
            mounts=tuple(mounts),
            scratch=scratch,
            memory_mb=spec.resources.memory_mb,
            cpus=spec.resources.cpus,
            # Parallel queries exchange rows through /dev/shm; a larger one fails in Docker's 64 MB.
            shm_mb=max(MIN_SHM_MB, spec.resources.memory_mb // 4),
            stop_signal="SIGINT",
        )
    )


async def make_backups_volume(docker: DockerEngine, cluster_id: str) -> Mount:
    """Make the volume of a cluster's backups, if there is none; return where containers have it."""
    volume = backups_volume(cluster_id)
    await docker.create_volume(volume, make_labels(cluster_id, Kind.BACKUPS, "backups"))
    return Mount(volume=volume, path=REPOSITORY_PATH)


async def prepare_node(
    docker: DockerEngine,
    arg: EnsureNodeInput,
    keys: RepositoryKeys,
    authority: Authority,
    *,
    copy_bytes: int = 0,
) -> None:
    """Put the files in place. A ``standby.signal`` is added to finished data, and never taken away.

    *copy_bytes* is the room that a copy of the primary needs, for a node that rejoins.

    Raises:
        NeedsOperator: a primary was asked of a standby's data.
        NotFound: ``KEEP`` was asked of a volume without finished data.
    """
    spec, container = arg.spec, node_container(arg.spec.cluster_id, arg.spec.name)
    if spec.role is NodeRole.PRIMARY and await docker.path_exists(container, STANDBY_SIGNAL):
        raise would_promote(spec)
    files = node_files(spec, keys.master_key, arg.bootstrap, how=arg.rejoin, copy_bytes=copy_bytes)
    files |= node_repository_files(spec, keys, CONF_DIR)
    if spec.tls is not Tls.OFF and authority.is_due(await docker.get_file(container, CERTIFICATE_FILE)):
        files |= node_tls_files(spec.cluster_name, authority)
    if spec.role is NodeRole.REPLICA or arg.bootstrap is Bootstrap.KEEP:
        complete = await docker.path_exists(container, COMPLETE_FILE)
        if not complete and arg.bootstrap is Bootstrap.KEEP:
            raise NotFound(f"The volume of node {spec.name} of cluster {spec.cluster_name} holds no finished data.")
        # A node that rejoins is rewound first; what makes it a standby comes from that.
        if complete and spec.role is NodeRole.REPLICA and arg.bootstrap is not Bootstrap.REJOIN:
            files |= standby_files()
    await docker.put_files(container, files)


async def take_node_away(docker: DockerEngine, found: ContainerInfo) -> None:
    """Stop a node cleanly and remove its container; the volume stays. Raises :class:`NotYet` when it does not end."""
    await docker.stop(found.name, timeout_s=STOP_TIMEOUT_S)
    await docker.remove(found.name)


def would_promote(spec: NodeSpec) -> NeedsOperator:
    """Return the error of a standby that was asked to start as the primary."""
    return NeedsOperator(
        f"Node {spec.name} of cluster {spec.cluster_name} is a standby and was asked to start as the primary.",
        remedy="Only a switchover promotes; look at both nodes with 'mpg status'.",
    )


def _labels(arg: EnsureNodeInput, master_key: bytes) -> dict[str, str]:
    spec = arg.spec
    state = StateLabel(
        cluster_id=spec.cluster_id,
        cluster_name=spec.cluster_name,
        node=spec,
        plan=arg.plan,
        key_id=key_id(master_key),
        bootstrap=arg.bootstrap,
    )
    labels = make_labels(spec.cluster_id, Kind.NODE, spec.name, state=state)
    return {**labels, LABEL_SPEC: node_digest(spec, RENDERING)}


def _environment(spec: NodeSpec) -> dict[str, str]:
    names = {"NODE_NAME": spec.name}
    if spec.primary_address is not None:
        names |= {"PRIMARY_HOST": spec.primary_address, "PRIMARY_USER": REPLICATOR}
    if spec.repository is not None:
        names |= repository_environment(spec.cluster_id, CONF_DIR)
    if spec.tls is not Tls.OFF:
        # For what the entrypoint asks of the primary: root's home, where libpq looks for a certificate, is not its own.
        names |= {"PGSSLMODE": "require", "HOME": VOLUME_PATH}
    return names
