"""Stand-ins for the cluster's workflow and the operations: the contract of names, queries and results, no effects."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from model import search_attributes
from model.backups import BackupRecord, BackupRun, Backups, Repository, RepositoryKind
from model.cluster import (
    Address,
    ClusterPhase,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    ClusterView,
    Endpoint,
    Node,
    NodePhase,
    NodeRole,
)
from model.effects import Extension, Extensions
from model.operations import OperationOutcome, OperationResult, Progress, Step, StepStatus
from model.plans import DEFAULT_PLANS


def state_of(cluster_id: str, name: str, org: str = "personal", **spec: object) -> ClusterState:
    """A ready cluster with an endpoint."""
    address = Address(host="127.0.0.1", port=20001)
    endpoint = Endpoint(container="e", address="10.0.0.2", pooled=address, direct=address, read_only=address)
    made = ClusterSpec.model_validate(
        {
            "id": cluster_id,
            "name": name,
            "org": org,
            "region": "local",
            "host": "local",
            "plan": DEFAULT_PLANS["basic"],
            "backups": Backups(repository=Repository(kind=RepositoryKind.VOLUME, key_id="k")),
            "created_at": datetime(2026, 1, 1, tzinfo=UTC),
            **spec,
        }
    )
    nodes = tuple(
        Node(
            name=name, role=role, phase=NodePhase.RUNNING, container=f"c-{name}", address=at, plan="basic", cpus=2,
            memory_mb=1024,
        )
        for name, role, at in (("a", NodeRole.PRIMARY, "10.0.0.3"), ("b", NodeRole.REPLICA, "10.0.0.4"))
    )  # fmt: skip
    return ClusterState(spec=made, status=ClusterStatus(phase=ClusterPhase.READY, endpoint=endpoint, nodes=nodes))


@workflow.defn(name="Cluster", sandboxed=False)
class StubCluster:
    @workflow.init
    def __init__(self, state: ClusterState) -> None:
        self._state, self._over = state, False

    @workflow.run
    async def run(self, state: ClusterState) -> None:
        await workflow.wait_condition(lambda: self._over)
        status = self._state.status.model_copy(update={"phase": ClusterPhase.DESTROYED})
        self._state = self._state.model_copy(update={"status": status})
        workflow.upsert_search_attributes([search_attributes.STATUS.value_set("destroyed")])

    @workflow.signal
    def end(self) -> None:
        self._over = True

    @workflow.signal
    def back_up(self, run: BackupRun) -> None:
        """Have a backup on record that is being made."""
        status = self._state.status.model_copy(update={"backups": BackupRecord(running=run)})
        self._state = self._state.model_copy(update={"status": status})

    @workflow.query
    def view(self) -> ClusterView:
        return ClusterView(state=self._state)

    @workflow.update
    async def read_extensions(self, database: str) -> Extensions:
        if database == "broken":
            raise ApplicationError("The database does not answer.", type="Refused")
        vector = Extension(name="vector", description="d", docs_url="u", default_version="0.8", is_system=False)
        return Extensions(extensions=(vector,))


@workflow.defn(name="ClusterName", sandboxed=False)
class StubName:
    @workflow.init
    def __init__(self, cluster_id: str) -> None:
        self._id, self._released = cluster_id, False

    @workflow.run
    async def run(self, cluster_id: str) -> None:
        await workflow.wait_condition(lambda: self._released)

    @workflow.signal
    def release(self) -> None:
        self._released = True

    @workflow.query
    def cluster_id(self) -> str:
        return self._id


@workflow.defn(dynamic=True, sandboxed=False)
class StubOperation:
    """Every operation: done when told ``go``, or failed with the type and message it is told."""

    def __init__(self) -> None:
        self._told: list[str] | None = None
        self._status = OperationOutcome.RUNNING

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> OperationResult:
        self._cluster_id = str(workflow.payload_converter().from_payload(args[0].payload, dict)["cluster_id"])
        try:
            await workflow.wait_condition(lambda: self._told is not None)
        except asyncio.CancelledError:
            self._status = OperationOutcome.CANCELLED
            raise
        if self._told:
            self._status = OperationOutcome.ROLLED_BACK
            kind, message = self._told
            raise ApplicationError(message, type=kind, non_retryable=True)
        self._status = OperationOutcome.DONE
        return OperationResult(cluster_id=self._cluster_id, message="It is done.")

    @workflow.signal
    def go(self, failure: list[str]) -> None:
        self._told = failure

    @workflow.query
    def progress(self) -> Progress:
        done = self._status is not OperationOutcome.RUNNING
        step = Step(name="the step", status=StepStatus.DONE if done else StepStatus.RUNNING, seconds=0.1)
        return Progress(
            type=workflow.info().workflow_type, cluster_id=self._cluster_id, status=self._status, steps=(step,)
        )
