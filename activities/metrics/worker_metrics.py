"""All that a worker process shows to Prometheus: its clusters, operations, itself, and the Temporal SDK."""

from contextlib import AbstractContextManager

from prometheus_client import ProcessCollector, disable_created_metrics
from prometheus_client.registry import CollectorRegistry
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from activities.metrics.board import MetricsBoard
from activities.metrics.exporter import exported, free_port
from activities.metrics.operation_metrics import OperationMetrics
from model.settings import LOOPBACK, Settings

_TRIES = 5


class WorkerMetrics:
    """The metrics of this process. Make it before the client of Temporal, whose ``runtime`` counts for the SDK."""

    def __init__(self) -> None:
        """Show nothing yet."""
        disable_created_metrics()  # pyright: ignore[reportUnknownMemberType]
        self.registry = CollectorRegistry()
        self.board = MetricsBoard()
        self.registry.register(self.board)
        ProcessCollector(registry=self.registry)
        self.operations = OperationMetrics(self.registry)
        self.runtime, self._sdk_port = _counting_runtime()

    def exported(self, settings: Settings) -> AbstractContextManager[int]:
        """Show them over HTTP until the block ends, and lend the port; see :func:`exported`."""
        directory = settings.metrics_targets_dir
        return exported(self.registry, port=settings.metrics_port, targets_dir=directory, sdk_port=self._sdk_port)


def _counting_runtime() -> tuple[Runtime, int]:
    """Return a runtime that shows the SDK's metrics on a port of loopback, and the port.

    Each worker process has its own, so that several count beside each other. The SDK counts in native code and writes
    text only when it is asked: a buffer of updates would have to be emptied, and counted, here.
    """
    for attempt in range(_TRIES):
        port = free_port()
        shown = PrometheusConfig(
            bind_address=f"{LOOPBACK}:{port}", counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
        )
        try:
            return Runtime(telemetry=TelemetryConfig(metrics=shown)), port
        except (ValueError, RuntimeError):  # somebody was faster
            if attempt == _TRIES - 1:
                raise
    raise AssertionError("a try returns or raises")
