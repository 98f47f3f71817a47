"""Telling the worker how each operation ended that ends in it, once: not when its history is run again."""

from collections.abc import Callable, MutableMapping
from typing import Any, cast

from temporalio import workflow
from temporalio.exceptions import ApplicationError, is_cancelled_exception
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

with workflow.unsafe.imports_passed_through():
    from model.operations import OPERATIONS, REFUSED, OperationFailure, OperationOutcome

CountOperation = Callable[[str, str, float], None]
"""Takes an operation's type, how it ended, and how long it took in seconds."""
_COUNT = "count_operation"


class MeteredOperations(Interceptor):
    """Has ends of operations counted. One that is terminated or times out in Temporal does not come to an end here."""

    def __init__(self, count: CountOperation) -> None:
        """Tell *count*, which is called outside the sandbox."""
        self._count = count

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        """Put the count within reach of workflows."""
        functions = cast("MutableMapping[str, CountOperation]", input.unsafe_extern_functions)  # pyright: ignore
        functions[_COUNT] = self._count
        return _Metered


class _Metered(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        if workflow.info().workflow_type not in OPERATIONS:
            return await super().execute_workflow(input)
        try:
            result = await super().execute_workflow(input)
        except BaseException as error:
            if (outcome := outcome_of(error)) is not None:
                _tell(outcome)
            raise
        _tell(OperationOutcome.DONE)
        return result


def outcome_of(error: BaseException) -> str | None:
    """Return how an operation ended; None where it did not: the worker has only put it out of its memory."""
    if is_cancelled_exception(error):
        return OperationOutcome.CANCELLED
    if isinstance(error, ApplicationError):
        failure = error.details[0] if error.details else None
        if isinstance(failure, OperationFailure):
            return failure.outcome if failure.began else REFUSED
        return OperationOutcome.FAILED
    return None


def _tell(outcome: str) -> None:
    if not workflow.unsafe.is_replaying():
        info = workflow.info()
        seconds = (workflow.now() - info.start_time).total_seconds()
        count = cast("CountOperation", workflow.extern_functions()[_COUNT])  # pyright: ignore
        count(info.workflow_type, str(outcome), seconds)
