"""Drills: beside other operations, one at a time; what is on record of them."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError

from model.backups import BackupNote, BackupType, RepositoryContents
from model.cluster import DRILL_FAILED, ClusterState
from model.effects import DrillInput, DrillReport
from model.errors import Refused
from model.names import cluster_workflow_id, kept_workflow_id
from model.operations import DestroyClusterRequest, SwitchoverRequest, VerifyBackupRequest
from model.pg_control import parse_lsn
from model.restore import Source
from model.timelines import Fork
from tests.workflows.bench import Bench, Handle, failure, until
from tests.workflows.samples import REPORT, backup, ready_cluster
from tests.workflows.stubs import Call, Stubs, fails, hangs

FULL = backup(BackupType.FULL)
DRILL = f"drill_backup {FULL.id} to the end"


async def begin(bench: Bench, state: ClusterState, *, scheduled: bool = False) -> Handle:
    return await bench.start(VerifyBackupRequest(cluster_id=state.spec.id, scheduled=scheduled), state.spec.name)


async def hanging(bench: Bench, stubs: Stubs, state: ClusterState) -> Handle:
    """Start a drill that lasts until the stubs are released."""
    started = asyncio.Event()
    stubs.plan(DRILL, hangs(stubs, started))
    handle = await begin(bench, state)
    await asyncio.wait_for(started.wait(), 10)
    return handle


async def test_backup_that_is_whole_is_proven_with_the_time_that_it_took(bench: Bench):
    state = ready_cluster()
    await bench.cluster(state)
    result = await (await begin(bench, state)).result()
    assert "is proven: 28.6 MB were restored to the end of its archive in 24.0 s" in result.message
    known = (await bench.view(state.spec.id)).state.status.backups
    assert known.drill is None
    (proof,) = known.proofs
    assert (proof.backup_id, proof.fault, proof.recovery_s) == (FULL.id, None, 24.0)


async def test_backup_that_is_damaged_is_a_condition_until_one_is_proven(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    stubs.answers["drill_backup"] = DrillReport(copied_s=1.0, fault="bytes were flipped.")
    error, detail = await failure(await begin(bench, state))
    assert error.message == f"Backup {FULL.id} is not proven: bytes were flipped."
    assert detail.began
    status = (await bench.view(state.spec.id)).state.status
    condition = status.condition(DRILL_FAILED)
    assert condition is not None
    assert condition.message == error.message
    assert status.backups.proofs[-1].fault == "bytes were flipped."
    stubs.answers["drill_backup"] = REPORT
    await (await begin(bench, state)).result()
    status = (await bench.view(state.spec.id)).state.status
    assert status.condition(DRILL_FAILED) is None
    assert [each.fault for each in status.backups.proofs] == [None]


async def test_failed_drill_is_told_of_while_its_backup_is_there_whatever_else_is_proven(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    stubs.answers["drill_backup"] = DrillReport(copied_s=1.0, fault="bytes were flipped.")
    await failure(await begin(bench, state))
    later = backup(BackupType.FULL, finished_at=FULL.finished_at + timedelta(days=1))
    stubs.answers["drill_backup"] = REPORT
    stubs.answers["read_repository"] = RepositoryContents(backups=(FULL, later))
    await (await begin(bench, state)).result()
    status = (await bench.view(state.spec.id)).state.status
    condition = status.condition(DRILL_FAILED)
    assert condition is not None
    assert FULL.id in condition.message
    handle = bench.client.get_workflow_handle(cluster_workflow_id(state.spec.id))
    await handle.signal("note_backup", BackupNote(operation_id="backup", made=(later,), oldest=later))

    async def is_lifted() -> bool:
        return (await bench.view(state.spec.id)).state.status.condition(DRILL_FAILED) is None

    await until(is_lifted)


async def test_backup_beyond_the_point_of_a_failover_is_proven_to_its_own_end(bench: Bench, stubs: Stubs):
    """Where there is no other: the archive after it goes on along a timeline that does not come from it."""
    state = ready_cluster()
    await bench.cluster(state)
    beyond = FULL.model_copy(update={"last_lsn": "0/9000000"})
    forks = (Fork(timeline=1, at=parse_lsn("0/3000000")),)
    stubs.answers["read_repository"] = RepositoryContents(backups=(beyond,), timeline=2, forks=forks)
    assert (await (await begin(bench, state)).result()).changed
    (asked,) = [call.arg for call in stubs.calls if isinstance(call.arg, DrillInput)]
    assert (asked.to_end, asked.timeline) == (False, 1)


async def test_drill_that_could_not_be_done_is_on_record_as_failed(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    stubs.plan(DRILL, fails(Refused("The store gives no answer.")))
    _, detail = await failure(await begin(bench, state))
    assert detail.began
    (proof,) = (await bench.view(state.spec.id)).state.status.backups.proofs
    assert proof.fault is not None
    assert "The store gives no answer." in proof.fault


async def test_other_operations_run_beside_a_drill_and_it_leaves_no_word_when_cancelled(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    drilling = await hanging(bench, stubs, state)
    assert (await bench.run(SwitchoverRequest(cluster_id=state.spec.id))).changed
    known = (await bench.free(state.spec.id)).state.status.backups
    assert known.drill is not None
    assert known.drill.operation_id == drilling.id
    await drilling.cancel()
    with pytest.raises(WorkflowFailureError):
        await drilling.result()
    known = (await bench.view(state.spec.id)).state.status.backups
    assert (known.drill, known.proofs) == (None, ())


async def test_second_one_is_refused_and_a_scheduled_one_left_out(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    drilling = await hanging(bench, stubs, state)
    error, detail = await failure(await begin(bench, state))
    assert (error.type, detail.began) == ("Refused", False)
    assert drilling.id in error.message
    result = await (await begin(bench, state, scheduled=True)).result()
    assert not result.changed
    stubs.released.set()
    await drilling.result()


async def test_drill_that_was_terminated_is_in_nobodys_way(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    drilling = await hanging(bench, stubs, state)
    await drilling.terminate()
    stubs.released.set()
    assert (await (await begin(bench, state)).result()).changed
    assert (await bench.view(state.spec.id)).state.status.backups.drill is None


async def test_destruction_ends_a_drill_that_began_after_its_turn(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    drills: list[Handle] = []

    async def begins(_: Call) -> None:
        drills.append(await hanging(bench, stubs, state))
        stubs.answers["read_source"] = Source(state=(await bench.view(state.spec.id)).state)

    stubs.plan("archive_now a for 10s", begins)
    result = await bench.run(DestroyClusterRequest(cluster_id=state.spec.id, keep_backups_days=7))
    (drill,) = drills
    assert f"end {drill.id}" in [step.name for step in result.steps]
    assert (await drill.describe()).status is WorkflowExecutionStatus.CANCELED
    await bench.client.get_workflow_handle(kept_workflow_id(state.spec.id)).terminate()


async def test_destruction_ends_a_drill(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    drilling = await hanging(bench, stubs, state)
    await bench.run(DestroyClusterRequest(cluster_id=state.spec.id, keep_backups_days=0))
    with pytest.raises(WorkflowFailureError):
        await drilling.result()
