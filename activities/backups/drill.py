"""Effect that proves a backup: it is restored to a volume that is thrown away, in a container that nobody can reach.

The repository is mounted read-only, and Postgres archives nothing: the cluster cannot notice. The container does all of
it (images/entrypoints/drill); its name is the lock. It and its volume are removed whatever comes of it; what a worker
that died has left the next try goes on with, and what nobody asks for any more activities/backups/left_behind finds.
"""

import asyncio
import json
from collections.abc import Mapping

import structlog
from temporalio import activity

from activities.backups.comparing import comparison
from activities.backups.contents import INFO, parse_contents, read_annotation
from activities.backups.damage import is_for_good
from activities.backups.left_behind import operation_labels
from activities.backups.pgbackrest import CPU_SHARES, DIRECTORY, OUTSIDE, REQUEST_LABEL, PgBackRest, failed
from activities.backups.reading import READS_LABEL, SET_LABEL
from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerInfo, ContainerSpec, File, Mount
from activities.engine.hosts import free_bytes
from activities.engine.labels import Kind, make_labels
from activities.heartbeat import while_worker_runs
from activities.nodes.repository_conf import repository_environment, repository_files
from model import effects
from model.backups import RepositoryContents, RepositoryKind
from model.base import Record
from model.effects import DrillInput, DrillReport
from model.errors import AlreadyExists, HostFull, NotYet
from model.names import REPOSITORY_PATH, VOLUME_PATH, backups_volume, drill_container
from model.plans import Resources
from model.restore import RecoveryType
from model.row_samples import ANNOTATION, Sample
from model.storage import GB
from model.tuning import postgres_settings

log = structlog.get_logger()

POLL_S = 0.5
LEAST_FREE_BYTES = 2 * GB
"""A drill is ended before less is left for the clusters."""
ANSWER = f"{DIRECTORY}/drilled"
IO_WEIGHT = 10
"""Of the disk it gets the least that the engine can give, where the kernel shares the disk by weight at all."""


class DrillProgress(Record):
    """What a drill does now: the detail of its heartbeats."""

    doing: str


class DrillActivities:
    """The effect ``drill_backup``."""

    def __init__(self, pgbackrest: PgBackRest, *, memory_mb: int) -> None:
        """Work with the engine and the secrets of *pgbackrest*; the container gets *memory_mb* MB."""
        self._pgbackrest = pgbackrest
        self._docker: DockerEngine = pgbackrest.docker
        self._resources = Resources(cpus=1, memory_mb=memory_mb)

    @activity.defn(name=effects.DRILL_BACKUP.name)
    async def drill_backup(self, arg: DrillInput) -> DrillReport:
        """Restore a backup, read everything in it, and report. A backup that is not as it should be is an answer.

        Raises:
            NotYet: it could not be found out, with pgBackRest's or Postgres's sentence.
            WrongMasterKey: the backups are encrypted with another key.
        """
        return await while_worker_runs(self._drill(arg))

    async def _drill(self, arg: DrillInput) -> DrillReport:
        self._pgbackrest.keys.require(arg.repository)
        name = drill_container(arg.cluster_id)
        try:
            answer = await self._pgbackrest.ask(arg, "read the repository", INFO)
            text = read_annotation(answer, arg.backup_id, ANNOTATION)
            sample = None if text is None else Sample.decode(text)
            if not await self._is_under_way(arg, name):
                require_room(free_bytes(await self._docker.host()), arg.size_bytes)
                await self._begin(arg, name, sample, _last_wal(arg, parse_contents(answer)))
            ended = await self._end_of(arg, name)
            report = await self._report(name, ended, sample)
        except asyncio.CancelledError:
            if _is_given_up():
                await self._give_up(arg, name)
            raise
        except Exception:
            await self._give_up(arg, name)
            raise
        await self._remove(name)
        log.info("drill ended", cluster=arg.cluster_id, backup=arg.backup_id, **report.model_dump(exclude_none=True))
        return report

    async def _is_under_way(self, arg: DrillInput, name: str) -> bool:
        """Tell whether an earlier try of the same request is there; what is left of another one is taken away."""
        found = await self._docker.inspect(name)
        if found is not None and found.labels.get(REQUEST_LABEL) == arg.request_id and found.started_at is not None:
            return True
        await self._remove(name)
        return False

    async def _begin(self, arg: DrillInput, name: str, sample: Sample | None, last_wal: str | None) -> None:
        await self._docker.create_volume(name, make_labels(arg.cluster_id, Kind.DRILL, name))
        try:
            await self._docker.create(self._container(arg, name, variables(arg, sample, last_wal)))
        except AlreadyExists:
            raise NotYet(f"Another drill of cluster {arg.cluster_name} is under way.") from None
        await self._docker.put_files(name, self._files(arg, sample))
        await self._docker.start(name)
        log.info("drill begins", cluster=arg.cluster_id, backup=arg.backup_id, sampled=sample and len(sample.tables))

    def _container(self, arg: DrillInput, name: str, variables: Mapping[str, str]) -> ContainerSpec:
        on_volume = arg.repository.kind is RepositoryKind.VOLUME
        mounts = [Mount(volume=name, path=VOLUME_PATH)]
        if on_volume:
            mounts.append(Mount(volume=backups_volume(arg.cluster_id), path=REPOSITORY_PATH, read_only=True))
        return ContainerSpec(
            name=name,
            image=arg.image,
            command=("drill",),
            labels={
                **make_labels(arg.cluster_id, Kind.DRILL, name),
                **operation_labels(),
                REQUEST_LABEL: arg.request_id,
                READS_LABEL: arg.cluster_id,
                SET_LABEL: arg.backup_id,
            },
            environment={**repository_environment(arg.cluster_id, DIRECTORY), **variables},
            network=None if on_volume else OUTSIDE,
            mounts=tuple(mounts),
            own=(DIRECTORY,),
            memory_mb=self._resources.memory_mb,
            cpus=self._resources.cpus,
            shm_mb=self._resources.memory_mb,
            cpu_shares=CPU_SHARES,
            io_weight=IO_WEIGHT,
        )

    def _files(self, arg: DrillInput, sample: Sample | None) -> dict[str, File]:
        settings = postgres_settings(self._resources)
        texts = {
            "postgresql.conf": "".join(f"{name} = '{value}'\n" for name, value in settings.items()),
            "compare.sql": comparison(sample) if sample else "",
        }
        files = {f"{DIRECTORY}/{name}": File.private(text) for name, text in texts.items()}
        return files | repository_files(arg.repository, arg.cluster_id, self._pgbackrest.keys, DIRECTORY)

    async def _end_of(self, arg: DrillInput, name: str) -> ContainerInfo:
        """Return the container once it has ended.

        Raises :class:`NotYet` when it is gone, and :class:`HostFull` before it fills the disk that all clusters are on.
        """
        host = await self._docker.host()
        while True:
            found = await self._docker.inspect(name)
            if found is None or found.labels.get(REQUEST_LABEL) != arg.request_id:
                raise NotYet("The drill was ended: its container is gone.")
            if not found.running:
                return found
            require_room(free_bytes(host))
            if activity.in_activity():
                activity.heartbeat(DrillProgress(doing=_last_said(await self._docker.logs(name, 40))))
            await asyncio.sleep(POLL_S)

    async def _report(self, name: str, ended: ContainerInfo, sample: Sample | None) -> DrillReport:
        answer = (await self._docker.get_file(name, ANSWER) or b"").decode()
        report = parse_report(answer).model_copy(update={"compared": sample and len(sample.tables)})
        if not ended.exit_code:
            return report
        error = failed("restore the backup", await self._docker.logs(name, 400), ended.exit_code, found=ended)
        if is_for_good(error.message, ended.exit_code):
            return report.model_copy(update={"fault": error.message})
        raise error

    async def _give_up(self, arg: DrillInput, name: str) -> None:
        """Take away what is this request's. Another one may have begun since, under the same name."""
        found = await self._docker.inspect(name)
        if found is None or found.labels.get(REQUEST_LABEL) == arg.request_id:
            await self._remove(name)

    async def _remove(self, name: str) -> None:
        """Take the container and its volume away; what is gone already is no error."""
        await self._docker.remove(name, force=True)
        await self._docker.remove_volume(name)


def require_room(free: int | None, restored_bytes: int = 0) -> None:
    """See that the disk has *free* bytes enough to restore so many; None: that is not known here.

    Twice as many, for what is replayed and grows, and :data:`LEAST_FREE_BYTES`. Raises :class:`HostFull`.
    """
    wanted = LEAST_FREE_BYTES + 2 * restored_bytes
    if free is not None and free < wanted:
        raise HostFull(
            f"The disk of the Docker engine has {free / GB:.1f} GB free, and a drill leaves it {wanted / GB:.1f} GB.",
            remedy="Free space on it, then verify the backup again.",
        )


def parse_report(answer: str) -> DrillReport:
    """Return what the entrypoint's lines of NAME=VALUE say."""
    said = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
    if "bytes" in said:
        said["restored_bytes"] = said.pop("bytes")
    return DrillReport.model_validate_json(json.dumps(said), strict=False)


def _last_wal(arg: DrillInput, contents: RepositoryContents) -> str | None:
    """Return the segment to which the archive is replayed: None where the backup itself ends there, or that is all."""
    backup = next((each for each in contents.backups if each.id == arg.backup_id), None)
    last = contents.archive_last
    # The timeline is no part of the order.
    later = backup is not None and last is not None and last[8:] > backup.last_wal[8:]
    return last if arg.to_end and later else None


def variables(arg: DrillInput, sample: Sample | None, last_wal: str | None) -> dict[str, str]:
    """Return what the entrypoint is told: restore a backup, to where its rows were sampled if they were."""
    told = {"RESTORE_SET": arg.backup_id, "RESTORE_TYPE": str(RecoveryType.IMMEDIATE)}
    if arg.timeline is not None:
        told["RESTORE_TIMELINE"] = str(arg.timeline)
    if sample is not None:
        told["RESTORE_TYPE"] = str(RecoveryType.LSN)
        told["RESTORE_TARGET"] = sample.lsn
        told["RESTORE_TIMELINE"] = str(sample.timeline)
    if last_wal is not None:
        told["DRILL_LAST_WAL"] = last_wal
    return told


def _last_said(said: str) -> str:
    return next((line for line in reversed(said.splitlines()) if line.startswith("restore: ")), "").removeprefix(
        "restore: "
    )


def _is_given_up() -> bool:
    """Tell whether the drill itself is not wanted any more; a worker that stops leaves it to the next one.

    A try that Temporal knows no more may be of an operation that goes on elsewhere: what of one that has ended is left
    is removed by :class:`activities.backups.left_behind.LeftBehind`.
    """
    if not activity.in_activity():
        return True
    details = activity.cancellation_details()
    return details is not None and details.cancel_requested
