"""Backups: beside other operations, one at a time, begun again with the cluster as it stands then."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import ScheduleActionExecutionStartWorkflow, ScheduleHandle, WorkflowFailureError
from temporalio.exceptions import CancelledError

import workflows.operations.backup as backup_workflow
from activities.scheduling import ScheduleActivities
from model.backups import ARCHIVE_GAP, BackupPolicy, BackupType, RepositoryContents
from model.cluster import ClusterPhase, ClusterState, Condition
from model.effects import ClusterKey, GapReport
from model.errors import NotFound, Refused
from model.facts import ConditionIs, apply
from model.operations import (
    BackupRequest,
    CreateClusterRequest,
    DestroyClusterRequest,
    OperationOutcome,
    SetBackupPolicyRequest,
    SwitchoverRequest,
)
from model.schedules import schedule_id
from tests.workflows.bench import Bench, Handle, failure, until
from tests.workflows.samples import MADE_AT, backup, ready_cluster
from tests.workflows.stubs import Call, Stubs, fails, hangs

TAKE_FULL = "take_backup full from b"


async def begin(
    bench: Bench, state: ClusterState, type: BackupType = BackupType.FULL, *, scheduled: bool = False
) -> Handle:
    request = BackupRequest(cluster_id=state.spec.id, type=type, scheduled=scheduled)
    return await bench.start(request, state.spec.name)


async def hanging(bench: Bench, stubs: Stubs, state: ClusterState, type: BackupType = BackupType.FULL) -> Handle:
    """Start a backup that lasts until the stubs are released."""
    started = asyncio.Event()
    stubs.plan(f"take_backup {type} from b", hangs(stubs, started))
    handle = await begin(bench, state, type)
    await asyncio.wait_for(started.wait(), 10)
    return handle


async def test_backup_is_on_record_with_what_the_repository_has(bench: Bench):
    state = ready_cluster()
    await bench.cluster(state)
    result = await (await begin(bench, state, BackupType.INCR)).result()
    assert result.changed
    known = (await bench.view(state.spec.id)).state.status.backups
    assert known.running is None
    assert known.failure is None
    assert {each.type for each in known.last} == {BackupType.FULL, BackupType.INCR}
    assert known.oldest == backup(BackupType.FULL)


async def test_incremental_one_without_a_full_one_is_full_and_says_so(bench: Bench, stubs: Stubs):
    stubs.answers["take_backup"] = backup(BackupType.FULL)
    state = ready_cluster()
    await bench.cluster(state)
    result = await (await begin(bench, state, BackupType.INCR)).result()
    assert "full because there was none to build on" in result.message


async def test_backup_of_which_no_rows_could_be_sampled_is_as_good(bench: Bench, stubs: Stubs):
    stubs.plan(f"sample_rows of a for {backup(BackupType.FULL).id}", fails())
    state = ready_cluster()
    await bench.cluster(state)
    assert (await (await begin(bench, state)).result()).changed
    assert (await bench.view(state.spec.id)).state.status.backups.failure is None


async def test_other_operations_run_beside_a_backup(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    taking = await hanging(bench, stubs, state)
    assert (await bench.run(SwitchoverRequest(cluster_id=state.spec.id))).changed
    running = (await bench.free(state.spec.id)).state.status.backups.running
    assert running is not None
    assert running.operation_id == taking.id
    stubs.released.set()
    await taking.result()


async def test_second_one_asked_for_is_refused_while_one_is_made(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    taking = await hanging(bench, stubs, state)
    error, detail = await failure(await begin(bench, state))
    assert (error.type, detail.began) == ("Refused", False)
    assert taking.id in error.message
    stubs.released.set()
    await taking.result()
    assert (await bench.view(state.spec.id)).state.status.backups.failure is None


async def test_scheduled_one_that_meets_one_is_left_out(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    taking = await hanging(bench, stubs, state)
    result = await (await begin(bench, state, BackupType.INCR, scheduled=True)).result()
    assert not result.changed
    assert taking.id in result.message
    stubs.released.set()
    await taking.result()


async def test_scheduled_full_one_waits_for_an_incremental_one(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    taking = await hanging(bench, stubs, state, BackupType.INCR)
    full = await begin(bench, state, BackupType.FULL, scheduled=True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(full.result())), 0.5)
    stubs.released.set()
    await taking.result()
    assert (await full.result()).changed
    assert TAKE_FULL in stubs.texts(full.id)


async def test_backup_that_was_terminated_is_in_nobodys_way(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    taking = await hanging(bench, stubs, state)
    await taking.terminate()
    stubs.released.set()
    assert (await (await begin(bench, state)).result()).changed
    assert (await bench.view(state.spec.id)).state.status.backups.running is None


async def test_backup_whose_primary_changed_begins_again_with_the_cluster_as_it_is(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)

    async def switch_over_and_fail(call: Call) -> None:
        await bench.run(SwitchoverRequest(cluster_id=state.spec.id))
        raise NotFound("The node's container is gone.")

    stubs.plan(TAKE_FULL, switch_over_and_fail)
    handle = await begin(bench, state)
    assert (await handle.result()).changed
    taken = [text for text in stubs.texts(handle.id) if text.startswith("take_backup")]
    assert taken == [TAKE_FULL, "take_backup full from a"]
    assert (await bench.view(state.spec.id)).state.status.phase is ClusterPhase.READY


async def test_backup_that_fails_again_and_again_gives_up(bench: Bench, stubs: Stubs, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backup_workflow, "PAUSES_S", (0.01, 0.02, 0.03))
    state = ready_cluster()
    await bench.cluster(state)
    for occurrence in range(1, 5):
        stubs.plan(TAKE_FULL, fails(NotFound("There is no such node.")), occurrence)
        stubs.plan("take_backup full from a", fails(NotFound("There is no such node.")), occurrence)
    handle = await begin(bench, state)
    error, detail = await failure(handle)
    assert error.type == "NotFound"
    assert detail.outcome is OperationOutcome.FAILED
    taken = [text for text in stubs.texts(handle.id) if text.startswith("take_backup")]
    # What fails from the replica twice is tried from the primary alone.
    assert taken == [*2 * [TAKE_FULL], *2 * ["take_backup full from a"]]
    known = (await bench.view(state.spec.id)).state.status.backups
    assert known.failure is not None
    assert known.failure.message == "There is no such node."
    assert known.running is None


async def test_backup_whose_pages_are_damaged_fails_and_is_not_the_last_good_one(bench: Bench, stubs: Stubs):
    damaged = backup(BackupType.FULL).model_copy(update={"error": "page checksum of base/5/1249"})
    stubs.answers["take_backup"] = damaged
    state = ready_cluster()
    await bench.cluster(state)
    error, _ = await failure(await begin(bench, state))
    assert "is not good: page checksum of base/5/1249" in error.message
    known = (await bench.view(state.spec.id)).state.status.backups
    assert known.latest() is None
    assert known.failure is not None


async def test_cluster_without_a_repository_is_not_backed_up(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    state = state.model_copy(update={"spec": state.spec.model_copy(update={"backups": None})})
    await bench.cluster(state)
    for request in (BackupRequest(cluster_id=state.spec.id), SetBackupPolicyRequest(cluster_id=state.spec.id)):
        error, detail = await failure(await bench.start(request))
        assert (error.type, detail.began) == ("Refused", False)
    await bench.free(state.spec.id)
    assert stubs.effects == []


async def test_schedule_of_a_cluster_that_is_gone_removes_itself(bench: Bench, stubs: Stubs):
    error, _ = await failure(await begin(bench, ready_cluster(), scheduled=True))
    assert error.type == "NotFound"
    assert [call.text for call in stubs.effects] == ["remove_schedules"]


async def test_destruction_ends_the_backup_that_is_made(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    taking = await hanging(bench, stubs, state)
    destroyed = await bench.run(DestroyClusterRequest(cluster_id=state.spec.id))
    assert destroyed.changed
    with pytest.raises(WorkflowFailureError) as caught:
        await taking.result()
    assert isinstance(caught.value.cause, CancelledError)
    texts = [call.text for call in stubs.effects]
    assert texts.index("remove_schedules") < texts.index("remove_cluster")


async def test_cluster_serves_though_its_backups_could_not_be_scheduled(bench: Bench, stubs: Stubs):
    stubs.plan(
        "put_schedules full='15 2 * * 0' incr='15 2 * * 1-6' and one full at once", fails(Refused("No schedule today."))
    )
    state = ready_cluster()
    result = await bench.run(CreateClusterRequest(cluster_id=state.spec.id, name=state.spec.name))
    assert "Its backups are not scheduled: No schedule today." in result.message
    assert (await bench.free(state.spec.id)).state.status.phase is ClusterPhase.READY


async def test_policy_changes_what_is_named_and_nothing_else(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    await bench.run(SetBackupPolicyRequest(cluster_id=state.spec.id, incr="0 */6 * * *", keep_full=4))
    found = (await bench.free(state.spec.id)).state.spec.backups
    assert found is not None
    assert found.policy == BackupPolicy(incr="0 */6 * * *", keep_full=4)


async def test_policy_that_is_so_already_puts_the_schedules_back(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    result = await bench.run(SetBackupPolicyRequest(cluster_id=state.spec.id, keep_full=2))
    assert not result.changed
    assert [call.effect for call in stubs.effects] == ["put_schedules"]
    assert (await bench.free(state.spec.id)).state == state


async def test_hole_in_the_archive_is_shown_until_no_backup_is_left_from_before_it(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    started, lost = asyncio.Event(), "000000010000000000000007"
    stubs.answers["close_archive_gap"] = GapReport(lost=lost, intact_until=MADE_AT)
    after = backup(BackupType.INCR, finished_at=datetime(2026, 3, 1, tzinfo=UTC))
    after = after.model_copy(update={"first_wal": "000000020000000000000008"})
    stubs.answers["take_backup"] = after
    stubs.plan("take_backup incr from a", hangs(stubs, started))
    await bench.run(SwitchoverRequest(cluster_id=state.spec.id))
    await asyncio.wait_for(started.wait(), 10)

    async def told(end: str) -> bool:
        found = (await bench.view(state.spec.id)).state.status.condition(ARCHIVE_GAP)
        return found is not None and lost in found.message and end in found.message

    assert await told("2026-01-01 00:00:00 UTC on can be restored until there is another backup.")
    stubs.released.set()
    # A full one from before the hole is kept: the window has the moments that are lost.
    await until(lambda: told("from 2026-01-01 00:00:00 UTC to 2026-03-01 00:00:01 UTC can be restored."))
    stubs.answers["expire_backups"] = RepositoryContents(backups=(after,))
    await (await begin(bench, state)).result()
    status = (await bench.view(state.spec.id)).state.status
    assert (status.condition(ARCHIVE_GAP), status.backups.holes) == (None, ())


async def test_backup_from_before_the_hole_does_not_mend_it(bench: Bench, stubs: Stubs):
    gap = Condition(type=ARCHIVE_GAP, status=True, since=MADE_AT + timedelta(days=1), message="m")
    state = apply(ready_cluster(), [ConditionIs(condition=gap)])
    await bench.cluster(state)
    await (await begin(bench, state)).result()
    assert (await bench.view(state.spec.id)).state.status.condition(ARCHIVE_GAP) == gap


async def test_cluster_whose_schedules_are_gone_gets_them_back_and_its_first_backup(bench: Bench):
    state = ready_cluster()
    await bench.cluster(state)
    schedules = ScheduleActivities(bench.client)
    incremental = bench.client.get_schedule_handle(schedule_id(state.spec.id, BackupType.INCR))
    try:
        await schedules.begin_first(state.spec)
        await until(lambda: backed_up(bench, state.spec.id))
        await until(lambda: began(incremental, 1))
        await schedules.begin_first(state.spec)
        await until(lambda: began(incremental, 2))
        await incremental.pause()
        await schedules.begin_first(state.spec)
        assert not await began(incremental, 3)
        for each in (await incremental.describe()).info.recent_actions:
            assert isinstance(each.action, ScheduleActionExecutionStartWorkflow)
            await bench.client.get_workflow_handle(each.action.workflow_id).result()
    finally:
        await schedules.remove_schedules(ClusterKey(cluster_id=state.spec.id))


async def backed_up(bench: Bench, cluster_id: str) -> bool:
    return bool((await bench.view(cluster_id)).state.status.backups.last)


async def began(schedule: ScheduleHandle, number: int) -> bool:
    """Tell whether the schedule has started so many backups."""
    return (await schedule.describe()).info.num_actions >= number
