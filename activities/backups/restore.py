"""Effect that fills a new cluster's volume from another one's backups, in a container that nobody can connect to.

The repository is mounted read-only, and Postgres archives nothing: the source cannot notice. The container does all of
it, from the copy to a clean stop (images/entrypoints/restore), and ends with it; killing it ends everything.
"""

import asyncio
import re

import structlog
from psycopg.sql import Composed
from temporalio import activity

from activities.backups.damage import is_for_good
from activities.backups.pgbackrest import DIRECTORY, OUTSIDE, PgBackRest, failed
from activities.backups.reading import READS_LABEL, SET_LABEL
from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerInfo, ContainerSpec, File, Mount
from activities.engine.labels import Kind, make_labels
from activities.heartbeat import while_worker_runs
from activities.nodes.files import postgresql_conf
from activities.nodes.repository_conf import repository_environment, repository_files
from activities.postgres.statements import KEEP_VERIFIERS_OUT, put_platform_role, script, set_password
from model import effects
from model.backups import RepositoryKind
from model.effects import Restored, RestoreDataInput, RestoreProgress
from model.errors import AlreadyExists, MpgError, NotYet, Refused
from model.names import (
    POOLER_USER,
    REPLICATOR,
    REPOSITORY_PATH,
    SUPERUSER,
    VOLUME_PATH,
    backups_volume,
    node_volume,
    restore_container,
)
from model.restore import RecoveryPoint
from model.secrets import scram_verifier

log = structlog.get_logger()

POLL_S = 0.3
LOG_LINES = 40
ANSWER = f"{DIRECTORY}/restored.json"
_COPIED = re.compile(r"(\d+(?:\.\d+)?)%\)")
"""Of a file that was copied pgBackRest says how much of all bytes is copied then."""
_RECOVERING = "the backup is copied; recovering."
"""What the entrypoint says between the two."""


class RestoreActivities:
    """The effect ``restore_data``."""

    def __init__(self, pgbackrest: PgBackRest) -> None:
        """Work with the engine and the secrets of *pgbackrest*."""
        self._pgbackrest = pgbackrest
        self._docker: DockerEngine = pgbackrest.docker
        self._keys = pgbackrest.keys

    @activity.defn(name=effects.RESTORE_DATA.name)
    async def restore_data(self, arg: RestoreDataInput) -> Restored:
        """Fill the volume of the node with the data of the source at the point asked for; Postgres is stopped then.

        A try that another worker began is gone on with. Only the platform's own roles have the new cluster's
        passwords; nothing else is changed.

        Raises:
            Refused: the archive does not reach to the point.
            NotYet: it failed otherwise, with pgBackRest's or Postgres's sentence.
            WrongMasterKey: the backups are encrypted with another key.
        """
        return await while_worker_runs(self._restore(arg))

    async def _restore(self, arg: RestoreDataInput) -> Restored:
        name = restore_container(arg.spec.cluster_id)
        try:
            await self._begin(arg, name)
            ended = await self._end_of(arg, name)
        except asyncio.CancelledError:
            if not _worker_stops():
                await self._docker.remove(name, force=True)
            raise
        if ended.exit_code:
            error = await self._why(name, ended)
            await self._docker.remove(name)
            raise error
        answer = await self._docker.get_file(name, ANSWER)
        await self._docker.remove(name)
        restored = Restored.model_validate_json(answer or b"{}")
        log.info("data restored", cluster=arg.spec.cluster_id, source=arg.source.cluster_id, lsn=restored.lsn)
        return restored

    async def _begin(self, arg: RestoreDataInput, name: str) -> None:
        self._keys.require(arg.source.repository)
        if not await self._pgbackrest.is_there(arg.source):
            # Mounting a volume that is gone would make an empty one.
            raise Refused(f"The backups of cluster {arg.source.cluster_id} are not there any more.")
        volume = node_volume(arg.spec.cluster_id, arg.spec.name)
        await self._docker.create_volume(volume, make_labels(arg.spec.cluster_id, Kind.NODE, arg.spec.name))
        try:
            await self._docker.create(self._container(arg, name))
        except AlreadyExists:
            return  # of an earlier try: it runs, or ended, or has to be started
        await self._docker.put_files(name, self._files(arg))
        await self._docker.start(name)
        log.info("restore begins", cluster=arg.spec.cluster_id, source=arg.source.cluster_id, **arg.point.model_dump())

    def _container(self, arg: RestoreDataInput, name: str) -> ContainerSpec:
        spec, source = arg.spec, arg.source
        on_volume = source.repository.kind is RepositoryKind.VOLUME
        mounts = [Mount(volume=node_volume(spec.cluster_id, spec.name), path=VOLUME_PATH)]
        if on_volume:
            repository = backups_volume(source.cluster_id)
            mounts.append(Mount(volume=repository, path=REPOSITORY_PATH, read_only=True))
        return ContainerSpec(
            name=name,
            image=spec.image,
            command=("restore",),
            labels={
                **make_labels(spec.cluster_id, Kind.BACKUP, name),
                READS_LABEL: source.cluster_id,
                SET_LABEL: arg.point.backup_id,
            },
            environment={
                **repository_environment(source.cluster_id, DIRECTORY),
                **_variables(arg.point),
                "RESTORE_PROCESSES": str(spec.resources.cpus),
            },
            network=None if on_volume else OUTSIDE,
            mounts=tuple(mounts),
            own=(DIRECTORY,),
            memory_mb=spec.resources.memory_mb,
            cpus=spec.resources.cpus,
            shm_mb=spec.resources.memory_mb,
        )

    def _files(self, arg: RestoreDataInput) -> dict[str, File]:
        texts = {
            "postgresql.conf": postgresql_conf(arg.spec),
            "platform.sql": platform_passwords(self._keys.master_key, arg.spec.cluster_id).as_string(None) + ";\n",
        }
        files = {f"{DIRECTORY}/{name}": File.private(text) for name, text in texts.items()}
        return files | repository_files(arg.source.repository, arg.source.cluster_id, self._keys, DIRECTORY)

    async def _end_of(self, arg: RestoreDataInput, name: str) -> ContainerInfo:
        """Return the container once it has ended. Raises :class:`NotYet` when it is gone."""
        while True:
            found = await self._docker.inspect(name)
            if found is None:
                raise NotYet("The restore was ended: its container is gone.")
            if found.started_at is None:
                await self._docker.remove(name)
                raise NotYet("The container of an earlier try was never started.")
            if not found.running:
                return found
            if activity.in_activity():
                activity.heartbeat(_progress(await self._docker.logs(name, LOG_LINES), arg.point.size_bytes))
            await asyncio.sleep(POLL_S)

    async def _why(self, name: str, ended: ContainerInfo) -> MpgError:
        error = failed("restore the backup", await self._docker.logs(name, 400), ended.exit_code or 1, found=ended)
        if is_for_good(error.message, ended.exit_code):
            return Refused(error.message)
        return error


def platform_passwords(master_key: bytes, cluster_id: str) -> Composed:
    """Return the statements that let the platform, as it is in cluster *cluster_id*, into restored data."""
    verifiers = {role: scram_verifier(master_key, cluster_id, role) for role in (SUPERUSER, REPLICATOR, POOLER_USER)}
    return script(
        KEEP_VERIFIERS_OUT,
        set_password(SUPERUSER, verifiers[SUPERUSER]),
        *(put_platform_role(role, verifiers[role], exists=True) for role in (REPLICATOR, POOLER_USER)),
    )


def _variables(point: RecoveryPoint) -> dict[str, str]:
    told = {"RESTORE_SET": point.backup_id, "RESTORE_TYPE": str(point.type)}
    if point.target:
        told["RESTORE_TARGET"] = point.target
    if point.timeline is not None:
        told["RESTORE_TIMELINE"] = str(point.timeline)
    if point.last_wal:
        told["RESTORE_LAST_WAL"] = point.last_wal
    return told


def _progress(said: str, of_bytes: int) -> RestoreProgress:
    if _RECOVERING in said or "restored log file" in said:
        return RestoreProgress(restored_bytes=of_bytes, of_bytes=of_bytes, recovering=True)
    copied = _COPIED.findall(said)
    return RestoreProgress(restored_bytes=round(float(copied[-1]) / 100 * of_bytes) if copied else 0, of_bytes=of_bytes)


def _worker_stops() -> bool:
    """Tell whether only this worker stops: the next one goes on with the container."""
    if not activity.in_activity():
        return False
    details = activity.cancellation_details()
    return details is None or not details.cancel_requested
