"""A cluster with a repository of backups, and the effects on it, called directly."""

from typing import LiteralString

from rig import Rig, make_roles, network_address, node_spec, until

from activities.backups.archive import ArchiveActivities
from activities.backups.backup import BackupActivities
from activities.backups.pgbackrest import PgBackRest
from activities.backups.repository import RepositoryActivities
from model.backups import Backup, BackupType, Repository, RepositoryContents
from model.cluster import Network, Node
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


class BackedUp:
    """One cluster, and its backups."""

    def __init__(
        self, rig: Rig, cluster_id: str, network: Network, image: str, repository: Repository, a: Node, b: Node | None
    ) -> None:
        self.rig, self.id, self.network, self.image, self.repository = rig, cluster_id, network, image, repository
        self.a, self.b = a, b
        self.pgbackrest = PgBackRest(rig.docker, rig.keys)
        self.repositories = RepositoryActivities(self.pgbackrest, rig.sql)
        self.backups = BackupActivities(self.pgbackrest)
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
