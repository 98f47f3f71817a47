"""One operation, as the caller who started it or looks at it holds it."""

import asyncio
import time
from contextlib import suppress

from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.common import TypedSearchAttributes
from temporalio.exceptions import CancelledError, TerminatedError, TimeoutError

from model.effects import RESTORE_DATA, RestoreProgress
from model.errors import Cancelled, InvalidInput, MpgError, Refused, StackDown
from model.operations import OPERATIONS, REQUESTS, OperationOutcome, OperationRequest, OperationResult, Progress
from model.restore import say_copied
from model.search_attributes import ACTOR, CLUSTER_ID, ORG, PHASE
from model.settings import Settings
from model.sightings import ENDS, Sighting, outcome_of
from starter.client.shapes import OperationShape
from starter.client.takeover import Takeover, takeovers
from starter.client.temporal import CALL_TIMEOUT, from_failure, translated

PATIENCE_S = 60.0
"""The stack starts a Temporal that died again within seconds; an operation goes on meanwhile."""
RETRY_S = 0.25


class Operation:
    """A handle on one operation; holding it keeps nothing alive, dropping it stops nothing."""

    def __init__(
        self, client: Client, settings: Settings, operation_id: str, request: OperationRequest | None = None
    ) -> None:
        """Name the operation *operation_id*; nothing is asked of Temporal yet. *request* is kept for its starter."""
        self.id = operation_id
        self.request = request
        self._settings = settings
        self._handle: WorkflowHandle[object, object] = client.get_workflow_handle(operation_id)
        self._begun_with: TypedSearchAttributes | None = None

    async def result(self, *, patience_s: float = PATIENCE_S) -> OperationResult:
        """Wait, however long, until the operation ended, and return what it did.

        A Temporal service that stops answering is given *patience_s* seconds to come back, each time. Raises the error
        with which the operation failed, :class:`~model.errors.Cancelled` when somebody cancelled it,
        :class:`~model.errors.NotFound` when there is no such operation, and :class:`~model.errors.StackDown`.
        """
        silent_since: float | None = None
        while True:
            try:
                with self._translated():
                    found = await self._handle.result(rpc_timeout=None)
                return OperationResult.model_validate(found)
            except WorkflowFailureError as failure:
                raise self._explain(failure) from failure  # StackDown too, where that is what it failed with
            except StackDown:
                if await self._is_known():
                    silent_since = None
                    continue
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since > patience_s:
                    raise
                await asyncio.sleep(RETRY_S)

    async def _is_known(self) -> bool:
        """Tell whether Temporal answers about this operation."""
        with suppress(StackDown), self._translated():
            await self._handle.describe(rpc_timeout=CALL_TIMEOUT)
            return True
        return False

    async def progress(self) -> Progress:
        """Return how far the operation is; works also after it ended. Raises NotFound, StackDown."""
        with self._translated():
            found: object = await self._handle.query("progress", rpc_timeout=CALL_TIMEOUT)
            if found is not None:
                return Progress.model_validate(found)
            shape = summary(await self._handle.describe(rpc_timeout=CALL_TIMEOUT))  # it has not begun
        return Progress(type=shape.type, cluster_id=shape.cluster_id)

    async def detail(self) -> str | None:
        """Return how far the data of a restore are, from its last heartbeat; None where no data are being restored.

        Raises NotFound, StackDown.
        """
        with self._translated():
            description = await self._handle.describe(rpc_timeout=CALL_TIMEOUT)
        for pending in description.raw_description.pending_activities:
            if pending.activity_type.name == RESTORE_DATA.name and pending.heartbeat_details.payloads:
                found = RestoreProgress.model_validate_json(pending.heartbeat_details.payloads[0].data)
                return say_copied(found.restored_bytes, found.of_bytes, recovering=found.recovering)
        return None

    async def cancel(self) -> None:
        """Ask the operation to stop and undo what it did; returns before it has.

        Raises :class:`~model.errors.NotFound`, and :class:`~model.errors.Refused` when it has ended already.
        """
        with self._translated():
            # Temporal takes a cancellation of what has ended without a word.
            if (await self._handle.describe(rpc_timeout=CALL_TIMEOUT)).status in ENDS:
                raise Refused(f"Operation {self.id} has ended already.")
            await self._handle.cancel(rpc_timeout=CALL_TIMEOUT)

    async def describe(self) -> OperationShape:
        """Return everything that is known about the operation; without a worker that is all but its steps.

        Raises NotFound, StackDown.
        """
        with self._translated():
            description = await self._handle.describe(rpc_timeout=CALL_TIMEOUT)
        if description.workflow_type not in OPERATIONS:
            raise InvalidInput(f"{self.id!r} is not an operation.", remedy="See 'mpg operations list'.")
        self._begun_with = description.typed_search_attributes
        shape = summary(description)
        try:
            progress = await self.progress()
        except StackDown:  # no worker, or the operation was ended before one took it up
            return shape.model_copy(update={"error": await self._error(description)})
        return shape.model_copy(
            update={
                "phase": progress.phase,
                "steps": progress.steps,
                "cluster_id": progress.cluster_id,
                "status": outcome_of(description, progress.status),
                "error": progress.error or await self._error(description),
            }
        )

    def just_started(self) -> OperationShape:
        """Return the operation as programs are shown it at once. It must have its request."""
        assert self.request is not None
        return OperationShape(
            id=self.id,
            type=self.request.operation,
            cluster_id=self.request.cluster_id,
            status=OperationOutcome.RUNNING,
        )

    async def organization(self) -> str:
        """Return the organization that the operation is for. Raises NotFound, StackDown."""
        return (await self._beginning()).get(ORG) or ""

    async def actor(self) -> str | None:
        """Return who asked for it; None where a cluster or a schedule began it. Raises NotFound, StackDown."""
        return (await self._beginning()).get(ACTOR)

    async def _beginning(self) -> TypedSearchAttributes:
        """Return its search attributes, for those that stay as they were at its start. Asks where it has not yet."""
        if self._begun_with is None:
            with self._translated():
                description = await self._handle.describe(rpc_timeout=CALL_TIMEOUT)
            self._begun_with = description.typed_search_attributes
        return self._begun_with

    async def first_request(self) -> OperationRequest:
        """Return the request with which the operation was started, from its first event."""
        with self._translated():
            async for event in self._handle.fetch_history_events(page_size=1):
                if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                    started = event.workflow_execution_started_event_attributes
                    request = REQUESTS[started.workflow_type.name]
                    return request.model_validate_json(started.input.payloads[0].data)
        raise MpgError(f"Operation {self.id} has no beginning in its history.")

    async def takeovers(self) -> list[Takeover]:
        """Return how one node took over from the other in this operation, in order. Raises NotFound, StackDown."""
        with self._translated():
            return await takeovers(self._handle.fetch_history_events())

    async def _error(self, description: WorkflowExecutionDescription) -> str | None:
        if description.status in {None, WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED}:
            return None
        try:
            await self.result()
        except MpgError as error:
            return str(error)
        return None

    def _explain(self, failure: WorkflowFailureError) -> MpgError:
        match failure.cause:
            case CancelledError():
                return Cancelled(f"Operation {self.id} was cancelled.")
            case TerminatedError():
                return MpgError(f"Operation {self.id} was terminated from outside.", remedy="See 'mpg status'.")
            case TimeoutError():
                return MpgError(f"Operation {self.id} did not end in its time.", remedy="See 'mpg status'.")
            case cause:
                return from_failure(cause or failure)

    def _translated(self):
        return translated(self._settings, f"There is no operation {self.id!r}.")


def summary(found: Sighting) -> OperationShape:
    """Return what a list says about an operation: no steps, and its phase as of the last search attribute."""
    attributes = found.typed_search_attributes
    return OperationShape(
        id=found.id,
        type=found.workflow_type,
        cluster_id=attributes.get(CLUSTER_ID) or "",
        status=outcome_of(found),
        phase=attributes.get(PHASE) or "",
        started_at=found.start_time,
        finished_at=found.close_time,
    )
