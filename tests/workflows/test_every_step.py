"""Every operation: well done, failing at each of its effects, cancelled at each of them."""

import asyncio

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import CancelledError
from temporalio.service import RPCError, RPCStatusCode

from model.cluster import ClusterPhase, ClusterState
from model.effects import EFFECTS, Kind
from model.names import cluster_workflow_id
from model.operations import OperationOutcome, OperationResult, RotatePasswordRequest
from tests.workflows import golden
from tests.workflows.bench import Bench, Handle, failure, until
from tests.workflows.samples import BEGINNINGS, SCENARIOS, cluster_for, ready_cluster, request_of
from tests.workflows.story import story
from tests.workflows.stubs import Stubs, fails, hangs

SAME_AS_ANOTHER = "restart-a"
"""Effect by effect what a switchover does."""
EVERY_EFFECT = [
    (scenario, *effect) for scenario in SCENARIOS if scenario != SAME_AS_ANOTHER for effect in golden.effects(scenario)
]
FAILING = [
    (scenario, effect, occurrence)
    for scenario, effect, occurrence in EVERY_EFFECT
    # Once the replica was promoted it is done: what becomes of the lost node, test_healing.py says.
    if scenario != "forced-failover" or effect in {each for each, _ in golden.effects(scenario)[:5]}
    # A cluster that serves is not undone for its schedules (test_backup.py), nor one that is gone on with without what
    # could not be archived (test_restore_cluster.py).
    if not (scenario in BEGINNINGS and effect.startswith(("put_schedules", "ensure_repository")))
    if not effect.startswith("archive_now")
    # Nor does anything fail for its archive (test_archive.py).
    if not effect.startswith("close_archive_gap")
    # What has begun since is removed with the cluster all the same.
    if not (scenario == "destroy-cluster" and effect == "read_source")
    # A backup is as good without sampled rows (test_backup.py).
    if not effect.startswith("sample_rows")
]


def test_restart_of_the_primary_is_a_switchover():
    assert golden.read(SAME_AS_ANOTHER)[golden.DONE] == golden.read("switchover")[golden.DONE]


RUNS_SIDE_BY_SIDE = ("create-cluster", "restore-cluster")
LATE_S, LATE_IN_LOCAL_S = 0.4, 1.5
"""A cancellation that had no effect for so long has none. A local activity hears of it at the task's timeout."""
LOCAL = {effect.name for effect in EFFECTS if effect.kind is Kind.SQL}


async def begin(bench: Bench, scenario: str) -> tuple[ClusterState, Handle]:
    state = cluster_for(scenario)
    if scenario not in BEGINNINGS:
        await bench.cluster(state)
    return state, await bench.start(request_of(scenario, state), state.spec.name)


def expect(request: pytest.FixtureRequest, scenario: str, title: str, lines: list[str]) -> None:
    if request.config.getoption("--update-golden", default=False):
        golden.write(scenario, title, lines)
    assert golden.read(scenario).get(title) == lines


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_done(bench: Bench, stubs: Stubs, request: pytest.FixtureRequest, scenario: str):
    _, handle = await begin(bench, scenario)
    result = await handle.result()
    assert result.changed
    assert result.message.endswith(".")
    lines = await story(handle, stubs)
    # What runs side by side has no order among itself; test_create_cluster.py says which order there has to be.
    expect(request, scenario, golden.DONE, sorted(lines) if scenario in RUNS_SIDE_BY_SIDE else lines)
    progress = await bench.progress(handle)
    assert progress.status is OperationOutcome.DONE
    assert {step.status for step in progress.steps} == {"done"}


@pytest.mark.parametrize(("scenario", "effect", "occurrence"), FAILING)
async def test_failing(
    bench: Bench, stubs: Stubs, request: pytest.FixtureRequest, scenario: str, effect: str, occurrence: int
):
    stubs.plan(effect, fails(), occurrence)
    state, handle = await begin(bench, scenario)
    error, detail = await failure(handle)
    assert "today." in error.message
    progress = await bench.progress(handle)
    assert (progress.status, progress.error) == (detail.outcome, error.message)
    await see_cluster_go_on(bench, scenario, state, detail.outcome)
    lines = await aftermath(handle, stubs, state, effect, occurrence)
    expect(request, scenario, golden.title("fails", effect, occurrence), [*lines, f"outcome: {detail.outcome}"])


@pytest.mark.parametrize(("scenario", "effect", "occurrence"), EVERY_EFFECT)
async def test_cancelled(
    bench: Bench, stubs: Stubs, request: pytest.FixtureRequest, scenario: str, effect: str, occurrence: int
):
    started = asyncio.Event()
    stubs.plan(effect, hangs(stubs, started), occurrence)
    state, handle = await begin(bench, scenario)
    await asyncio.wait_for(started.wait(), 10)
    await handle.cancel()
    outcome = await ending(handle, stubs, LATE_IN_LOCAL_S if effect.split()[0] in LOCAL else LATE_S)
    assert (await bench.progress(handle)).status is outcome
    await see_cluster_go_on(bench, scenario, state, outcome)
    lines = await aftermath(handle, stubs, state, effect, occurrence)
    expect(request, scenario, golden.title("is cancelled", effect, occurrence), [*lines, f"outcome: {outcome}"])


async def ending(handle: Handle, stubs: Stubs, late_s: float) -> OperationOutcome:
    """Wait for the operation's end; what cannot be cancelled is let go on after a while."""
    result = asyncio.ensure_future(handle.result())
    await asyncio.wait([result], timeout=late_s)
    stubs.released.set()
    (end,) = await asyncio.gather(result, return_exceptions=True)
    if isinstance(end, OperationResult):
        return OperationOutcome.DONE
    assert isinstance(end, WorkflowFailureError)
    assert isinstance(end.cause, CancelledError), end.cause
    return OperationOutcome.CANCELLED


async def aftermath(handle: Handle, stubs: Stubs, state: ClusterState, effect: str, occurrence: int) -> list[str]:
    """What the operation did after *effect*, and then the cluster."""
    lines = await story(handle, stubs)
    at = [index for index, line in enumerate(lines) if line == effect][occurrence - 1]
    after = lines[at + 1 :]
    if handle.id.startswith(RUNS_SIDE_BY_SIDE):
        after = [line for line in after if line in {"remove_cluster", "commit phase_is phase=error", "signal release"}]
    own = [text for text in stubs.texts(cluster_workflow_id(state.spec.id)) if not text.startswith("drain_poolers")]
    return [*after, *(f"cluster: {text}" for text in own)]


async def see_cluster_go_on(bench: Bench, scenario: str, state: ClusterState, outcome: OperationOutcome) -> None:
    """The turn is free, the record is as before where it was undone, and the next operation runs."""
    key = state.spec.id
    if scenario in RUNS_SIDE_BY_SIDE and outcome is OperationOutcome.DONE:
        # It was too late: the cluster serves.
        assert (await bench.free(key)).state.status.phase is ClusterPhase.READY
    elif scenario in RUNS_SIDE_BY_SIDE:
        await see_it_can_be_made_again(bench, state)
    elif scenario == "adopt-cluster":
        await see_it_is_or_can_be_on_record(bench, state)
    elif scenario == "destroy-cluster":
        handle = bench.client.get_workflow_handle(cluster_workflow_id(key), result_type=ClusterState)
        assert (await handle.result()).status.phase is ClusterPhase.DESTROYED
    else:
        view = await bench.free(key)
        assert view.state.status.phase is ClusterPhase.READY
        if outcome is not OperationOutcome.DONE:
            assert view.state.spec == state.spec
        await bench.run(RotatePasswordRequest(cluster_id=key, username="fly-user"))


async def see_it_is_or_can_be_on_record(bench: Bench, state: ClusterState) -> None:
    """Once it is on record it stays, whatever becomes of the rest; before that another try is free to begin."""
    if not await is_on_record(bench, state.spec.id):
        await see_name_is_free(bench, state.spec.name)
        assert (await bench.run(request_of("adopt-cluster", state))).changed
    found = (await bench.free(state.spec.id)).state
    assert found.spec == state.spec
    assert found.status.replica is not None
    assert found.status.replica.in_sync


async def is_on_record(bench: Bench, cluster_id: str) -> bool:
    try:
        # It may be repairing already what the adoption left.
        await bench.view(cluster_id)
    except RPCError as error:
        assert error.status is RPCStatusCode.NOT_FOUND  # noqa: PT017
        return False
    return True


async def see_it_can_be_made_again(bench: Bench, state: ClusterState) -> None:
    again = ready_cluster()
    again = again.model_copy(update={"spec": again.spec.model_copy(update={"name": state.spec.name})})
    await see_name_is_free(bench, state.spec.name)
    assert (await bench.run(request_of("create-cluster", again))).changed


async def see_name_is_free(bench: Bench, name: str) -> None:
    async def name_is_free() -> bool:
        names = bench.client.list_workflows(f"WorkflowId = 'cluster-name/personal/{name}'")
        return all([one.status is not WorkflowExecutionStatus.RUNNING async for one in names])

    await until(name_is_free)
