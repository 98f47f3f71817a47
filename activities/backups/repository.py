"""Effects on a cluster's repository: that it is there and takes WAL, what is in it, what goes, and its end."""

import structlog
from temporalio import activity

from activities.backups.contents import parse_reading, reading
from activities.backups.pgbackrest import PgBackRest
from activities.backups.reading import backups_being_read
from activities.heartbeat import heartbeating
from activities.nodes.archiving import release_archiver
from activities.nodes.files import CONF_DIR
from activities.nodes.repository_conf import repository_files
from activities.postgres.sql import SqlSessions
from model import effects
from model.backups import RepositoryContents, RepositoryKind
from model.effects import EnsureRepositoryInput, ExpireBackupsInput, Nothing, RepositoryRef, Target
from model.errors import NotYet
from model.names import NODES, backups_volume, node_container
from model.retention import fulls_to_keep

log = structlog.get_logger()

CHECK_S = 60
"""How long a segment may take into the archive, in seconds."""


class RepositoryActivities:
    """Effects on repositories."""

    def __init__(self, pgbackrest: PgBackRest, sql: SqlSessions) -> None:
        """Work through *pgbackrest*, and *sql* for the primary."""
        self._pgbackrest = pgbackrest
        self._docker = pgbackrest.docker
        self._sql = sql

    @activity.defn(name=effects.ENSURE_REPOSITORY.name)
    async def ensure_repository(self, arg: EnsureRepositoryInput) -> Nothing:
        """See that the repository is there and that WAL of the primary arrives in it.

        The nodes that there are get the configuration for it. Raises :class:`NotYet` with pgBackRest's sentence, such
        as that no segment arrived within a minute, and :class:`WrongMasterKey`.
        """
        async with heartbeating():
            await configure_nodes(self._pgbackrest, arg)
            async with self._sql.use(Target.of(arg.cluster_id, arg.primary)) as connection:
                await release_archiver(connection)
            await self._pgbackrest.work(
                arg,
                "set the repository up",
                ("stanza-create", "--no-online"),
                ("check", f"--archive-timeout={CHECK_S}"),
                node=arg.primary,
            )
        return Nothing()

    @activity.defn(name=effects.READ_REPOSITORY.name)
    async def read_repository(self, arg: RepositoryRef) -> RepositoryContents:
        """Return what is in the repository; nothing where there is none. Raises :class:`NotYet`."""
        async with heartbeating():
            return await read_contents(self._pgbackrest, arg)

    @activity.defn(name=effects.EXPIRE_BACKUPS.name)
    async def expire_backups(self, arg: ExpireBackupsInput) -> RepositoryContents:
        """Remove what the policy does not promise any more, and the archive before what is left; return what is left.

        A backup that is being restored stays, with what it needs and what is younger: the next time removes them. Who
        restores on another host is on the cluster's record; what drills read, and restores of this host, its
        containers say as well.

        Raises :class:`NotYet`, also while a backup is being made.
        """
        async with heartbeating():
            contents = await read_contents(self._pgbackrest, arg)
            read = await backups_being_read(self._docker, arg.cluster_id) | set(arg.read)
            keep = fulls_to_keep(contents, arg.policy, arg.now, read, arg.proofs)
            if not keep or arg.choosing:
                return contents
            await self._pgbackrest.alone(arg, "expire", ("expire", f"--repo1-retention-full={keep}"))
            left = await read_contents(self._pgbackrest, arg)
        gone = sorted({each.id for each in contents.backups} - {each.id for each in left.backups})
        if gone:
            log.info("backups expired", cluster=arg.cluster_id, gone=gone, left=len(left.backups))
        return left

    @activity.defn(name=effects.REMOVE_REPOSITORY.name)
    async def remove_repository(self, arg: RepositoryRef) -> Nothing:
        """Remove every backup and the archive, for good. Nothing may archive there any more.

        Raises :class:`NotYet`, also while a restore reads them.
        """
        async with heartbeating():
            if await backups_being_read(self._docker, arg.cluster_id):
                raise NotYet(f"The backups of cluster {arg.cluster_id} are being read.")
            await self._pgbackrest.end_backup(arg.cluster_id)
            if arg.repository.kind is RepositoryKind.VOLUME:
                await self._docker.remove_volume(backups_volume(arg.cluster_id))
            else:
                await self._pgbackrest.work(arg, "remove the repository", ("stop",), ("stanza-delete", "--force"))
            log.warning("a repository of backups was removed", cluster=arg.cluster_id, kind=arg.repository.kind)
        return Nothing()

    @activity.defn(name=effects.REMOVE_STORED.name)
    async def remove_stored(self, arg: RepositoryRef) -> Nothing:
        """The same of a repository in a store, from whichever host. Raises as :meth:`remove_repository`."""
        return await self.remove_repository(arg)


async def configure_nodes(pgbackrest: PgBackRest, ref: RepositoryRef) -> None:
    """Have the nodes that there are archive into this repository. Its keys may be others by now."""
    pgbackrest.keys.require(ref.repository)
    files = repository_files(ref.repository, ref.cluster_id, pgbackrest.keys, CONF_DIR)
    for name in NODES:
        container = node_container(ref.cluster_id, name)
        if await pgbackrest.docker.inspect(container) is not None:
            await pgbackrest.docker.put_files(container, files)


async def read_contents(pgbackrest: PgBackRest, ref: RepositoryRef) -> RepositoryContents:
    """See :meth:`RepositoryActivities.read_repository`."""
    if not await pgbackrest.is_there(ref):
        return RepositoryContents()
    return parse_reading(await pgbackrest.ask_script(ref, "read the repository", reading(ref.cluster_id)))
