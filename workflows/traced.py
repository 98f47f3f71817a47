"""Traces of operations, for workers that are told where to send them. Loaded by these only."""

from collections.abc import Callable
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.contrib.opentelemetry import TracingInterceptor, TracingWorkflowInboundInterceptor
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    HandleQueryInput,
    HandleSignalInput,
    HandleUpdateInput,
    WorkflowInterceptorClassInput,
)

with workflow.unsafe.imports_passed_through():
    from model.operations import OPERATIONS

T = TypeVar("T")


class TracedOperations(TracingInterceptor):
    """The SDK's interceptor, for operations only.

    The workflow of a cluster is begun by its creation and lasts for years: all that its watches ever do would be in the
    trace of that.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Have activities of operations traced, and no other."""
        return _TracedActivities(super().intercept_activity(next), next, self.header_key)

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[TracingWorkflowInboundInterceptor]:
        """Have operations traced, and nothing else."""
        super().workflow_interceptor_class(input)
        return _Traced


class _TracedActivities(ActivityInboundInterceptor):
    def __init__(self, traced: ActivityInboundInterceptor, plain: ActivityInboundInterceptor, header: str) -> None:
        super().__init__(plain)
        self._traced = traced
        self._header = header

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        return await (self._traced if self._header in input.headers else self.next).execute_activity(input)


class _Traced(TracingWorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        return await _chosen(super().execute_workflow, self.next.execute_workflow)(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:
        await _chosen(super().handle_signal, self.next.handle_signal)(input)

    async def handle_query(self, input: HandleQueryInput) -> Any:
        return await _chosen(super().handle_query, self.next.handle_query)(input)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:
        _chosen(super().handle_update_validator, self.next.handle_update_validator)(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:
        return await _chosen(super().handle_update_handler, self.next.handle_update_handler)(input)


def _chosen(traced: Callable[..., T], plain: Callable[..., T]) -> Callable[..., T]:
    return traced if workflow.info().workflow_type in OPERATIONS else plain
