"""The latest readings of all clusters that this worker watches, as Prometheus gets them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.registry import Collector

from activities.metrics.series import LABEL_CLUSTER, LABEL_ORG, Reading, Series


@dataclass(frozen=True)
class _Shown:
    """A cluster's readings, and until when they may be shown (monotonic, seconds)."""

    labels: dict[str, str]
    readings: Sequence[Reading]
    until: float


class MetricsBoard(Collector):
    """Holds what was read last. A cluster whose rounds fail to come has a gap, not its last figures for ever."""

    def __init__(self) -> None:
        """Begin with no cluster."""
        self._shown: dict[str, _Shown] = {}
        self._watched: set[str] = set()

    def begin(self, cluster_id: str) -> None:
        """Count a cluster as watched."""
        self._watched.add(cluster_id)

    def show(self, cluster_id: str, org: str, readings: Sequence[Reading], *, seconds: float) -> None:
        """Show *readings* of a cluster in the place of those before, for at most *seconds*."""
        labels = {LABEL_CLUSTER: cluster_id, LABEL_ORG: org}
        self._shown[cluster_id] = _Shown(labels, readings, time.monotonic() + seconds)

    def end(self, cluster_id: str) -> None:
        """Show nothing of a cluster any more."""
        self._watched.discard(cluster_id)
        self._shown.pop(cluster_id, None)

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; called from the threads of the exporter."""
        now = time.monotonic()
        metrics: dict[Series, Metric] = {}
        for shown in list(self._shown.values()):
            for series, labels, value in shown.readings if shown.until > now else ():
                metric = metrics.get(series)
                if metric is None:
                    # A counter's family has its name without the ending, which its samples have.
                    family = series.name.removesuffix("_total")
                    metric = metrics[series] = Metric(family, series.what, series.type.value)
                metric.add_sample(series.name, {**shown.labels, **labels}, value)
        watched = Metric("mpg_worker_clusters", "Clusters that this worker watches.", "gauge")
        watched.add_sample("mpg_worker_clusters", {}, len(self._watched))
        return iter([*metrics.values(), watched])
