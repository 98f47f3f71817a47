"""Backups of a cluster that serves: its schedules, one at a time, beside other operations, and what fails is shown."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import docker
import pytest
import pytest_asyncio
from cli_program import Mpg
from docker.errors import NotFound
from docker.models.containers import Container
from live_cluster import LiveCluster
from rig import TEST_LABEL, new_cluster_id, until
from temporalio.client import Client, ScheduleHandle, ScheduleOverlapPolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.backups.left_behind import OPERATION_LABEL, RUN_LABEL
from activities.engine.labels import Kind, make_labels
from activities.postgres.sql import SqlSessions
from model.backups import BackupRecord, BackupType
from model.cluster import ARCHIVING_FAILS, Condition
from model.errors import Refused
from model.names import (
    REPOSITORY_PATH,
    backup_container,
    backup_helper_container,
    backups_volume,
    drill_container,
)
from model.schedules import SCHEDULED, drill_schedule_id, schedule_id, timing, timing_of
from model.settings import Settings
from starter.client import MpgClient
from starter.client.connection import EndpointKind, read_master_key
from starter.client.temporal import connect

pytest_plugins = ("stack_fixtures",)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

NAME = "vault"
BOUND_S = 120.0
"""For a backup of an empty cluster, on a busy machine; and for what is told within two minutes."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def temporal(stack: Settings) -> Client:
    return await connect(stack)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(stack: Settings, engine: docker.DockerClient) -> AsyncGenerator[LiveCluster]:
    async with MpgClient.connect(stack) as mpg:
        await (await mpg.create_cluster(NAME)).result()
        yield LiveCluster(mpg, NAME, engine, SqlSessions(read_master_key(stack.master_key_file)))


async def known(cluster: LiveCluster) -> BackupRecord:
    return (await cluster.state()).status.backups


async def idle(cluster: LiveCluster) -> BackupRecord:
    """Return what is on record once no backup is being made."""

    async def met() -> bool:
        return (await known(cluster)).running is None

    await until(met, timeout_s=BOUND_S, what="the end of the backup")
    return await known(cluster)


async def begun(cluster: LiveCluster) -> str:
    """Return the id of the operation that makes a backup, once one does."""

    async def met() -> bool:
        return (await known(cluster)).running is not None

    await until(met, timeout_s=BOUND_S, what="a backup")
    running = (await known(cluster)).running
    assert running is not None
    return running.operation_id


async def schedule(cluster: LiveCluster, temporal: Client, type: BackupType) -> ScheduleHandle:
    return temporal.get_schedule_handle(schedule_id((await cluster.state()).spec.id, type))


async def test_cluster_is_backed_up_from_its_creation(cluster: LiveCluster) -> None:
    operation = await begun(cluster) if (await known(cluster)).latest() is None else None
    first = (await idle(cluster)).latest()
    assert first is not None
    assert first.type is BackupType.FULL
    assert operation is None or operation.startswith(f"backup/{NAME}/full-")
    shown = await cluster.mpg.backups(NAME)
    assert [(each.id, each.status, each.type) for each in shown] == [(first.id, "completed", BackupType.FULL)]


async def test_schedules_are_readable_and_never_paused(cluster: LiveCluster, temporal: Client) -> None:
    spec, now = (await cluster.state()).spec, datetime.now(UTC)
    assert spec.backups is not None
    policy = spec.backups.policy
    wanted = {
        schedule_id(spec.id, type): (f"Backups of {NAME}, {type}", timing(policy, type, now)) for type in SCHEDULED
    }
    wanted[drill_schedule_id(spec.id)] = (f"Drills of {NAME}", timing_of(policy.drill, now))
    for id, (said, by) in wanted.items():
        found = (await temporal.get_schedule_handle(id).describe()).schedule
        assert found.state.note == f"{said}: {by.line} (UTC)"
        assert not found.state.paused
        assert not found.policy.pause_on_failure
        assert found.policy.overlap is ScheduleOverlapPolicy.SKIP
        assert (found.spec.jitter, found.policy.catchup_window) == (by.jitter, by.catch_up)
        assert timedelta() < by.jitter < by.catch_up < by.cron.interval(now)


async def test_schedule_starts_a_backup_that_the_list_shows(cluster: LiveCluster, temporal: Client) -> None:
    await idle(cluster)
    await (await schedule(cluster, temporal, BackupType.INCR)).trigger()
    operation = await begun(cluster)
    assert operation.startswith(f"backup/{NAME}/incr-")
    made = (await idle(cluster)).latest(BackupType.INCR)
    assert made is not None
    shown = await cluster.mpg.backups(NAME)
    assert (shown[0].id, shown[0].type, shown[0].status) == (made.id, BackupType.INCR, "completed")


async def test_one_at_a_time_and_beside_other_operations(cluster: LiveCluster, temporal: Client) -> None:
    await idle(cluster)
    incr = await schedule(cluster, temporal, BackupType.INCR)
    taking = await cluster.mpg.create_backup(NAME)
    assert await begun(cluster) == taking.id
    with pytest.raises(Refused, match=taking.id):
        await cluster.mpg.create_backup(NAME)
    before = await _scheduled(cluster)
    await incr.trigger()
    await (await cluster.mpg.create_database(NAME, "beside")).result()
    result = await taking.result()
    assert result.changed

    async def left_out() -> bool:
        scheduled = await _scheduled(cluster)
        return len(scheduled) > len(before) and set(scheduled.values()) == {"done"}

    await until(left_out, timeout_s=BOUND_S, what="the scheduled one's end")
    ids = [each.type for each in await cluster.mpg.backups(NAME)]
    assert ids == [BackupType.FULL, BackupType.INCR, BackupType.FULL]


async def test_schedule_that_meets_its_own_backup_skips(cluster: LiveCluster, temporal: Client) -> None:
    await idle(cluster)
    full = await schedule(cluster, temporal, BackupType.FULL)
    await full.trigger()
    await begun(cluster)
    await full.trigger()

    async def skipped() -> bool:
        return (await full.describe()).info.num_actions_skipped_overlap == 1

    await until(skipped, timeout_s=BOUND_S, what="the overlap's skip")
    await idle(cluster)


async def _scheduled(cluster: LiveCluster) -> dict[str, str]:
    """Return the incremental backups that were scheduled, with how each stands."""
    found = await cluster.mpg.operations(NAME)
    return {each.id: each.status for each in found if each.id.startswith(f"backup/{NAME}/incr-")}


async def test_backup_gives_way_to_a_switchover_and_is_made_all_the_same(cluster: LiveCluster) -> None:
    await idle(cluster)
    taking = await cluster.mpg.create_backup(NAME)
    await cluster.until_doing(taking, "take a backup")
    await (await cluster.mpg.switchover(NAME)).result()
    assert (await taking.result()).changed
    await cluster.until_whole()


async def test_change_of_plan_ends_a_backup_which_begins_again(cluster: LiveCluster) -> None:
    """The backup is held where it reads files, so that it cannot be over before its nodes are made anew."""
    await idle(cluster)
    taking = await cluster.mpg.create_backup(NAME)
    name = backup_container((await cluster.state()).spec.id)
    await until(lambda: _copies(cluster, name), timeout_s=BOUND_S, what="the backup's beginning")
    held = (await cluster.attributes(name))["Id"]
    await cluster.freeze(name)
    await (await cluster.mpg.change_plan(NAME, "starter")).result()
    changed = datetime.now(UTC)
    await cluster.thaw(held)
    assert (await taking.result()).changed
    made = (await idle(cluster)).latest()
    assert made is not None
    # It is noted in whole seconds.
    assert made.started_at > changed - timedelta(seconds=1), "it is not the one that was held"
    await cluster.until_whole()


async def _copies(cluster: LiveCluster, container: str) -> bool:
    """Tell whether a backup has begun to read its node's files."""
    try:
        said = (await asyncio.to_thread(cluster.engine.containers.get, container)).logs()
    except NotFound:
        return False
    return b"backup start archive" in said


async def test_policy_changes_the_schedules(cluster: LiveCluster, temporal: Client) -> None:
    handle = await schedule(cluster, temporal, BackupType.INCR)
    await handle.pause()
    await (await cluster.mpg.set_backup_policy(NAME, incr="0 */6 * * *", keep_days=3)).result()
    shown = await cluster.mpg.backup_schedule(NAME)
    assert (shown.incr, shown.keep_days, shown.next_incr) == ("0 */6 * * *", 3, None)
    await handle.unpause()
    shown = await cluster.mpg.backup_schedule(NAME)
    assert shown.next_incr is not None
    assert shown.next_incr.hour % 6 == 0


async def test_schedule_of_drills_proves_the_latest_backup(cluster: LiveCluster, temporal: Client) -> None:
    await idle(cluster)
    async with await cluster.session(EndpointKind.DIRECT) as session:
        await session.execute("CREATE TABLE sampled AS SELECT generate_series(1, 100) AS n")
    await (await cluster.mpg.create_backup(NAME)).result()
    latest = (await idle(cluster)).latest()
    assert latest is not None
    schedule = temporal.get_schedule_handle(drill_schedule_id((await cluster.state()).spec.id))
    await schedule.trigger()

    async def proven() -> bool:
        return bool((await known(cluster)).proofs)

    await until(proven, timeout_s=2 * BOUND_S, what="a drill's end")
    found = await known(cluster)
    (proof,) = found.proofs
    assert (proof.backup_id, proof.fault, found.drill) == (latest.id, None, None)
    assert proof.compared
    shown = {each.id: each.proven for each in await cluster.mpg.backups(NAME)}
    assert shown[latest.id] == proof.at
    assert set(shown.values()) == {None, proof.at}
    await (await cluster.mpg.set_backup_policy(NAME, drill="off")).result()
    policy = await cluster.mpg.backup_schedule(NAME)
    assert (policy.drill, policy.next_drill) == ("", None)
    with pytest.raises(RPCError):
        await schedule.describe()


async def test_verdict_of_a_drill_is_one_document(cluster: LiveCluster, program: Mpg) -> None:
    latest = (await idle(cluster)).latest()
    assert latest is not None
    verdict = (await asyncio.to_thread(program.done, "backup", "verify", NAME, "--json")).json
    assert (verdict["status"], verdict["proven"], verdict["proof"]["backup_id"]) == ("done", True, latest.id)
    assert verdict["proof"]["recovery_seconds"] > 0
    assert verdict["proof"]["restored_bytes"] > 0
    assert verdict["proof"]["fault"] is None
    said = await asyncio.to_thread(program.refused, "backup", "schedule", NAME, "--incr", "* * * * *", code=2)
    assert "comes more often than every 15 minutes" in said


async def test_what_a_terminated_operation_left_is_removed_and_off_the_record(
    cluster: LiveCluster, temporal: Client
) -> None:
    """Long before the next backup or drill, which would be the first to meet it. Another stack's is not touched."""
    await idle(cluster)
    spec = (await cluster.state()).spec
    foreign = await asyncio.to_thread(_foreign_drill, cluster, spec.image)
    for begin, doing in (
        (lambda: cluster.mpg.create_backup(NAME), backup_container(spec.id)),
        (lambda: cluster.mpg.verify_backup(NAME), drill_container(spec.id)),
    ):
        operation = await begin()
        await until(lambda name=doing: _runs(cluster, name), timeout_s=BOUND_S, what=doing)
        await temporal.get_workflow_handle(operation.id).terminate()

        async def forgotten(names: frozenset[str] = frozenset({doing, backup_helper_container(spec.id)})) -> bool:
            found = await known(cluster)
            return (found.running, found.drill) == (None, None) and names.isdisjoint(_carriers(cluster, spec.id))

        await until(forgotten, timeout_s=BOUND_S, what=f"{operation.id} off the record, and nothing of it left")
    await asyncio.to_thread(foreign.remove)


def _foreign_drill(cluster: LiveCluster, image: str) -> Container:
    """A container of an operation that this stack's Temporal does not know; its removal fails where it is gone."""
    key = new_cluster_id()
    labels = {
        **TEST_LABEL,
        **make_labels(key, Kind.DRILL, drill_container(key)),
        OPERATION_LABEL: f"verify-backup/{NAME}/elsewhere",
        RUN_LABEL: str(uuid4()),
    }
    return cluster.engine.containers.create(image, ["true"], name=drill_container(key), labels=labels)


async def _runs(cluster: LiveCluster, container: str) -> bool:
    try:
        return (await cluster.attributes(container))["State"]["Running"]
    except NotFound:
        return False


def _carriers(cluster: LiveCluster, cluster_id: str) -> list[str]:
    """The containers and volumes of a cluster."""
    chosen: Any = {"label": f"mpg.cluster={cluster_id}"}
    containers: list[Any] = cluster.engine.containers.list(all=True, filters=chosen, ignore_removed=True)
    volumes: list[Any] = cluster.engine.volumes.list(filters=chosen)
    return [each.name for each in (*containers, *volumes)]


async def test_archiving_that_fails_is_shown_and_gone_when_it_works_again(cluster: LiveCluster) -> None:
    await idle(cluster)
    await _repository_mode(cluster, "0500")
    try:
        await _write_wal(cluster)
        condition = await _until_condition(cluster, lambda found: found is not None, _write_wal)
    finally:
        await _repository_mode(cluster, "0750")
    assert condition is not None
    # pgBackRest's own sentence.
    assert "WAL is not archived since" in condition.message
    assert "unable to" in condition.message
    await _until_condition(cluster, lambda found: found is None, _write_wal)


async def _repository_mode(cluster: LiveCluster, mode: str) -> None:
    """Let nobody, or its owner again, make files in the archive."""
    spec = (await cluster.state()).spec
    command = ["find", REPOSITORY_PATH, "-type", "d", "-exec", "chmod", mode, "{}", "+"]
    mounts = {backups_volume(spec.id): {"bind": REPOSITORY_PATH, "mode": "rw"}}
    await asyncio.to_thread(
        cluster.engine.containers.run, spec.image, command, entrypoint=[], volumes=mounts, remove=True, network="none"
    )


async def _write_wal(cluster: LiveCluster) -> None:
    primary, _ = await cluster.pair()
    await cluster.ask(primary, "SELECT pg_logical_emit_message(true, 'test', ''), pg_switch_wal()")


async def _until_condition(
    cluster: LiveCluster, wanted: Callable[[Condition | None], bool], again: Callable[[LiveCluster], Awaitable[None]]
) -> Condition | None:
    found: list[Condition | None] = []

    async def met() -> bool:
        found[:] = [(await cluster.state()).status.condition(ARCHIVING_FAILS)]
        return wanted(found[0])

    await again(cluster)
    await until(met, timeout_s=BOUND_S, what="the condition's change")
    return found[0]


async def test_destruction_ends_the_backup_and_the_schedules(cluster: LiveCluster, temporal: Client) -> None:
    await idle(cluster)
    handles = [await schedule(cluster, temporal, type) for type in SCHEDULED]
    taking = await cluster.mpg.create_backup(NAME)
    await cluster.until_doing(taking, "take a backup")
    await (await cluster.mpg.destroy_cluster(NAME)).result()
    assert (await taking.describe()).status == "cancelled"
    for handle in handles:
        with pytest.raises(RPCError) as caught:
            await handle.describe()
        assert caught.value.status is RPCStatusCode.NOT_FOUND
