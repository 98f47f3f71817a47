"""Counting the operations that end in this worker, how long they took, and failovers."""

from typing import Any

from prometheus_client import Counter, Histogram
from prometheus_client.registry import CollectorRegistry
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from model import effects
from model.operations import OPERATIONS, REFUSED, OperationOutcome

BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
"""From creating a user to restoring a large cluster, in seconds."""
ENDS = (*(outcome.value for outcome in OperationOutcome if outcome is not OperationOutcome.RUNNING), REFUSED)
"""How an operation may end."""


class OperationMetrics(Interceptor):
    """Counters of this worker process, from its start: their sum over all workers is the product's.

    An interceptor, since it is told of a failover by seeing the activity of one succeed.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Show them in *registry*, those that nothing happened of as well: else the first one would not be seen."""
        labels = ("type", "outcome")
        self._ended = Counter("mpg_operations", "Operations that ended.", labels, registry=registry)
        self._took = Histogram(
            "mpg_operation_seconds",
            "How long operations took, their wait for the turn included.",
            ("type",),
            registry=registry,
            buckets=BUCKETS_S,
        )
        self._failovers = Counter(
            "mpg_failovers", "Replicas promoted in the place of a lost primary.", registry=registry
        )
        for name in OPERATIONS:
            for outcome in ENDS:
                self._ended.labels(name, outcome)

    def count(self, type: str, outcome: str, seconds: float) -> None:
        """Count an operation of that *type* which took *seconds*."""
        self._ended.labels(type, outcome).inc()
        self._took.labels(type).observe(seconds)

    def count_failover(self) -> None:
        """Count a replica that was promoted in the place of a lost primary."""
        self._failovers.inc()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Look at what runs *next*."""
        return _Counted(next, self)


class _Counted(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, metrics: OperationMetrics) -> None:
        super().__init__(following)
        self._metrics = metrics

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        result = await super().execute_activity(input)
        if activity.info().activity_type == effects.FAIL_OVER.name:
            self._metrics.count_failover()
        return result
