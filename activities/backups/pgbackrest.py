"""pgBackRest in containers of its own: beside a cluster's nodes, or without them once the cluster is gone.

A process in a node's container would outlive who started it, with its lock. A container is found again by its name and
ended for certain.
"""

import contextlib
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from activities.backups.sentences import sentence
from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import CONFIG_DIR, ContainerInfo, ContainerSpec, ContainerSummary, File, Mount
from activities.engine.labels import Kind, cluster_labels, make_labels
from activities.nodes.files import UNARCHIVED_WAL
from activities.nodes.repository_conf import RepositoryKeys, repository_environment, repository_files
from model.backups import RepositoryKind
from model.cluster import Node
from model.effects import RepositoryRef
from model.errors import AlreadyExists, MpgError, NotYet
from model.names import (
    LABEL_CLUSTER,
    LABEL_KIND,
    LABEL_NAME,
    PGDATA,
    REPOSITORY_PATH,
    SUPERUSER,
    VOLUME_PATH,
    backup_container,
    backup_helper_container,
    backups_volume,
    node_volume,
    repository_container,
)

DIRECTORY = CONFIG_DIR
"""Where its configuration is in these containers."""
ANSWER_FILE = f"{DIRECTORY}/answer"
MEMORY_MB = 512
CPUS = 1
CPU_SHARES = 128
"""Of a busy processor it gets an eighth of what a node gets."""
COMMAND_S = 120.0
LEFT_AFTER = timedelta(hours=1)
"""A container that reads or removes for longer was left behind."""
ANSWER_TAKEN_WITHIN = timedelta(seconds=30)
"""How long an answer may lie there: whoever waits for it takes it at once, and the container away."""
BEGINS_WITHIN = timedelta(minutes=1)
"""How long a container that was made may take to be started; later whoever made it is gone."""
OUTSIDE = "bridge"
"""Docker's own network: the way to a store. No cluster's, whose addresses are given out by us."""
REQUEST_LABEL = "mpg.request"
"""On the container of a backup: which request it is made for."""
Command = Sequence[str]
_SEGMENT = re.compile(r"[0-9A-F]{24}")
_PUSH = """
for name in {names}; do
    for place in {places}; do
        [ "$(stat --format=%s $place/$name 2>/dev/null)" = {bytes} ] || continue
        pgbackrest archive-push $place/$name
        echo $name
        break
    done
done
"""
"""What is cut short is no segment."""


class PgBackRest:
    """Runs pgBackRest on repositories."""

    def __init__(self, docker: DockerEngine, keys: RepositoryKeys) -> None:
        """Work through *docker*, with the secrets *keys*."""
        self.docker = docker
        self.keys = keys

    async def is_there(self, ref: RepositoryRef) -> bool:
        """Tell whether there is a place for the repository: a store elsewhere is taken to be there."""
        if ref.repository.kind is not RepositoryKind.VOLUME:
            return True
        return backups_volume(ref.cluster_id) in await self.docker.list_volumes(cluster_labels(ref.cluster_id))

    async def ask(self, ref: RepositoryRef, task: str, *commands: Command, wait_s: float = COMMAND_S) -> str:
        """Run *commands* one after the other on the repository, read-only, and return what they say.

        Raises:
            WrongMasterKey: it is encrypted with another key.
            NotYet: one of them failed; the sentence is pgBackRest's.
        """
        self.keys.require(ref.repository)
        return await self._run(ref, task, script_of(commands), writes=False, wait_s=wait_s)

    async def ask_script(self, ref: RepositoryRef, task: str, script: str, node: Node | None = None) -> str:
        """The same by a shell's *script*, with the volume of *node* at hand if it is given."""
        self.keys.require(ref.repository)
        return await self._run(ref, task, script, writes=False, node=node)

    async def work(self, ref: RepositoryRef, task: str, *commands: Command, node: Node | None = None) -> str:
        """The same where the repository is changed, with the volume of *node* at hand if it is given."""
        return await self._run(ref, task, script_of(commands), writes=True, node=node)

    async def _run(
        self,
        ref: RepositoryRef,
        task: str,
        script: str,
        *,
        writes: bool,
        node: Node | None = None,
        wait_s: float = COMMAND_S,
    ) -> str:
        await self._sweep(ref.cluster_id)
        name = repository_container(ref.cluster_id, secrets.token_hex(4))
        try:
            await self.make(ref, name, script, mounts=await self.mounts(ref, writes=writes, node=node))
            return await self._answer(name, task, wait_s)
        finally:
            await self._remove(name)

    async def push(self, ref: RepositoryRef, node: Node, names: Sequence[str], segment_bytes: int) -> frozenset[str]:
        """Archive those of the segments *names* that the volume of *node* has, and return which.

        Its container need not be there; where its volume is gone it has none. Raises :class:`NotYet`.
        """
        if node_volume(ref.cluster_id, node.name) not in await self.docker.list_volumes(cluster_labels(ref.cluster_id)):
            return frozenset()
        assert all(_SEGMENT.fullmatch(name) for name in names), "names go into a script"
        places = " ".join((f"{PGDATA}/pg_wal", UNARCHIVED_WAL))
        script = _PUSH.format(names=" ".join(names), places=places, bytes=segment_bytes)
        said = await self._run(ref, f"archive what only node {node.name} has", script, writes=True, node=node)
        return frozenset(said.split()) & frozenset(names)

    async def alone(self, ref: RepositoryRef, task: str, *commands: Command) -> str:
        """As :meth:`work`, while no backup is made: pgBackRest's own lock does not reach from container to container.

        Raises :class:`NotYet` as well while one is.
        """
        self.keys.require(ref.repository)
        name = backup_container(ref.cluster_id)
        try:
            await self.make(ref, name, script_of(commands), mounts=await self.mounts(ref, writes=True))
        except AlreadyExists:
            await self.clear_away(ref.cluster_id, ours=None)
            raise NotYet(f"A backup of cluster {ref.cluster_id} is being made.") from None
        try:
            return await self._answer(name, task, COMMAND_S)
        finally:
            await self._remove(name)

    async def clear_away(self, cluster_id: str, *, ours: str | None) -> None:
        """Remove the container of a backup that has ended, or that nobody ever started: request *ours* is not begun.

        Raises :class:`NotYet` while another one runs, or is just about to.
        """
        name = backup_container(cluster_id)
        bound = datetime.now(UTC) - BEGINS_WITHIN
        for each in await self.docker.list_containers({**cluster_labels(cluster_id), LABEL_NAME: name}):
            found = await self.docker.inspect(each.id)
            if found is None:
                continue
            begins = found.started_at is None and each.created_at > bound and each.labels.get(REQUEST_LABEL) != ours
            if found.running or begins:
                raise NotYet(f"Another backup of cluster {cluster_id} is being made.")
            await self.docker.remove(backup_helper_container(cluster_id), force=True)
            await self.docker.remove(each.id)

    async def end_backup(self, cluster_id: str) -> None:
        """End the backup that is being made, if there is one."""
        for name in (backup_helper_container(cluster_id), backup_container(cluster_id)):
            await self.docker.remove(name, force=True)

    async def _answer(self, name: str, task: str, wait_s: float) -> str:
        await self.docker.start(name)
        code = await self.docker.wait(name, wait_s)
        if code:
            raise failed(task, await self.docker.logs(name, lines=200), code)
        return (await self.docker.get_file(name, ANSWER_FILE) or b"").decode()

    async def _remove(self, name: str) -> None:
        with contextlib.suppress(MpgError):
            await self.docker.remove(name, force=True)

    async def mounts(self, ref: RepositoryRef, *, writes: bool, node: Node | None = None) -> tuple[Mount, ...]:
        """Return the repository's volume, if it has one, and the *node*'s, which is never written.

        Volumes are made with nodes. Raises :class:`NotYet` where one is gone: so is its cluster then.
        """
        mounts: list[Mount] = []
        if ref.repository.kind is RepositoryKind.VOLUME:
            if not await self.is_there(ref):
                raise NotYet(f"Cluster {ref.cluster_id} has no volume with backups.")
            volume = backups_volume(ref.cluster_id)
            mounts.append(Mount(volume=volume, path=REPOSITORY_PATH, read_only=not writes))
        if node is not None:
            mounts.append(await self._volume_of(ref, node))
        return tuple(mounts)

    async def _volume_of(self, ref: RepositoryRef, node: Node) -> Mount:
        volume = node_volume(ref.cluster_id, node.name)
        # The engine would make one that nobody knows of.
        if volume not in await self.docker.list_volumes(cluster_labels(ref.cluster_id)):
            raise NotYet(f"Node {node.name} has no volume.")
        return Mount(volume=volume, path=VOLUME_PATH, read_only=True)

    async def make(
        self,
        ref: RepositoryRef,
        name: str,
        script: str,
        *,
        mounts: tuple[Mount, ...],
        labels: Mapping[str, str] | None = None,
        pg: dict[str, str] | None = None,
        files: Mapping[str, File] | None = None,
    ) -> None:
        """Make a container that runs *script*, a shell's, not started. Raises :class:`AlreadyExists`.

        *pg* has the options of its nodes, where it is not one whose volume is mounted; *files* are put beside.
        """
        spec = ContainerSpec(
            name=name,
            image=ref.image,
            command=("sh", "-c", f"set -e\nexec >{ANSWER_FILE}\n{script}"),
            labels={**make_labels(ref.cluster_id, Kind.BACKUP, name), **(labels or {})},
            environment=repository_environment(ref.cluster_id, DIRECTORY),
            network=None if ref.repository.kind is RepositoryKind.VOLUME else OUTSIDE,
            mounts=mounts,
            own=(DIRECTORY,),
            memory_mb=MEMORY_MB,
            cpus=CPUS,
            cpu_shares=CPU_SHARES,
            user=SUPERUSER,
        )
        await self.docker.create(spec)
        conf = repository_files(ref.repository, ref.cluster_id, self.keys, DIRECTORY, pg)
        # The directory is root's, and the container's command is not.
        await self.docker.put_files(name, {**conf, **(files or {}), ANSWER_FILE: File.private("")})

    async def serve(self, ref: RepositoryRef, name: str, *, join: str, node: Node, files: Mapping[str, File]) -> None:
        """Make and start a container that runs pgBackRest's server beside *node*, in the network of *join*."""
        spec = ContainerSpec(
            name=name,
            image=ref.image,
            command=("pgbackrest", "server"),
            labels=make_labels(ref.cluster_id, Kind.BACKUP, name),
            environment=repository_environment(ref.cluster_id, DIRECTORY),
            join=join,
            mounts=(await self._volume_of(ref, node),),
            own=(DIRECTORY,),
            memory_mb=MEMORY_MB,
            cpus=CPUS,
            cpu_shares=CPU_SHARES,
            user=SUPERUSER,
        )
        await self.docker.create(spec)
        await self.docker.put_files(name, files)
        await self.docker.start(name)

    async def _sweep(self, cluster_id: str) -> None:
        """Remove containers of this kind that a lost worker left."""
        for each in await self.docker.list_containers({**cluster_labels(cluster_id), LABEL_KIND: Kind.BACKUP}):
            await remove_left_command(self.docker, each)


async def remove_left_command(docker: DockerEngine, container: ContainerSummary) -> bool:
    """Remove *container* if it is a command's whose worker is lost, and tell whether it was.

    One that runs, or has just been made or ended, is somebody's.
    """
    cluster_id = container.labels.get(LABEL_CLUSTER, "")
    locks_out_backups = container.name == backup_container(cluster_id) and REQUEST_LABEL not in container.labels
    if not locks_out_backups and not container.name.startswith(repository_container(cluster_id, "")):
        return False
    found, now = await docker.inspect(container.id), datetime.now(UTC)
    if found is None or not _is_left(found, container.created_at, now):
        return False
    await docker.remove(container.id, force=True)
    return True


def _is_left(found: ContainerInfo, created_at: datetime, now: datetime) -> bool:
    if found.running:
        return created_at < now - LEFT_AFTER
    if found.ended_at is not None:
        return found.ended_at < now - ANSWER_TAKEN_WITHIN
    return created_at < now - BEGINS_WITHIN


def script_of(commands: Sequence[Command]) -> str:
    """Return the lines that run *commands* of pgBackRest one after the other."""
    return "\n".join(shlex.join(["pgbackrest", *each]) for each in commands)


def failed(task: str, log: str, code: int, *, found: ContainerInfo | None = None) -> NotYet:
    """Return the error of a run that ended with *code*, with pgBackRest's own sentence from its *log*."""
    if found is not None and found.oom_killed:
        why = "it ran out of memory"
    else:
        why = sentence(log) or f"it was ended (exit code {code})"
    return NotYet(f"pgBackRest could not {task}: {why}.", remedy="docs/repository.md says more.")
