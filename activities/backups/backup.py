"""A backup is made, in a container of its own whose name is the lock; a try that was cut off is gone on with."""

import asyncio
import re

import structlog
from temporalio import activity

from activities.backups.contents import NODE, REQUEST
from activities.backups.left_behind import operation_labels
from activities.backups.pgbackrest import REQUEST_LABEL, PgBackRest, failed, script_of
from activities.backups.repository import configure_nodes, read_contents
from activities.backups.standby import PG_BOTH, backup_files, make_certificate, server_files
from activities.engine.docker_types import ContainerInfo
from activities.heartbeat import while_worker_runs
from model import effects
from model.backups import Backup
from model.base import Record
from model.cluster import Node
from model.effects import TakeBackupInput
from model.errors import AlreadyExists, NotYet
from model.names import backup_container, backup_helper_container

log = structlog.get_logger()

POLL_S = 1.0
HURRIES_S = 3.0
"""How long a backup may take a whole processor, which is enough for a small cluster's. Then it goes slowly: a low
priority alone left the database beside it no more throughput (docs/backups.md)."""
LOG_LINES = 20
_DONE = re.compile(r"(\d+(?:\.\d+)?)%\)")
"""Of a file that was copied pgBackRest says how much of all bytes is copied then."""


class BackupProgress(Record):
    """How much of a backup's bytes are copied: the detail of the activity's heartbeats."""

    percent: float


class BackupActivities:
    """The effect ``take_backup``."""

    def __init__(self, pgbackrest: PgBackRest, *, cpus: float) -> None:
        """Work through *pgbackrest*; a backup that takes long has so many processors."""
        self._pgbackrest = pgbackrest
        self._cpus = cpus
        self._docker = pgbackrest.docker

    @activity.defn(name=effects.TAKE_BACKUP.name)
    async def take_backup(self, arg: TakeBackupInput) -> Backup:
        """Make a backup and return it; the same one for the same request, however often it is asked for.

        Raises:
            NotYet: it failed, with pgBackRest's sentence, or another one is being made; nothing is left of the try.
            WrongMasterKey: the repository is encrypted with another key.
        """
        return await while_worker_runs(self._take(arg))

    async def _take(self, arg: TakeBackupInput) -> Backup:
        self._pgbackrest.keys.require(arg.repository)
        name = backup_container(arg.cluster_id)
        if (made := await self._made(arg)) is not None:
            return made
        try:
            if not await self._is_under_way(arg, name):
                # The try before may have come to its end between the two looks.
                if (made := await self._made(arg)) is not None:
                    return made
                await self._begin(arg, name)
            ended = await self._end_of(arg, name)
        except asyncio.CancelledError:
            if _is_given_up():
                await self._give_up(arg, name)
            raise
        if ended.exit_code:
            error = failed("make a backup", await self._docker.logs(name, lines=200), ended.exit_code, found=ended)
            await self._remove(arg, ended)
            raise error
        await self._remove(arg, ended)
        made = await self._made(arg)
        if made is None:
            raise NotYet("pgBackRest made a backup that is not in the repository.")
        log.info("backup made", cluster=arg.cluster_id, backup=made.id, bytes=made.size_bytes, stored=made.stored_bytes)
        return made

    async def _give_up(self, arg: TakeBackupInput, name: str) -> None:
        found = await self._docker.inspect(name)
        if found is not None and found.labels.get(REQUEST_LABEL) == arg.request_id:
            log.warning("a backup is given up", cluster=arg.cluster_id, request=arg.request_id)
            await self._remove(arg, found)

    async def _made(self, arg: TakeBackupInput) -> Backup | None:
        contents = await read_contents(self._pgbackrest, arg)
        return next((each for each in contents.backups if each.request_id == arg.request_id), None)

    async def _is_under_way(self, arg: TakeBackupInput, name: str) -> bool:
        """Tell whether an earlier try of the same request runs; what is left of one that ended is taken away.

        Raises :class:`NotYet` while another backup is made.
        """
        found = await self._docker.inspect(name)
        if found is not None and found.running and found.labels.get(REQUEST_LABEL) == arg.request_id:
            return True
        await self._pgbackrest.clear_away(arg.cluster_id, ours=arg.request_id)
        return False

    async def _begin(self, arg: TakeBackupInput, name: str) -> None:
        source = arg.replica or arg.primary
        certificate, key = make_certificate()
        await configure_nodes(self._pgbackrest, arg)
        try:
            await self._pgbackrest.make(
                arg,
                name,
                script_of(_commands(arg, source)),
                mounts=await self._pgbackrest.mounts(arg, writes=True, node=source),
                labels={**operation_labels(), REQUEST_LABEL: arg.request_id},
                pg=PG_BOTH if arg.replica else None,
                files=backup_files(certificate, key) if arg.replica else None,
            )
        except AlreadyExists:
            raise NotYet(f"Another backup of cluster {arg.cluster_name} is being made.") from None
        log.info("backup begins", cluster=arg.cluster_id, type=arg.type, source=source.name, request=arg.request_id)
        await self._docker.start(name)
        if arg.replica is not None:
            # It joins the network of the one that runs, which tries to reach it until it is there.
            helper = backup_helper_container(arg.cluster_id)
            await self._docker.remove(helper, force=True)
            files = server_files(certificate, key, arg.cluster_id)
            await self._pgbackrest.serve(arg, helper, join=name, node=arg.primary, files=files)

    async def _remove(self, arg: TakeBackupInput, backup: ContainerInfo) -> None:
        """Take away both containers of a backup; the one whose name is the lock goes last."""
        await self._docker.remove(backup_helper_container(arg.cluster_id), force=True)
        await self._docker.remove(backup.id, force=True)

    async def _end_of(self, arg: TakeBackupInput, name: str) -> ContainerInfo:
        """Return the container once it has ended. Raises :class:`NotYet` when it is gone."""
        loop = asyncio.get_running_loop()
        slow_at: float | None = loop.time() + HURRIES_S
        while True:
            if slow_at is not None and loop.time() >= slow_at:
                slow_at = None
                await self._docker.limit_cpus(name, min(self._cpus, (await self._docker.host()).cpus))
            found = await self._docker.inspect(name)
            if found is None:
                raise NotYet(f"The backup of cluster {arg.cluster_name} was ended: its container is gone.")
            if not found.running:
                return found
            done = _DONE.findall(await self._docker.logs(name, LOG_LINES))
            if done and activity.in_activity():
                activity.heartbeat(BackupProgress(percent=float(done[-1])))
            await asyncio.sleep(POLL_S)


def _commands(arg: TakeBackupInput, source: Node) -> tuple[tuple[str, ...], ...]:
    backup = (
        "backup",
        f"--type={arg.type}",
        f"--annotation={REQUEST}={arg.request_id}",
        f"--annotation={NODE}={source.name}",
        "--log-level-stderr=detail",
    )
    return (
        ("stanza-create", "--no-online"),
        (*backup, "--backup-standby=y") if arg.replica else backup,
    )


def _is_given_up() -> bool:
    """Tell whether the backup itself is not wanted any more; a worker that stops leaves it to the next one.

    A try that Temporal knows no more may be of an operation that goes on elsewhere: what of one that has ended is left
    is removed by :class:`activities.backups.left_behind.LeftBehind`.
    """
    if not activity.in_activity():
        return True
    details = activity.cancellation_details()
    return details is not None and details.cancel_requested
