"""Drills of backups, in real containers: what is whole is proven, what is damaged is not, and nothing is left."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping

import pytest
import pytest_asyncio
from backed_up import BackedUp, make_backed_up
from disturbed import make_small_volume
from rig import Rig, new_cluster_id, until

from activities.backups.contents import INFO, read_annotation
from activities.backups.drill import DrillActivities
from activities.backups.reading import backups_being_read
from activities.backups.sampling import SamplingActivities
from activities.engine.docker_types import ContainerSpec, Mount
from activities.engine.labels import Kind, cluster_labels, make_labels
from model.backups import Backup
from model.effects import DrillInput, DrillReport, RemoveClusterInput, SampleRowsInput, Target
from model.errors import NotYet
from model.names import LABEL_KIND, REPOSITORY_PATH, backups_volume, drill_container
from model.row_samples import ANNOTATION, Sample

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

SMALL_MB = 16
"""A disk that no backup fits on."""


class Drills:
    """One cluster whose backups are proven."""

    def __init__(self, source: BackedUp) -> None:
        self.source, self.docker = source, source.rig.docker
        self.drill = DrillActivities(source.pgbackrest, memory_mb=512)
        self.sampling = SamplingActivities(source.pgbackrest, source.rig.sql)

    async def take(self, request_id: str) -> Backup:
        backup = await self.source.take(request_id)
        await self.sampling.sample_rows(
            SampleRowsInput(**dict(self.source.ref), primary=self.source.a, backup_id=backup.id)
        )
        return backup

    def asked(self, backup: Backup, *, to_end: bool = False, request_id: str = "drill") -> DrillInput:
        return DrillInput(
            **dict(self.source.ref),
            cluster_name="test",
            backup_id=backup.id,
            size_bytes=backup.size_bytes,
            to_end=to_end,
            request_id=request_id,
        )

    async def prove(self, backup: Backup, *, to_end: bool = False) -> DrillReport:
        # Of the same request the try before would be gone on with.
        request_id = secrets.token_hex(4)
        report = await self.drill.drill_backup(self.asked(backup, to_end=to_end, request_id=request_id))
        assert await self.left() == []
        return report

    async def left(self) -> list[str]:
        """What there is of drills: containers and volumes."""
        labels = {**cluster_labels(self.source.id), LABEL_KIND: Kind.DRILL}
        containers = [each.name for each in await self.docker.list_containers(labels)]
        return containers + list(await self.docker.list_volumes(labels))

    async def sample(self, backup: Backup) -> Sample:
        answer = await self.source.pgbackrest.ask(self.source.ref, "read", INFO)
        text = read_annotation(answer, backup.id, ANNOTATION)
        assert text is not None
        return Sample.decode(text)

    async def in_repository(self, command: str) -> str:
        """Run a shell *command* as root, with the repository at hand."""
        name = f"{drill_container(self.source.id)}-test"
        spec = ContainerSpec(
            name=name,
            image=self.source.image,
            command=("bash", "-euc", command),
            labels=make_labels(self.source.id, Kind.BACKUP, name),
            mounts=(Mount(volume=backups_volume(self.source.id), path=REPOSITORY_PATH),),
        )
        await self.docker.create(spec)
        await self.docker.start(name)
        code, said = await self.docker.wait(name, 30), await self.docker.logs(name, 100)
        await self.docker.remove(name)
        assert code == 0, said
        return said


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def drills(rig: Rig) -> AsyncGenerator[Drills]:
    """Lend a cluster with a table, an index, and no backup."""
    made = new_cluster_id()
    try:
        source = await make_backed_up(rig, made)
        await source.run(
            "CREATE TABLE public.orders (n serial PRIMARY KEY, at timestamptz, note text)",
            "CREATE TABLE public.kept (n int PRIMARY KEY, note text)",
            "INSERT INTO public.kept SELECT n, repeat('x', 100) FROM generate_series(1, 5000) AS n",
            "INSERT INTO public.orders (at, note) SELECT now(), 'first' FROM generate_series(1, 1000)",
            "CREATE TABLE public.emptied (n int)",
            "CREATE TABLE public.altered AS SELECT generate_series(1, 2000) AS n",
        )
        yield Drills(source)
    finally:
        await rig.cleanup.remove_cluster(RemoveClusterInput(cluster_id=made))


WRITES = (
    "INSERT INTO public.orders (at, note) SELECT clock_timestamp(), 'more' FROM generate_series(1, 20)",
    "UPDATE public.orders SET note = note || '.' WHERE n % 7 = (random() * 6)::int",
    "DELETE FROM public.orders WHERE n % 11 = (random() * 10)::int",
    "TRUNCATE public.emptied",
    "INSERT INTO public.emptied SELECT generate_series(1, 300)",
    "ALTER TABLE public.altered ALTER n TYPE bigint",
    "ALTER TABLE public.altered ALTER n TYPE int",
)


async def _write(drills: Drills, stop: asyncio.Event) -> None:
    """Change rows and tables in every way there is, as often as it goes."""
    source = drills.source
    async with await source.rig.sql.open(Target.of(source.id, source.a)) as connection:
        while not stop.is_set():
            for statement in WRITES:
                await connection.execute(statement.encode())


async def test_backup_of_a_busy_cluster_is_proven_to_the_end_of_its_archive(drills: Drills) -> None:
    stop = asyncio.Event()
    writing = asyncio.create_task(_write(drills, stop))
    try:
        backup = await drills.take("busy")
        report = await drills.prove(backup, to_end=True)
    finally:
        stop.set()
        await writing
    sampled = await drills.sample(backup)
    assert "kept" in {each.name for each in sampled.tables}
    assert report.fault is None
    assert report.compared == len(sampled.tables)
    assert (report.restored_bytes or 0) > 1_000_000
    assert None not in (report.copied_s, report.recovered_s, report.archive_s)
    # amcheck was needed in the copy alone.
    assert await drills.source.ask("SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'") == 0


async def test_drill_that_is_killed_or_meets_a_full_disk_leaves_nothing_and_the_next_one_proves(
    drills: Drills, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup, name = await drills.take("disturbed"), drill_container(drills.source.id)

    async def small(volume: str, labels: Mapping[str, str]) -> None:
        make_small_volume(volume, labels, SMALL_MB)

    with monkeypatch.context() as patched:
        patched.setattr(drills.docker, "create_volume", small)
        with pytest.raises(NotYet, match="unable to write"):
            await drills.prove(backup)
    assert await drills.left() == []
    drilling = asyncio.create_task(drills.drill.drill_backup(drills.asked(backup, request_id="killed")))

    async def runs() -> bool:
        found = await drills.docker.inspect(name)
        return found is not None and found.running

    await until(runs, what="the container of the drill")
    await drills.docker.kill(name)
    with pytest.raises(NotYet, match="could not restore the backup: "):
        await drilling
    assert await drills.left() == []
    assert (await drills.prove(backup)).fault is None


async def test_rows_that_are_not_as_they_were_sampled_are_a_fault(drills: Drills) -> None:
    backup = (await drills.source.contents()).backups[-1]
    sample = await drills.sample(backup)
    other = sample.model_copy(
        update={"tables": tuple(each.model_copy(update={"digest": "0" * 64}) for each in sample.tables)}
    )
    annotate = ("annotate", f"--set={backup.id}", f"--annotation={ANNOTATION}={other.encode()}")
    await drills.source.pgbackrest.alone(drills.source.ref, "annotate", annotate)
    report = await drills.prove(backup)
    assert report.fault is not None
    assert "does not have the rows that were sampled" in report.fault


async def test_drill_that_is_cancelled_leaves_nothing_and_its_backup_was_kept_until_then(drills: Drills) -> None:
    backup = (await drills.source.contents()).backups[-1]
    drilling = asyncio.create_task(drills.drill.drill_backup(drills.asked(backup)))
    name = drill_container(drills.source.id)

    async def runs() -> bool:
        found = await drills.docker.inspect(name)
        return found is not None and found.running

    await until(runs, what="the container of the drill")
    assert await backups_being_read(drills.docker, drills.source.id) == {backup.id}
    found = await drills.docker.inspect(name)
    assert found is not None
    assert set(found.addresses) == {"none"}
    drilling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await drilling
    assert await drills.left() == []
    assert await backups_being_read(drills.docker, drills.source.id) == frozenset()


async def test_index_that_lacks_a_row_is_a_fault(drills: Drills) -> None:
    """An index over a function that says it never changes, and does: its entries are not those of the table."""
    await drills.source.run(
        "CREATE FUNCTION public.twisted(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'",
        "CREATE INDEX twisted ON public.kept (public.twisted(n))",
        "CREATE OR REPLACE FUNCTION public.twisted(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1'",
    )
    report = await drills.prove(await drills.source.take("twisted"))
    await drills.source.run("DROP INDEX public.twisted")
    assert report.fault is not None
    assert 'index "twisted"' in report.fault
    assert report.compared is None


async def test_backup_with_flipped_bytes_is_a_fault(drills: Drills) -> None:
    backup = await drills.source.take("flipped")
    await drills.in_repository(
        f"file=$(find {REPOSITORY_PATH} -path '*/backup/*{backup.id}/*' -type f -printf '%s %p\\n' "
        "| sort -n | tail -n 1 | cut -d' ' -f2-); size=$(stat -c %s \"$file\"); "
        'head -c 64 /dev/urandom | dd of="$file" bs=1 seek=$((size / 2)) conv=notrunc status=none'
    )
    report = await drills.prove(backup)
    assert report.fault is not None
    assert report.fault.startswith("pgBackRest could not restore the backup")
