"""A cluster with a repository of backups, and the effects on it, called directly."""

from typing import LiteralString

from rig import Rig, make_roles, network_address, node_spec, until

from activities.backups.archive import ArchiveActivities
from activities.backups.backup import BackupActivities
from activities.backups.pgbackrest import PgBackRest
from activities.backups.repository import RepositoryActivities
from activities.engine.docker_engine import DockerEngine
from activities.nodes.repository_conf import RepositoryKeys
from activities.postgres.sql import SqlSessions
from model.backups import Backup, BackupType, Repository, RepositoryContents
from model.cluster import ClusterSpec, Network, Node
from model.effects import (
    Archiving,
    ArchivingInput,
    Bootstrap,
    CheckHostInput,
    ClusterKey,
    EnsureNodeInput,
    EnsureRepositoryInput,
    RepositoryRef,
    TakeBackupInput,
    Target,
)
from model.names import LABEL_CLUSTER, LABEL_KIND, REPOSITORY_PATH


class BackedUp:
    """One cluster, and its backups."""

    def __init__(
        self, rig: Rig, cluster_id: str, network: Network, image: str, repository: Repository, a: Node, b: Node | None
    ) -> None:
        self.rig, self.id, self.network, self.image, self.repository = rig, cluster_id, network, image, repository
        self.a, self.b = a, b
        self.pgbackrest = PgBackRest(rig.docker, rig.keys)
        self.repositories = RepositoryActivities(self.pgbackrest, rig.sql)
        self.backups = BackupActivities(self.pgbackrest, cpus=0.5)
        self.archive = ArchiveActivities(self.pgbackrest, rig.sql)

    @property
    def ref(self) -> RepositoryRef:
        return RepositoryRef(cluster_id=self.id, repository=self.repository, image=self.image)

    def taking(
        self, request_id: str, kind: BackupType = BackupType.FULL, primary: Node | None = None, *, replica: bool = False
    ) -> TakeBackupInput:
        return TakeBackupInput(
            **dict(self.ref),
            cluster_name="test",
            network=self.network,
            primary=primary or self.a,
            replica=self.b if replica else None,
            type=kind,
            request_id=request_id,
        )

    async def take(self, request_id: str, kind: BackupType = BackupType.FULL) -> Backup:
        return await self.backups.take_backup(self.taking(request_id, kind))

    async def ensure(self, primary: Node | None = None) -> None:
        await self.repositories.ensure_repository(EnsureRepositoryInput(**dict(self.ref), primary=primary or self.a))

    async def contents(self) -> RepositoryContents:
        return await self.repositories.read_repository(self.ref)

    async def archiving(self, primary: Node | None = None) -> Archiving:
        return await self.archive.read_archiving(ArchivingInput(cluster_id=self.id, primary=primary or self.a))

    async def ask(self, query: LiteralString, node: Node | None = None) -> object:
        async with self.rig.sql.use(Target.of(self.id, node or self.a)) as connection:
            row = await (await connection.execute(query)).fetchone()
        return row and row[0]

    async def run(self, *statements: LiteralString, node: Node | None = None) -> None:
        async with self.rig.sql.use(Target.of(self.id, node or self.a)) as connection:
            for statement in statements:
                await connection.execute(statement)

    async def archived(self, node: Node | None = None) -> str:
        """Have the segment that is written now archived, and return its name."""
        segment = str(await self.ask("SELECT pg_walfile_name(pg_current_wal_lsn())", node))
        await self.run("SELECT pg_logical_emit_message(true, 'test', '')", "SELECT pg_switch_wal()", node=node)

        async def met() -> bool:
            return (await self.archiving(node)).last_archived_wal == segment

        await until(met, what=f"{segment} archived")
        return segment

    async def script(self, script: str) -> None:
        """Run *script* as root in the primary's container."""
        session = await self.rig.docker.open_exec(self.a.container, ("sh",))
        try:
            await session.converse(f"{script}\necho done\n".encode(), b"done\n", 30)
        finally:
            await session.close()


class Archive:
    """The archive of a cluster of a running stack."""

    def __init__(self, docker: DockerEngine, sql: SqlSessions, keys: RepositoryKeys, spec: ClusterSpec) -> None:
        assert spec.backups is not None
        self.id, self._docker, self._sql = spec.id, docker, sql
        self._pgbackrest = PgBackRest(docker, keys)
        self._ref = RepositoryRef(cluster_id=spec.id, repository=spec.backups.repository, image=spec.image)
        self.directory = f"{REPOSITORY_PATH}/{spec.backups.repository.key_id}"

    async def switch_segments(self, primary: Node, times: int) -> None:
        """Write *times* segments."""
        async with self._sql.use(Target.of(self.id, primary), fresh=True) as connection:
            for _ in range(times):
                await connection.execute("SELECT pg_logical_emit_message(false, 'test', '')")
                await connection.execute("SELECT pg_switch_wal()")

    async def finish_segment(self, primary: Node) -> str:
        """End the segment that is written now, and return its name."""
        async with self._sql.use(Target.of(self.id, primary), fresh=True) as connection:
            row = await (await connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn())")).fetchone()
        await self.switch_segments(primary, 1)
        assert row is not None
        return str(row[0])

    async def until_whole(self, primary: Node, first: str, last: str) -> None:
        """Return when every segment from *first* to *last* is in the archive, on one timeline or another."""
        lacking: list[int] = []

        async def met() -> bool:
            lacking[:] = sorted(_numbers(first, last) - {_number(name) for name in await self._names()})
            return not lacking

        try:
            await until(met, timeout_s=60, what=f"the archive from {first} to {last} whole")
        except AssertionError as error:
            archiving = ArchiveActivities(self._pgbackrest, self._sql)
            seen = await archiving.read_archiving(ArchivingInput(cluster_id=self.id, primary=primary))
            raise AssertionError(f"{error}: lacks {lacking}; {seen}") from None

    async def until_failing(self, primary: Node, why: str) -> None:
        """Return when archiving is told to fail for this reason."""
        archiving = ArchiveActivities(self._pgbackrest, self._sql)

        async def met() -> bool:
            seen = await archiving.read_archiving(ArchivingInput(cluster_id=self.id, primary=primary))
            return seen.failing_since is not None and why in (seen.reason or "")

        await until(met, timeout_s=120, what=f"archiving to fail because {why}")

    async def _names(self) -> list[str]:
        said = await self._pgbackrest.ask(self._ref, "list", ("repo-ls", "--recurse", f"archive/{self.id}"))
        names = [path.rpartition("/")[2].partition("-")[0] for path in said.split()]
        return [name for name in names if len(name) == 24]

    async def running_container(self) -> str:
        """Return a node's container that runs."""
        nodes = await self._docker.list_containers({LABEL_CLUSTER: self.id, LABEL_KIND: "node"})
        return next(each.name for each in nodes if each.running)

    async def script(self, container: str, script: str) -> None:
        """Run *script* as root in the container."""
        session = await self._docker.open_exec(container, ("sh", "-e"))
        try:
            await session.converse(f"{script}\necho done\n".encode(), b"done\n", 10)
        finally:
            await session.close()


def _number(segment: str) -> int:
    """Return a segment's place among those of 4 MB, whatever its timeline."""
    return int(segment[8:16], 16) * 1024 + int(segment[16:24], 16)


def _numbers(first: str, last: str) -> set[int]:
    return set(range(_number(first), _number(last) + 1))


async def make_backed_up(rig: Rig, cluster_id: str, *, replica: bool = False) -> BackedUp:
    """Make a primary that archives, and its replica if it is asked for, without a way in."""
    check = await rig.hosts.check_host(CheckHostInput(plan="basic", pg_major_version=17))
    assert check.backups is not None
    network = await rig.endpoints.create_network(ClusterKey(cluster_id=cluster_id))
    repository = check.backups.repository
    spec = node_spec(cluster_id, network, check.image).model_copy(update={"repository": repository})
    a = await rig.nodes.ensure_node(EnsureNodeInput(spec=spec, bootstrap=Bootstrap.INIT))
    await make_roles(rig, Target.of(cluster_id, a))
    b = None
    if replica:
        follower = node_spec(cluster_id, network, check.image, "b", follows=network_address(network, 3))
        follower = follower.model_copy(update={"repository": repository})
        b = await rig.nodes.ensure_node(EnsureNodeInput(spec=follower, bootstrap=Bootstrap.CLONE))
    return BackedUp(rig, cluster_id, network, check.image, repository, a, b)
