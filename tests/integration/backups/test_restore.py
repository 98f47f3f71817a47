"""Data restored from backups, in real containers: to a backup, a moment, a position, the end; and what is refused."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import LiteralString, cast

import pytest
import pytest_asyncio
from backed_up import BackedUp, make_backed_up
from disturbed import held, make_small_volume
from rig import Rig, new_cluster_id, node_spec, until

from activities.backups.archive_now import FlushActivities
from activities.backups.drill import DrillActivities
from activities.backups.restore import RestoreActivities
from activities.engine.docker_types import ContainerSpec, Mount
from activities.engine.labels import Kind, make_labels
from model.backups import Backup, Repository
from model.cluster import Node
from model.effects import (
    ArchiveNowInput,
    Bootstrap,
    ClusterKey,
    DrillInput,
    EnsureNodeInput,
    RemoveClusterInput,
    Restored,
    RestoreDataInput,
    Target,
)
from model.errors import NotYet, Refused, WrongMasterKey
from model.names import REPOSITORY_PATH, backups_volume, drill_container, node_volume, restore_container
from model.restore import RecoveryType, RestoreTarget, choose

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

WRITE: LiteralString = "INSERT INTO public.written (at) SELECT clock_timestamp()"
SMALL_MB, REPOSITORY_MB = 16, 128
"""A disk that no restore fits on, and one for the repository of all these tests that is soon filled."""
FILLER = f"{REPOSITORY_PATH}/filler"
COUNT = "SELECT count(*) FROM public.written"


class Copies:
    """Clusters that are made from one source."""

    def __init__(self, source: BackedUp, backup: Backup) -> None:
        self.source, self.backup, self.rig = source, backup, source.rig
        self.flush, self.restore = FlushActivities(source.rig.sql), RestoreActivities(source.pgbackrest)
        self._made: list[str] = []

    async def write(self, rows: int = 10) -> None:
        for _ in range(rows):
            await self.source.run(WRITE)

    async def moment(self) -> datetime:
        """A moment between what is written before and after, by the source's clock."""
        return cast(datetime, await self.source.ask("SELECT clock_timestamp()"))

    async def count(self) -> int:
        return cast(int, await self.source.ask(COUNT))

    async def archived_to(self) -> datetime:
        arg = ArchiveNowInput(cluster_id=self.source.id, primary=self.source.a, timeout_s=20)
        return (await self.flush.archive_now(arg)).at

    async def arrange(self, target: RestoreTarget) -> RestoreDataInput:
        """What is restored, and to a new cluster's volume."""
        end = await self.archived_to()
        cluster_id = new_cluster_id()
        self._made.append(cluster_id)
        network = await self.rig.endpoints.create_network(ClusterKey(cluster_id=cluster_id))
        spec = node_spec(cluster_id, network, self.source.image)
        spec = spec.model_copy(update={"repository": self.source.repository})
        point = choose(await self.source.contents(), target, end)
        return RestoreDataInput(spec=spec, source=self.source.ref, point=point)

    async def make(self, target: RestoreTarget) -> tuple[Restored, Node]:
        arg = await self.arrange(target)
        restored = await self.restore.restore_data(arg)
        node = await self.rig.nodes.ensure_node(EnsureNodeInput(spec=arg.spec, bootstrap=Bootstrap.KEEP))
        return restored, node

    async def ask(self, node: Node, query: str) -> object:
        cluster_id = self._made[-1]
        async with self.rig.sql.use(Target.of(cluster_id, node)) as connection:
            row = await (await connection.execute(query.encode())).fetchone()
        return row and row[0]

    async def clear(self) -> None:
        for cluster_id in self._made:
            await self.rig.cleanup.remove_cluster(RemoveClusterInput(cluster_id=cluster_id))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def copies(rig: Rig) -> AsyncGenerator[Copies]:
    """Lend a source with a backup and rows before and after it."""
    made = new_cluster_id()
    try:
        make_small_volume(backups_volume(made), make_labels(made, Kind.BACKUPS, "backups"), REPOSITORY_MB)
        source = await make_backed_up(rig, made)
        await source.run("CREATE TABLE public.written (n serial PRIMARY KEY, at timestamptz)")
        for _ in range(10):
            await source.run(WRITE)
        copies = Copies(source, await source.take("first"))
        await asyncio.sleep(1.1)  # pgBackRest notes the end of a backup in whole seconds
        await copies.write()
        yield copies
        await copies.clear()
    finally:
        await rig.cleanup.remove_cluster(RemoveClusterInput(cluster_id=made))


async def test_moment_between_two_commits(copies: Copies) -> None:
    await copies.write()
    before, mark = await copies.count(), await copies.moment()
    await copies.write()
    restored, node = await copies.make(RestoreTarget(pitr_time=mark))
    assert await copies.ask(node, COUNT) == before
    assert restored.last_commit_at is not None
    assert restored.last_commit_at <= mark
    assert (restored.timeline, restored.at_end) == (2, False)


async def test_latest_has_every_commit_until_now(copies: Copies) -> None:
    await copies.write()
    before = await copies.count()
    _, node = await copies.make(RestoreTarget())
    assert await copies.ask(node, COUNT) == before


async def test_backup_has_what_was_there_when_it_ended(copies: Copies) -> None:
    _, node = await copies.make(RestoreTarget(backup_id=copies.backup.id))
    assert await copies.ask(node, COUNT) == 10


async def test_position_in_wal(copies: Copies) -> None:
    before = await copies.count()
    lsn = str(await copies.source.ask("SELECT pg_current_wal_insert_lsn()"))
    await copies.write()
    _, node = await copies.make(RestoreTarget(lsn=lsn))
    assert await copies.ask(node, COUNT) == before


async def test_moment_after_the_last_commit_is_the_end_of_the_archive(copies: Copies) -> None:
    """Postgres wants a later transaction to know that it has come to a moment: a source that is gone has none."""
    await copies.write()
    before = await copies.count()
    arg = await copies.arrange(RestoreTarget())
    late = (await copies.moment() + timedelta(minutes=1)).isoformat(sep=" ")
    point = arg.point.model_copy(update={"type": RecoveryType.TIME, "target": late})
    restored = await copies.restore.restore_data(arg.model_copy(update={"point": point}))
    assert restored.at_end, "whether anybody wrote until then is not known here"
    node = await copies.rig.nodes.ensure_node(EnsureNodeInput(spec=arg.spec, bootstrap=Bootstrap.KEEP))
    assert await copies.ask(node, COUNT) == before


async def test_hole_in_the_archive_is_not_taken_for_its_end(copies: Copies) -> None:
    arg = await copies.arrange(RestoreTarget())
    assert arg.point.last_wal is not None
    beyond = f"{arg.point.last_wal[:16]}{int(arg.point.last_wal[16:], 16) + 2:08X}"
    with pytest.raises(Refused, match="the archive has a hole after segment"):
        await copies.restore.restore_data(
            arg.model_copy(update={"point": arg.point.model_copy(update={"last_wal": beyond})})
        )
    assert await copies.rig.docker.inspect(restore_container(arg.spec.cluster_id)) is None


async def test_copy_archives_nothing_to_its_source(copies: Copies) -> None:
    """Not even its history: a later restore of the source would follow the copy's timeline."""
    before = (await copies.source.contents()).archive_last
    arg = await copies.arrange(RestoreTarget())
    await copies.restore.restore_data(arg)
    volume = backups_volume(copies.source.id)
    listing = await _run(copies, volume, "find /var/lib/pgbackrest -path '*/archive/*' -name '0000000[2-9]*'")
    assert listing == ""
    last = (await copies.source.contents()).archive_last
    assert before is not None
    assert last is not None
    assert last[:8] == before[:8] == "00000001"


async def test_copy_has_passwords_of_its_own_and_waits_for_nobody(copies: Copies) -> None:
    await copies.source.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    _, node = await copies.make(RestoreTarget())
    # That it lets us in with the password of its id shows the superuser's.
    names = await copies.ask(node, "SELECT current_setting('synchronous_standby_names')")
    assert names == ""
    assert await copies.ask(node, "SELECT current_setting('archive_mode')") == "on"
    assert await copies.ask(node, "SELECT pg_is_in_recovery()") is False
    await copies.source.run("ALTER SYSTEM RESET synchronous_standby_names")


async def test_restore_that_is_cancelled_leaves_no_container(copies: Copies) -> None:
    arg = await copies.arrange(RestoreTarget())
    restoring = asyncio.create_task(copies.restore.restore_data(arg))
    name = restore_container(arg.spec.cluster_id)

    async def runs() -> bool:
        found = await copies.rig.docker.inspect(name)
        return found is not None and found.running

    await until(runs, what="the container of the restore")
    restoring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await restoring
    assert await copies.rig.docker.inspect(name) is None


async def test_try_that_is_killed_or_meets_a_full_disk_is_told_and_the_next_is_whole(copies: Copies) -> None:
    await copies.write()
    before, docker = await copies.count(), copies.rig.docker
    arg = await copies.arrange(RestoreTarget())
    name, volume = restore_container(arg.spec.cluster_id), node_volume(arg.spec.cluster_id, arg.spec.name)
    make_small_volume(volume, make_labels(arg.spec.cluster_id, Kind.NODE, arg.spec.name), SMALL_MB)
    with pytest.raises(NotYet, match="unable to write"):
        await copies.restore.restore_data(arg)
    assert await docker.inspect(name) is None
    await docker.remove_volume(volume)
    restoring = asyncio.create_task(copies.restore.restore_data(arg))
    await until(lambda: _runs(copies, name), what="the container of the restore")
    await docker.kill(name)
    with pytest.raises(NotYet, match="could not restore the backup: "):
        await restoring
    assert await docker.inspect(name) is None
    await copies.restore.restore_data(arg)
    node = await copies.rig.nodes.ensure_node(EnsureNodeInput(spec=arg.spec, bootstrap=Bootstrap.KEEP))
    assert await copies.ask(node, COUNT) == before


async def test_full_repository_in_the_middle_of_a_restore_and_a_drill_is_only_the_next_backups_trouble(
    copies: Copies,
) -> None:
    source, before = copies.source, await copies.count()
    arg = await copies.arrange(RestoreTarget())
    asked = DrillInput(
        **dict(source.ref),
        cluster_name="test",
        backup_id=copies.backup.id,
        size_bytes=copies.backup.size_bytes,
        to_end=True,
        request_id="full repository",
    )
    restoring = asyncio.create_task(copies.restore.restore_data(arg))
    drilling = asyncio.create_task(DrillActivities(source.pgbackrest, memory_mb=512).drill_backup(asked))
    names = restore_container(arg.spec.cluster_id), drill_container(source.id)
    with ExitStack() as stack:
        for name in names:
            await until(lambda name=name: _runs(copies, name), what=name)
            stack.enter_context(held(name))
        await source.script(f"cat /dev/zero > {FILLER} 2>/dev/null || true")
    try:
        assert (await drilling).fault is None
        await restoring
        with pytest.raises(NotYet, match="could not make a backup: "):
            await source.take("no room")
    finally:
        await source.script(f"rm -f {FILLER}")
    node = await copies.rig.nodes.ensure_node(EnsureNodeInput(spec=arg.spec, bootstrap=Bootstrap.KEEP))
    assert await copies.ask(node, COUNT) == before
    await source.archived()
    assert (await source.take("room again")).error is None


async def _runs(copies: Copies, container: str) -> bool:
    found = await copies.rig.docker.inspect(container)
    return found is not None and found.running


async def test_backups_of_another_master_key_are_refused(copies: Copies) -> None:
    arg = await copies.arrange(RestoreTarget())
    other = Repository(kind=copies.source.repository.kind, key_id="0" * 16)
    with pytest.raises(WrongMasterKey):
        await copies.restore.restore_data(
            arg.model_copy(update={"source": arg.source.model_copy(update={"repository": other})})
        )


async def _run(copies: Copies, volume: str, command: str) -> str:
    name = f"{volume}-look"
    spec = ContainerSpec(
        name=name,
        image=copies.source.image,
        command=("sh", "-c", command),
        labels=make_labels(copies.source.id, Kind.BACKUP, name),
        mounts=(Mount(volume=volume, path="/var/lib/pgbackrest", read_only=True),),
    )
    await copies.rig.docker.create(spec)
    await copies.rig.docker.start(name)
    assert await copies.rig.docker.wait(name, 30) == 0
    said = await copies.rig.docker.logs(name, 100)
    await copies.rig.docker.remove(name)
    return said


BOUNDED = """
set -euo pipefail
. /usr/local/bin/recovery
segment() { echo 'LOG:  restored log file "00000001000000'"$1"'" from archive'; }
prepare
for megabytes in $(seq 40); do
    yes "$(segment 0000000001)" | head --bytes=4M >> "$log" || true
    bound_log
done
segment 00000000FF >> "$log"
RESTORE_TYPE=default RESTORE_LAST_WAL=0000000100000000000000FF require_end_of_archive
! (RESTORE_TYPE=default RESTORE_LAST_WAL=000000010000000100000000 require_end_of_archive)
df --output=used --block-size=1M /tmp | tail -n 1
"""


async def test_log_of_a_long_recovery_does_not_fill_its_memory(copies: Copies) -> None:
    """It has a line for each segment, in 64 MB of memory, and its end says whether the archive was read to its end."""
    rig, source = copies.rig, copies.source
    name = f"mpg-{source.id}-bounded"
    await rig.docker.create(
        ContainerSpec(
            name=name,
            image=source.image,
            command=("bash", "-c", BOUNDED),
            labels=make_labels(source.id, Kind.BACKUP, name),
        )
    )
    await rig.docker.start(name)
    code = await rig.docker.wait(name, 60)
    said = await rig.docker.logs(name, 20)
    await rig.docker.remove(name)
    assert code == 0, said
    assert "the archive has a hole" in said
    assert int(said.splitlines()[-1]) < 16
