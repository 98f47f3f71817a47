"""What the cluster's workflow asks of Temporal itself: the end of an operation, and whether a name's holder lives."""

import asyncio

import structlog
from temporalio import activity
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import QueryRejectCondition
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError, TimeoutError
from temporalio.service import RPCError, RPCStatusCode

from activities.heartbeat import INTERVAL_S, while_worker_runs
from model import effects
from model.cluster import OVER, ClusterView
from model.effects import (
    AwaitOperationInput,
    BeginReadingInput,
    ClusterKey,
    CommitInput,
    NameClaim,
    NameReleased,
    Nothing,
    OperationEnd,
    ReleaseStaleNameInput,
    TakeTurnInput,
    TurnAnswer,
)
from model.errors import NotFound
from model.names import cluster_workflow_id, kept_workflow_id, name_workflow_id
from model.operations import REQUESTS, OperationFailure
from model.restore import KeptCluster, Source

log = structlog.get_logger()

_HOW: tuple[tuple[type[BaseException], str], ...] = (
    (CancelledError, "cancelled"),
    (TerminatedError, "terminated"),
    (TimeoutError, "timed_out"),
)


class OperationActivities:
    """Effects on workflows, through Temporal's API."""

    def __init__(self, client: Client) -> None:
        """Ask *client*."""
        self._client = client

    @activity.defn(name=effects.AWAIT_OPERATION_END.name)
    async def await_operation_end(self, arg: AwaitOperationInput) -> OperationEnd:
        """Return when the operation's workflow has ended, however it ended."""
        return await while_worker_runs(self._end_of(arg), INTERVAL_S)

    async def _end_of(self, arg: AwaitOperationInput) -> OperationEnd:
        handle: WorkflowHandle[object, object] = self._client.get_workflow_handle(arg.operation_id, run_id=arg.run_id)
        try:
            await handle.result()
        except WorkflowFailureError as error:
            return await self._lost(handle, _how(error.cause))
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return OperationEnd(completed=False, how="gone")
        return OperationEnd(completed=True, how="completed")

    async def _lost(self, handle: WorkflowHandle[object, object], how: str) -> OperationEnd:
        """Return the end of an operation that did not complete, with the user and the database it was about."""
        async for event in handle.fetch_history_events(page_size=1):
            started = event.workflow_execution_started_event_attributes
            request = REQUESTS.get(started.workflow_type.name)
            if request is None:
                break
            asked = request.model_validate_json(started.input.payloads[0].data)
            username, database = (getattr(asked, name, None) for name in ("username", "database"))
            return OperationEnd(completed=False, how=how, username=username, database=database)
        return OperationEnd(completed=False, how=how)

    @activity.defn(name=effects.TAKE_TURN.name)
    async def take_turn(self, arg: TakeTurnInput) -> TurnAnswer:
        """Ask the cluster for the turn: an update, whose answer is the grant, so a free cluster costs one round trip.

        Where others are before us the request waits in the cluster's queue, and the grant comes by signal. Asking
        again changes nothing. Raises :class:`NotFound` when there is no such cluster.
        """
        cluster = self._client.get_workflow_handle(cluster_workflow_id(arg.cluster_id))
        try:
            answer: TurnAnswer = await cluster.execute_update(  # pyright: ignore[reportUnknownMemberType]
                "take_turn", arg.request, result_type=TurnAnswer
            )
        except WorkflowUpdateFailedError as error:
            # The cluster continued as new, or ended, with the request in its queue: it answers by signal.
            log.info("the request for a turn waits", operation=arg.request.operation_id, error=str(error.cause))
            return TurnAnswer()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise NotFound(f"There is no cluster {arg.cluster_id}, or it was destroyed.") from error
            if error.status is not RPCStatusCode.RESOURCE_EXHAUSTED:
                raise
            # Temporal bounds the updates in flight; signals it does not.
            await cluster.signal("request_turn", arg.request)
            return TurnAnswer()
        return answer

    @activity.defn(name=effects.COMMIT_FACTS.name)
    async def commit_facts(self, arg: CommitInput) -> Nothing:
        """Report facts to the cluster. Reporting them twice changes nothing. Raises :class:`NotFound`."""
        try:
            await self._client.get_workflow_handle(cluster_workflow_id(arg.cluster_id)).signal("commit", arg.commit)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            raise NotFound(f"There is no cluster {arg.cluster_id}, or it was destroyed.") from error
        return Nothing()

    @activity.defn(name=effects.RELEASE_STALE_NAME.name)
    async def release_stale_name(self, arg: ReleaseStaleNameInput) -> NameReleased:
        """Free a name whose cluster and whose claiming operation are both over."""
        claim: WorkflowHandle[object, object] = self._client.get_workflow_handle(name_workflow_id(arg.org, arg.name))
        try:
            held = await claim.query("claim", result_type=NameClaim)
            cluster, operation = await asyncio.gather(
                self._runs(cluster_workflow_id(held.cluster_id)), self._runs(held.operation_id)
            )
            if cluster or operation:
                return NameReleased(released=False)
            await claim.signal("release")
            await claim.result()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
        return NameReleased(released=True)

    @activity.defn(name=effects.READ_SOURCE.name)
    async def read_source(self, arg: ClusterKey) -> Source:
        """Return a cluster's record, also of one that was destroyed, while Temporal knows it or its backups are kept.

        Raises :class:`NotFound`.
        """
        kept = await self._kept(arg.cluster_id)
        cluster = self._client.get_workflow_handle(cluster_workflow_id(arg.cluster_id))
        try:
            view = await cluster.query("view", result_type=ClusterView)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            if kept is None:
                raise NotFound(f"There is no cluster {arg.cluster_id}.", remedy="See 'mpg list --deleted'.") from None
            return Source(state=kept.state, over=True, kept=kept)
        return Source(state=view.state, over=view.state.status.phase in OVER, kept=kept)

    @activity.defn(name=effects.BEGIN_READING.name)
    async def begin_reading(self, arg: BeginReadingInput) -> Nothing:
        """Put a reader on the record of a cluster, and on that of what is kept of it; the same one again as it is now.

        While a cluster is destroyed it is on both. Raises :class:`NotFound` where there is neither.
        """
        workflows = (cluster_workflow_id(arg.cluster_id), kept_workflow_id(arg.cluster_id))
        if not any([await self._noted(each, arg) for each in workflows]):
            raise NotFound(f"There is no cluster {arg.cluster_id}, and none of its backups are kept.")
        return Nothing()

    async def _noted(self, workflow_id: str, arg: BeginReadingInput) -> bool:
        try:
            await self._client.get_workflow_handle(workflow_id).signal("begin_reading", arg.reading)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
        return True

    async def _kept(self, cluster_id: str) -> KeptCluster | None:
        """Return what is kept of a destroyed cluster; None where nothing is, or not any more."""
        keeper = self._client.get_workflow_handle(kept_workflow_id(cluster_id))
        try:
            return await keeper.query("kept", result_type=KeptCluster, reject_condition=QueryRejectCondition.NOT_OPEN)
        except WorkflowQueryRejectedError:
            return None
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return None

    async def _runs(self, workflow_id: str) -> bool:
        try:
            description = await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return description.status is WorkflowExecutionStatus.RUNNING


def _how(cause: BaseException) -> str:
    if isinstance(cause, ApplicationError) and cause.details:
        failure = OperationFailure.model_validate(cause.details[0])
        return "failed" if failure.began else "rejected"
    return next((how for kind, how in _HOW if isinstance(cause, kind)), "failed")
