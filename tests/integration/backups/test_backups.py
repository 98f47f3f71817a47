"""Backups on real containers: the repository, full and incremental backups, what is kept, and the end of it all."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import docker
import pytest
from backed_up import BackedUp
from docker.errors import NotFound as Missing
from rig import Rig, until

from activities.engine.labels import read_state
from model.backups import BackupPolicy, BackupType
from model.cluster import NodePhase
from model.effects import Bootstrap, EnsureNodeInput, ExpireBackupsInput, RemoveClusterInput
from model.errors import NotYet, WrongMasterKey
from model.names import backup_container, backups_volume, repository_container

pytestmark = pytest.mark.integration


async def test_wal_is_archived_from_the_first_minute(backed_up: BackedUp) -> None:
    segment = await backed_up.archived()
    seen = await backed_up.archiving()
    assert (seen.failing_since, seen.reason, seen.waiting_bytes) == (None, None, 0)
    assert (await backed_up.contents()).archive_last == segment


async def test_repository_is_set_up_again_without_harm(backed_up: BackedUp) -> None:
    await backed_up.ensure()
    await backed_up.ensure()
    assert (await backed_up.archiving()).failing_since is None


async def test_full_and_incremental_backups(backed_up: BackedUp) -> None:
    full = await backed_up.take("full-1")
    await backed_up.run("CREATE TABLE public.more AS SELECT generate_series(1, 20000) AS n")
    incr = await backed_up.take("incr-1", BackupType.INCR)
    assert (full.type, full.prior, incr.type, incr.prior) == (BackupType.FULL, None, BackupType.INCR, full.id)
    assert incr.stored_bytes < full.stored_bytes < full.size_bytes
    assert incr.finished_at >= full.finished_at >= full.started_at
    assert full.first_wal <= full.last_wal <= incr.first_wal
    assert [each.id for each in (await backed_up.contents()).backups][-2:] == [full.id, incr.id]
    assert full.error is None


async def test_same_request_makes_one_backup(backed_up: BackedUp) -> None:
    first = await backed_up.take("once")
    assert await backed_up.take("once") == first


async def test_try_that_was_cut_off_is_gone_on_with(backed_up: BackedUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.backups.backup._is_given_up", lambda: False)
    first = asyncio.create_task(backed_up.take("cut off"))
    engine, name = backed_up.rig.docker, backup_container(backed_up.id)

    async def begun() -> bool:
        return await engine.inspect(name) is not None

    await until(begun, what="the backup's container")
    before = await engine.inspect(name)
    first.cancel()
    await asyncio.wait([first])
    assert before is not None
    made = await backed_up.take("cut off")
    assert made.request_id == "cut off"
    assert len([each for each in (await backed_up.contents()).backups if each.request_id == "cut off"]) == 1
    assert await engine.inspect(name) is None


async def test_backup_that_is_cancelled_leaves_nothing_running(backed_up: BackedUp) -> None:
    taking = asyncio.create_task(backed_up.take("cancelled"))
    engine, name = backed_up.rig.docker, backup_container(backed_up.id)

    async def runs() -> bool:
        found = await engine.inspect(name)
        return found is not None and found.running

    await until(runs, what="the backup's container")
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert await engine.inspect(name) is None
    assert (await backed_up.take("after it")).request_id == "after it"


async def test_backup_that_takes_long_goes_on_slowly(backed_up: BackedUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.backups.backup.HURRIES_S", 0)
    engine, name, processors = docker.from_env(), backup_container(backed_up.id), set[int]()
    taking = asyncio.create_task(backed_up.take("slow"))
    while not taking.done():
        with suppress(Missing):
            found = await asyncio.to_thread(engine.api.inspect_container, name)
            processors.add(found["HostConfig"]["NanoCpus"])
        await asyncio.sleep(0.05)
    assert (await taking).request_id == "slow"
    assert processors == {10**9, 10**9 // 2}


async def test_one_backup_at_a_time(backed_up: BackedUp) -> None:
    outcomes = await asyncio.gather(backed_up.take("one"), backed_up.take("two"), return_exceptions=True)
    failed = [each for each in outcomes if isinstance(each, BaseException)]
    assert len(failed) == 1
    assert isinstance(failed[0], NotYet)
    assert "Another backup" in str(failed[0])


async def test_failure_is_pgbackrests_sentence_and_the_next_try_succeeds(backed_up: BackedUp) -> None:
    nobody = backed_up.a.model_copy(update={"name": "b", "phase": NodePhase.MISSING})
    with pytest.raises(NotYet, match="Node b has no volume"):
        await backed_up.backups.take_backup(backed_up.taking("fails", primary=nobody))
    await backed_up.rig.docker.stop(backed_up.a.container)
    with pytest.raises(NotYet, match=r"could not make a backup: unable to find primary cluster"):
        await backed_up.take("fails")
    await backed_up.rig.docker.start(backed_up.a.container)
    assert (await backed_up.take("fails")).request_id == "fails"


async def test_expiry_keeps_what_the_policy_promises(backed_up: BackedUp) -> None:
    for number in range(3):
        await backed_up.take(f"expiry-{number}")
    fulls = [each for each in (await backed_up.contents()).backups if each.type is BackupType.FULL]
    policy, now = BackupPolicy(keep_full=2, keep_days=7), datetime.now(UTC)

    async def expire(at: datetime, *read: str, choosing: bool = False) -> list[str]:
        arg = ExpireBackupsInput(**dict(backed_up.ref), policy=policy, now=at, read=read, choosing=choosing)
        left = await backed_up.repositories.expire_backups(arg)
        return [each.id for each in left.backups if each.type is BackupType.FULL]

    assert await expire(now) == [each.id for each in fulls], "the window needs them all"
    # Somebody on another host reads the first one, or is about to choose one.
    assert await expire(now + timedelta(days=8), fulls[0].id) == [each.id for each in fulls]
    assert await expire(now + timedelta(days=8), choosing=True) == [each.id for each in fulls]
    assert await expire(now + timedelta(days=8)) == [each.id for each in fulls[-2:]]
    contents = await backed_up.contents()
    assert contents.archive_first == fulls[-2].first_wal, "the archive before them went too"


async def test_replica_archives_nothing_and_a_rebuilt_node_archives_on(backed_up: BackedUp) -> None:
    found = await backed_up.rig.docker.inspect(backed_up.a.container)
    assert found is not None
    await backed_up.rig.docker.stop(backed_up.a.container)
    await backed_up.rig.docker.remove(backed_up.a.container)
    label = read_state(found.labels)
    assert label is not None
    assert label.node is not None
    await backed_up.rig.nodes.ensure_node(EnsureNodeInput(spec=label.node, bootstrap=Bootstrap.KEEP))
    await backed_up.archived()
    assert (await backed_up.take("rebuilt")).error is None


async def test_archiving_that_fails_is_told_with_its_reason_and_goes_on_afterwards(backed_up: BackedUp) -> None:
    docker = backed_up.rig.docker
    there = f"/var/lib/pgbackrest/{backed_up.repository.key_id}"
    await backed_up.script(f"mv {there} {there}.away")
    try:
        await backed_up.run("SELECT pg_logical_emit_message(true, 'test', '')", "SELECT pg_switch_wal()")

        async def fails() -> bool:
            return (await backed_up.archiving()).failing_since is not None

        await until(fails, what="archiving to fail")
        seen = await backed_up.archiving()
        assert seen.waiting_bytes > 0
        assert seen.reason is not None
        assert "archive.info" in seen.reason or "missing" in seen.reason
    finally:
        await backed_up.script(f"mv {there}.away {there}")
    await backed_up.archived()
    assert (await backed_up.archiving()).failing_since is None
    assert await docker.inspect(backed_up.a.container) is not None


async def test_other_master_key_is_named(backed_up: BackedUp) -> None:
    other = backed_up.repository.model_copy(update={"key_id": "0123456789abcdef"})
    with pytest.raises(WrongMasterKey, match="0123456789abcdef"):
        await backed_up.repositories.read_repository(backed_up.ref.model_copy(update={"repository": other}))


async def test_repository_outlives_the_cluster_where_it_is_kept(backed_up: BackedUp, rig: Rig) -> None:
    before = await backed_up.contents()
    await rig.cleanup.remove_cluster(RemoveClusterInput(cluster_id=backed_up.id, keep_repository=True))
    assert await backed_up.contents() == before
    labels = {"mpg.cluster": backed_up.id}
    assert await rig.docker.list_volumes(labels) == [backups_volume(backed_up.id)]
    await backed_up.repositories.remove_repository(backed_up.ref)
    assert await rig.docker.list_volumes(labels) == []
    assert (await backed_up.contents()).backups == ()
    assert await rig.docker.list_volumes(labels) == [], "looking made none"
    leftover = [each.name for each in await rig.docker.list_containers(labels)]
    assert not [name for name in leftover if name.startswith(repository_container(backed_up.id, ""))]
