"""A cluster that is to have PostGIS: which image it is made of, and the step that installs it."""

import asyncio

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import CancelledError

from model.effects import CheckHostInput, CreateEndpointInput, CreatePoolersInput, EnsureNodeInput
from model.operations import ChangePlanRequest, CreateClusterRequest, OperationOutcome, StepStatus
from tests.workflows.bench import Bench, failure
from tests.workflows.samples import new_id
from tests.workflows.story import story
from tests.workflows.stubs import Stubs, fails, hangs

IMAGE = "mpg-node:17-postgis"
STEP = "install PostGIS in fly-db"
INSTALL = "enable_extension fly-db postgis"
OPEN = "set_routes pooled=6441+6442 direct=a read_only=a"


def new_request() -> CreateClusterRequest:
    cluster_id = new_id()
    return CreateClusterRequest(cluster_id=cluster_id, name=f"maps-{cluster_id}", postgis_enabled=True)


def images(stubs: Stubs) -> set[str]:
    """The images that containers were made of."""
    made = [call.arg for call in stubs.calls]
    nodes = [arg.spec.image for arg in made if isinstance(arg, EnsureNodeInput)]
    return {*nodes, *(arg.image for arg in made if isinstance(arg, CreateEndpointInput | CreatePoolersInput))}


async def test_postgis_is_installed_after_the_roles_and_before_clients_are_let_in(bench: Bench, stubs: Stubs):
    handle = await bench.start(new_request())
    await handle.result()
    lines = await story(handle, stubs)
    assert lines.index("set_up_roles") < lines.index(INSTALL) < lines.index(OPEN)
    steps = {step.name: step.status for step in (await bench.progress(handle)).steps}
    assert steps[STEP] is StepStatus.DONE


async def test_every_container_is_of_the_image_with_postgis(bench: Bench, stubs: Stubs):
    request = new_request()
    await bench.run(request)
    asked = [call.arg for call in stubs.calls if isinstance(call.arg, CheckHostInput)]
    assert [arg.postgis for arg in asked] == [True]
    assert images(stubs) == {IMAGE}
    spec = (await bench.free(request.cluster_id)).state.spec
    assert (spec.image, spec.postgis_enabled) == (IMAGE, True)


async def test_change_of_plan_keeps_the_image_and_first_sees_that_the_host_has_it(bench: Bench, stubs: Stubs):
    request = new_request()
    await bench.run(request)
    stubs.reset()
    await bench.run(ChangePlanRequest(cluster_id=request.cluster_id, plan="launch"))
    asked = [call.arg for call in stubs.calls if isinstance(call.arg, CheckHostInput)]
    assert [arg.image for arg in asked] == [IMAGE]
    assert images(stubs) == {IMAGE}


async def test_creation_whose_postgis_does_not_install_is_taken_back_whole(bench: Bench, stubs: Stubs):
    stubs.plan(INSTALL, fails())
    handle = await bench.start(new_request())
    error, detail = await failure(handle)
    assert detail.outcome is OperationOutcome.ROLLED_BACK
    assert INSTALL in error.message
    lines = await story(handle, stubs)
    assert "remove_cluster" in lines[lines.index(INSTALL) :]
    assert "commit phase_is phase=error" in lines[lines.index("remove_cluster") :]


async def test_creation_cancelled_while_postgis_installs_is_taken_back_whole(bench: Bench, stubs: Stubs):
    started = asyncio.Event()
    stubs.plan(INSTALL, hangs(stubs, started))
    handle = await bench.start(new_request())
    await asyncio.wait_for(started.wait(), 10)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as ended:
        await handle.result()
    assert isinstance(ended.value.cause, CancelledError)
    lines = await story(handle, stubs)
    assert "commit phase_is phase=error" in lines[lines.index("remove_cluster") :]


async def test_plain_cluster_gets_no_postgis(bench: Bench, stubs: Stubs):
    request = new_request().model_copy(update={"postgis_enabled": False})
    handle = await bench.start(request)
    await handle.result()
    assert images(stubs) == {"mpg-node:17"}
    assert INSTALL not in stubs.texts(handle.id)
    assert STEP not in {step.name for step in (await bench.progress(handle)).steps}
