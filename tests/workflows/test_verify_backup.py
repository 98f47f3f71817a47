"""Drills: beside other operations, one at a time; what is on record of them."""

import asyncio

import pytest
from temporalio.client import WorkflowFailureError

from model.backups import BackupType
from model.cluster import DRILL_FAILED, ClusterState
from model.effects import DrillReport
from model.errors import Refused
from model.operations import DestroyClusterRequest, SwitchoverRequest, VerifyBackupRequest
from tests.workflows.bench import Bench, Handle, failure
from tests.workflows.samples import REPORT, backup, ready_cluster
from tests.workflows.stubs import Stubs, fails, hangs

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


async def test_destruction_ends_a_drill(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    drilling = await hanging(bench, stubs, state)
    await bench.run(DestroyClusterRequest(cluster_id=state.spec.id, keep_backups_days=0))
    with pytest.raises(WorkflowFailureError):
        await drilling.result()
