"""pgBackRest in containers of its own: beside a cluster's nodes, or without them once the cluster is gone.

A process in a node's container would outlive who started it, with its lock. A container is found again by its name and
ended for certain.
"""

import contextlib
import secrets
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from activities.backups.sentences import sentence
from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerInfo, ContainerSpec, File, Mount
from activities.engine.labels import Kind, cluster_labels, make_labels
from activities.nodes.container import make_backups_volume
from activities.nodes.repository_conf import RepositoryKeys, repository_environment, repository_files
from model.backups import RepositoryKind
from model.cluster import Node
from model.effects import RepositoryRef
from model.errors import AlreadyExists, MpgError, NotYet
from model.names import (
    LABEL_KIND,
    LABEL_NAME,
    REPOSITORY_PATH,
    SUPERUSER,
    VOLUME_PATH,
    backup_container,
    backup_helper_container,
    backups_volume,
    node_volume,
    repository_container,
)

DIRECTORY = "/etc/mpg"
"""Where its configuration is in these containers."""
ANSWER_FILE = "/tmp/answer"  # noqa: S108  in a container that nobody else is in
MEMORY_MB = 512
CPUS = 1
CPU_SHARES = 128
"""Of a busy processor it gets an eighth of what a node gets."""
COMMAND_S = 120.0
LEFT_AFTER = timedelta(hours=1)
"""A container that reads or removes for longer was left behind."""
BEGINS_WITHIN = timedelta(minutes=1)
"""How long a container that was made may take to be started; later whoever made it is gone."""
OUTSIDE = "bridge"
"""Docker's own network: the way to a store. No cluster's, whose addresses are given out by us."""
REQUEST_LABEL = "mpg.request"
"""On the container of a backup: which request it is made for."""
Command = Sequence[str]


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
        return await self._run(ref, task, commands, writes=False, wait_s=wait_s)

    async def work(self, ref: RepositoryRef, task: str, *commands: Command, node: Node | None = None) -> str:
        """The same where the repository is changed, with the volume of *node* at hand if it is given."""
        return await self._run(ref, task, commands, writes=True, node=node)

    async def _run(
        self,
        ref: RepositoryRef,
        task: str,
        commands: Sequence[Command],
        *,
        writes: bool,
        node: Node | None = None,
        wait_s: float = COMMAND_S,
    ) -> str:
        await self._sweep(ref.cluster_id)
        name = repository_container(ref.cluster_id, secrets.token_hex(4))
        try:
            await self.make(ref, name, commands, mounts=await self.mounts(ref, writes=writes, node=node))
            return await self._answer(name, task, wait_s)
        finally:
            await self._remove(name)

    async def alone(self, ref: RepositoryRef, task: str, *commands: Command) -> str:
        """As :meth:`work`, while no backup is made: pgBackRest's own lock does not reach from container to container.

        Raises :class:`NotYet` as well while one is.
        """
        self.keys.require(ref.repository)
        name = backup_container(ref.cluster_id)
        try:
            await self.make(ref, name, commands, mounts=await self.mounts(ref, writes=True))
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
        """Return the repository's volume, if it has one, and the *node*'s, which is never written."""
        mounts: list[Mount] = []
        if ref.repository.kind is RepositoryKind.VOLUME:
            made = await make_backups_volume(self.docker, ref.cluster_id)
            mounts.append(made.model_copy(update={"path": REPOSITORY_PATH, "read_only": not writes}))
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
        commands: Sequence[Command],
        *,
        mounts: tuple[Mount, ...],
        labels: Mapping[str, str] | None = None,
        pg: dict[str, str] | None = None,
        files: Mapping[str, File] | None = None,
    ) -> None:
        """Make a container that runs *commands* of pgBackRest, not started. Raises :class:`AlreadyExists`.

        *pg* has the options of its nodes, where it is not one whose volume is mounted; *files* are put beside.
        """
        lines = ["set -e", f"exec >{ANSWER_FILE}", *(shlex.join(["pgbackrest", *each]) for each in commands)]
        spec = ContainerSpec(
            name=name,
            image=ref.image,
            command=("sh", "-c", "\n".join(lines)),
            labels={**make_labels(ref.cluster_id, Kind.BACKUP, name), **(labels or {})},
            environment=repository_environment(ref.cluster_id, DIRECTORY),
            network=None if ref.repository.kind is RepositoryKind.VOLUME else OUTSIDE,
            mounts=mounts,
            memory_mb=MEMORY_MB,
            cpus=CPUS,
            cpu_shares=CPU_SHARES,
            user=SUPERUSER,
        )
        await self.docker.create(spec)
        conf = repository_files(ref.repository, ref.cluster_id, self.keys, DIRECTORY, pg)
        await self.docker.put_files(name, {**conf, **(files or {})})

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
            memory_mb=MEMORY_MB,
            cpus=CPUS,
            cpu_shares=CPU_SHARES,
            user=SUPERUSER,
        )
        await self.docker.create(spec)
        await self.docker.put_files(name, files)
        await self.docker.start(name)

    async def _sweep(self, cluster_id: str) -> None:
        """Remove containers of this kind that a lost worker left; those that have just been made are somebody's."""
        ours = repository_container(cluster_id, "")
        bound = datetime.now(UTC) - LEFT_AFTER
        for each in await self.docker.list_containers({**cluster_labels(cluster_id), LABEL_KIND: Kind.BACKUP}):
            if each.labels.get(LABEL_NAME, "").startswith(ours) and each.created_at < bound:
                await self.docker.remove(each.id, force=True)


def failed(task: str, log: str, code: int, *, found: ContainerInfo | None = None) -> NotYet:
    """Return the error of a run that ended with *code*, with pgBackRest's own sentence from its *log*."""
    if found is not None and found.oom_killed:
        why = "it ran out of memory"
    else:
        why = sentence(log) or f"it was ended (exit code {code})"
    return NotYet(f"pgBackRest could not {task}: {why}.", remedy="docs/repository.md says more.")
