"""A backup that reads the replica with the primary's help; what is lost on the way, and a repository that is full."""

import asyncio
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import pytest_asyncio
from backed_up import BackedUp, make_backed_up
from rig import TEST_LABEL, Rig, new_cluster_id, until

from activities.engine.labels import Kind, make_labels
from model.backups import Backup, BackupType
from model.effects import RemoveClusterInput
from model.errors import NotYet
from model.names import LABEL_CLUSTER, LABEL_NAME, POSTGRES_ID, REPOSITORY_PATH, backup_container, backups_volume

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOM_MB = 96
JUNK = f"{REPOSITORY_PATH}/junk"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(rig: Rig) -> AsyncGenerator[BackedUp]:
    """Lend a primary and its replica, whose repository is on a disk that is soon full."""
    cluster_id = new_cluster_id()
    labels = {**TEST_LABEL, **make_labels(cluster_id, Kind.BACKUPS, "backups")}
    options = f"o=size={ROOM_MB}m,uid={POSTGRES_ID},gid={POSTGRES_ID},mode=0750"
    chosen = [part for name, value in labels.items() for part in ("--label", f"{name}={value}")]
    for each in ("type=tmpfs", "device=tmpfs", options):
        chosen += ["--opt", each]
    _docker("volume", "create", *chosen, backups_volume(cluster_id))
    try:
        made = await make_backed_up(rig, cluster_id, replica=True)
        await made.run("CREATE TABLE public.things AS SELECT generate_series(1, 300000) AS n")
        await made.ensure()
        yield made
    finally:
        await rig.cleanup.remove_cluster(RemoveClusterInput(cluster_id=cluster_id))


async def take(pair: BackedUp, request_id: str, kind: BackupType = BackupType.FULL, *, replica: bool = True) -> Backup:
    return await pair.backups.take_backup(pair.taking(request_id, kind, replica=replica))


async def left(pair: BackedUp) -> list[str]:
    """What there is of a backup that is being made."""
    found = await pair.rig.docker.list_containers({LABEL_CLUSTER: pair.id})
    return [each.name for each in found if each.labels[LABEL_NAME].startswith(backup_container(pair.id))]


async def test_files_are_read_from_the_replica(pair: BackedUp) -> None:
    full = await take(pair, "full")
    assert (full.node, full.type, full.error) == ("b", BackupType.FULL, None)
    incr = await take(pair, "incr", BackupType.INCR)
    assert (incr.node, incr.prior) == ("b", full.id)
    alone = await take(pair, "from the primary", BackupType.INCR, replica=False)
    assert (alone.node, alone.prior) == ("a", incr.id)
    assert await left(pair) == []


async def test_backup_that_is_cancelled_ends_both_containers(pair: BackedUp) -> None:
    async with copying(pair, "cancelled") as taking:
        assert len(await left(pair)) == 2
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
    assert await left(pair) == []


@pytest.mark.parametrize("node", ["a", "b"])
async def test_node_that_ends_in_the_middle_ends_the_backup(pair: BackedUp, node: str) -> None:
    """Also the replica, whose files would be there all the same: it may be made again meanwhile."""
    assert pair.b is not None
    lost = pair.a if node == "a" else pair.b
    before = len((await pair.contents()).backups)
    async with copying(pair, f"without {node}") as taking:
        await pair.rig.docker.kill(lost.container)
        await pair.rig.docker.start(lost.container)
        await until(lambda: answers(pair, lost), what=f"node {node}")
    with pytest.raises(NotYet, match="could not make a backup"):
        await taking
    assert await left(pair) == []
    assert len((await pair.contents()).backups) == before
    await until(lambda: follows(pair), what="the replica's stream")
    assert (await take(pair, f"without {node}")).node == "b"


async def test_repository_that_is_full_fails_a_backup_and_the_archive_until_there_is_room(pair: BackedUp) -> None:
    async with copying(pair, "no room") as taking:
        await fill(pair)
    with pytest.raises(NotYet, match="No space left on device"):
        await taking
    await pair.run("INSERT INTO public.things SELECT generate_series(1, 1000)")
    segment = str(await pair.ask("SELECT pg_walfile_name(pg_current_wal_lsn())"))
    await pair.run("SELECT pg_switch_wal()")

    async def fails() -> bool:
        return (await pair.archiving()).failing_since is not None

    await until(fails, timeout_s=90, what="archiving to fail")
    seen = await pair.archiving()
    assert "No space left on device" in (seen.reason or "")
    assert seen.waiting_bytes > 0
    assert await pair.ask("SELECT count(*) FROM public.things") == 301_000, "it serves"
    await pair.script(f"rm {JUNK}")
    made = await take(pair, "no room")
    assert made.node == "b"
    await pair.archived()
    seen = await pair.archiving()
    assert (seen.failing_since, seen.waiting_bytes) == (None, 0)
    assert segment < ((await pair.contents()).archive_last or "")


@asynccontextmanager
async def copying(pair: BackedUp, request_id: str) -> AsyncGenerator[asyncio.Task[Backup]]:
    """Take a backup that is held, once it copies, as long as the context lasts."""
    taking = asyncio.create_task(take(pair, request_id))
    name = backup_container(pair.id)

    async def copies() -> bool:
        assert not taking.done(), taking
        found = await pair.rig.docker.inspect(name)
        return bool(found and found.running) and "replay on the standby reached" in await pair.rig.docker.logs(name)

    try:
        await until(copies, what="the backup to copy")
        _docker("pause", name)
        try:
            yield taking
        finally:
            with suppress(subprocess.CalledProcessError):  # it was removed
                _docker("unpause", name)
    except BaseException:
        taking.cancel()
        raise


async def fill(pair: BackedUp) -> None:
    """Leave no room in the repository."""
    await pair.script(f"dd if=/dev/zero of={JUNK} bs=64k 2>/dev/null || true")


async def answers(pair: BackedUp, node: object) -> bool:
    return await _tried(lambda: pair.ask("SELECT true", node)) is True  # pyright: ignore[reportArgumentType]


async def follows(pair: BackedUp) -> bool:
    return await _tried(lambda: pair.ask("SELECT state = 'streaming' FROM pg_stat_replication")) is True


async def _tried(ask: Callable[[], Awaitable[object]]) -> object:
    try:
        return await ask()
    except Exception:
        return None


def _docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, capture_output=True)
