"""What the cluster's workflow asks of Temporal itself: the end of an operation, and whether a name's holder lives."""

import asyncio

from temporalio import activity
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError, TimeoutError
from temporalio.service import RPCError, RPCStatusCode

from activities.heartbeat import heartbeating
from model import effects
from model.effects import AwaitOperationInput, NameClaim, NameReleased, OperationEnd, ReleaseStaleNameInput
from model.names import cluster_workflow_id, name_workflow_id
from model.operations import OperationFailure

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
        handle: WorkflowHandle[object, object] = self._client.get_workflow_handle(arg.operation_id, run_id=arg.run_id)
        async with heartbeating():
            try:
                await handle.result()
            except WorkflowFailureError as error:
                return OperationEnd(completed=False, how=_how(error.cause))
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                return OperationEnd(completed=False, how="gone")
        return OperationEnd(completed=True, how="completed")

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
