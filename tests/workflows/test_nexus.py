"""Workflows of another namespace await operations of the platform as steps of their own."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import nexusrpc
import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import CancelledError, NexusOperationError
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

with workflow.unsafe.imports_passed_through():
    from model.converter import DATA_CONVERTER
    from model.errors import AlreadyExists, HostFull, InvalidInput, MpgError, NotFound
    from model.names import MAIN_QUEUE
    from model.nexus import ENDPOINT, KEY_HEADER, MpgService, platform_error
    from model.operations import (
        ChangePlanRequest,
        CreateClusterRequest,
        DestroyClusterRequest,
        OperationResult,
        RotatePasswordRequest,
        workflow_id,
    )
    from model.search_attributes import ACTOR
    from model.settings import load_settings
    from starter.nexus.handlers import nexus_service, serves_nexus
    from starter.stack.temporal_setup import ensure_nexus_endpoint
    from tests.workflows.bench import Bench, until
    from tests.workflows.samples import new_id, ready_cluster
    from tests.workflows.stubs import Stubs, fails, hangs

OTHER = "shop"
"""Namespace and task queue of the other team."""


@dataclass
class Step:
    """What the other team's workflow asks for."""

    request: RotatePasswordRequest | ChangePlanRequest | CreateClusterRequest | DestroyClusterRequest
    key: str | None = None


@workflow.defn
class Rollout:
    """The other team's workflow."""

    @workflow.run
    async def run(self, step: Step) -> OperationResult:
        """Await one operation."""
        mpg = workflow.create_nexus_client(service=MpgService, endpoint=ENDPOINT)
        headers = {KEY_HEADER: step.key} if step.key else {}
        match step.request:
            case ChangePlanRequest():
                return await mpg.execute_operation(MpgService.change_plan, step.request, headers=headers)
            case RotatePasswordRequest():
                return await mpg.execute_operation(MpgService.rotate_password, step.request, headers=headers)
            case CreateClusterRequest():
                return await mpg.execute_operation(MpgService.create_cluster, step.request, headers=headers)
            case DestroyClusterRequest():
                return await mpg.execute_operation(MpgService.destroy_cluster, step.request, headers=headers)


@nexusrpc.service(name="mpg")
class Misspelled:
    """The service as somebody took it down who has no types of ours."""

    change_plan: nexusrpc.Operation[dict[str, str], OperationResult] = nexusrpc.Operation(name="ChangePlan")


@workflow.defn
class Misspelling:
    """A workflow whose request does not fit."""

    @workflow.run
    async def run(self, request: dict[str, str]) -> OperationResult:
        """Send it."""
        mpg = workflow.create_nexus_client(service=Misspelled, endpoint=ENDPOINT)
        return await mpg.execute_operation(Misspelled.change_plan, request)


@dataclass
class Team:
    """The other team: where its workflows run."""

    client: Client

    async def start(self, step: Step) -> WorkflowHandle[Rollout, OperationResult]:
        return await self.client.start_workflow(
            Rollout.run, step, id=f"rollout/{secrets.token_hex(4)}", task_queue=OTHER, execution_timeout=PATIENCE
        )

    async def run(self, step: Step) -> OperationResult:
        return await (await self.start(step)).result()

    async def refused(self, step: Step) -> MpgError:
        """Return the error of the platform with which a step ended."""
        return await failure_of(await self.start(step))


async def failure_of(caller: WorkflowHandle[Any, OperationResult]) -> MpgError:
    """Return the error of the platform with which the step of *caller* ended."""
    with pytest.raises(WorkflowFailureError) as raised:
        await caller.result()
    assert isinstance(raised.value.cause, NexusOperationError)
    return platform_error(raised.value)


PATIENCE = timedelta(seconds=30)


async def registered(temporal: Client) -> Client:
    """A client of the other team's namespace, once the service knows it."""
    retention = Duration()
    retention.FromTimedelta(timedelta(days=1))
    await temporal.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=OTHER, workflow_execution_retention_period=retention)
    )
    other = await Client.connect(
        temporal.service_client.config.target_host, namespace=OTHER, data_converter=DATA_CONVERTER
    )

    async def is_known() -> bool:
        try:
            await other.count_workflows()
        except RPCError:
            return False
        return True

    await until(is_known)
    return other


@pytest.fixture(scope="module")
async def team(temporal: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Team]:
    """The other team's worker, and the platform's that answers on the endpoint."""
    home: Path = tmp_path_factory.mktemp("nexus")
    await ensure_nexus_endpoint(temporal)
    await ensure_nexus_endpoint(temporal)  # as each start of a stack does
    other = await registered(temporal)
    assert await serves_nexus(temporal)
    service = nexus_service(temporal, load_settings(home=home))
    async with (
        Worker(temporal, task_queue=MAIN_QUEUE, nexus_service_handlers=[service]),
        Worker(
            other,
            task_queue=OTHER,
            workflows=[Rollout, Misspelling],
            workflow_runner=UnsandboxedWorkflowRunner(),
            workflow_failure_exception_types=[MpgError],
        ),
    ):
        yield Team(other)


async def test_step_of_another_namespace_is_an_operation_of_the_cluster(bench: Bench, team: Team) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    request = ChangePlanRequest(cluster_id=state.spec.id, plan="launch")
    result = await team.run(Step(request, key="ticket-1"))
    assert result.changed
    assert (await bench.free(state.spec.id)).state.spec.plan.name == "launch"
    operation = await bench.client.get_workflow_handle(workflow_id(request, state.spec.name, "ticket-1")).describe()
    assert operation.workflow_type == request.operation
    assert operation.typed_search_attributes.get(ACTOR) == f"nexus/{OTHER}"


async def test_repeat_with_its_key_joins_the_operation_that_runs_and_is_told_of_one_that_ended(
    bench: Bench, stubs: Stubs, team: Team
) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    started = asyncio.Event()
    stubs.plan("set_password amy version=2", hangs(stubs, started))
    step = Step(RotatePasswordRequest(cluster_id=state.spec.id, username="amy"), key="ticket-2")
    first = await team.start(step)
    await started.wait()
    second = await team.start(step)
    stubs.released.set()
    assert await first.result() == await second.result() == await team.run(step)
    user = (await bench.free(state.spec.id)).state.spec.user("amy")
    assert user is not None
    assert user.password_version == 2
    other = Step(RotatePasswordRequest(cluster_id=state.spec.id, username="fly-user"), key="ticket-2")
    assert isinstance(await team.refused(other), InvalidInput)


async def test_steps_without_a_key_are_operations_of_their_own(bench: Bench, team: Team) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    step = Step(RotatePasswordRequest(cluster_id=state.spec.id, username="amy"))
    await team.run(step)
    await team.run(step)
    user = (await bench.free(state.spec.id)).state.spec.user("amy")
    assert user is not None
    assert user.password_version == 3


async def test_refusals_come_with_their_type_and_start_nothing(bench: Bench, stubs: Stubs, team: Team) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    unknown = await team.refused(Step(RotatePasswordRequest(cluster_id=state.spec.id, username="nobody")))
    assert isinstance(unknown, NotFound)
    assert "nobody" in unknown.message
    plan = await team.refused(Step(ChangePlanRequest(cluster_id=state.spec.id, plan="gigantic")))
    assert isinstance(plan, InvalidInput)
    assert isinstance(await team.refused(Step(ChangePlanRequest(cluster_id="0" * 16, plan="launch"))), NotFound)
    key = await team.refused(Step(ChangePlanRequest(cluster_id=state.spec.id, plan="launch"), key="no key"))
    assert isinstance(key, InvalidInput)
    request = {"cluster_id": state.spec.id, "plam": "launch"}
    misspelled = await failure_of(
        await team.client.start_workflow(
            Misspelling.run, request, id=f"rollout/{new_id()}", task_queue=OTHER, execution_timeout=PATIENCE
        )
    )
    assert isinstance(misspelled, InvalidInput)
    assert "plam" in misspelled.message or "plan" in misspelled.message
    assert stubs.effects == []


async def test_failure_of_an_operation_is_the_callers_also_when_it_asks_again(
    bench: Bench, stubs: Stubs, team: Team
) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    stubs.plan("set_password amy version=2", fails(HostFull("There is no room for a password.")))
    step = Step(RotatePasswordRequest(cluster_id=state.spec.id, username="amy"), key="ticket-5")
    first, again = await team.refused(step), await team.refused(step)
    assert isinstance(first, HostFull)
    assert "no room for a password" in first.message
    assert (type(again), again.message) == (type(first), first.message)


async def test_cluster_is_made_and_destroyed_under_the_id_that_the_caller_drew(team: Team) -> None:
    cluster_id = new_id()
    made = await team.run(Step(CreateClusterRequest(cluster_id=cluster_id, name=f"c{cluster_id}"), key="ticket-4"))
    assert made.cluster_id == cluster_id
    taken = await team.refused(Step(CreateClusterRequest(cluster_id=new_id(), name=f"c{cluster_id}")))
    assert isinstance(taken, AlreadyExists)
    same_id = await team.refused(Step(CreateClusterRequest(cluster_id=cluster_id, name=f"d{cluster_id}")))
    assert isinstance(same_id, AlreadyExists)
    destroyed = await team.run(Step(DestroyClusterRequest(cluster_id=cluster_id, keep_backups_days=0)))
    assert destroyed.cluster_id == cluster_id


async def test_cancelled_step_cancels_the_operation(bench: Bench, stubs: Stubs, team: Team) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    started = asyncio.Event()
    stubs.plan("set_password amy version=2", hangs(stubs, started))
    holder = await team.start(Step(RotatePasswordRequest(cluster_id=state.spec.id, username="amy")))
    await started.wait()
    request = RotatePasswordRequest(cluster_id=state.spec.id, username="fly-user")
    waiting = await team.start(Step(request, key="ticket-3"))
    operation = bench.client.get_workflow_handle(workflow_id(request, state.spec.name, "ticket-3"))

    async def is_known_to_the_caller() -> bool:
        kinds = [event.event_type async for event in waiting.fetch_history_events()]
        begun = EventType.EVENT_TYPE_NEXUS_OPERATION_STARTED
        return begun in kinds and EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED in kinds[kinds.index(begun) :]

    # Before that the caller's SDK takes the cancellation for one of the start, and does not wait (docs/nexus.md).
    await until(is_known_to_the_caller)
    await waiting.cancel()
    with pytest.raises(WorkflowFailureError):
        await waiting.result()
    with pytest.raises(WorkflowFailureError) as raised:
        await operation.result()
    assert isinstance(raised.value.cause, CancelledError)
    stubs.released.set()
    await holder.result()


async def test_operation_that_somebody_else_cancels_ends_the_step(bench: Bench, stubs: Stubs, team: Team) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    started = asyncio.Event()
    stubs.plan("set_password amy version=2", hangs(stubs, started))
    request = RotatePasswordRequest(cluster_id=state.spec.id, username="amy")
    caller = await team.start(Step(request, key="ticket-6"))
    await started.wait()
    await bench.client.get_workflow_handle(workflow_id(request, state.spec.name, "ticket-6")).cancel()
    stubs.released.set()
    with pytest.raises(WorkflowFailureError) as raised:
        await caller.result()
    assert isinstance(raised.value.cause, NexusOperationError)
    assert isinstance(raised.value.cause.cause, CancelledError)
