"""A cluster's metrics over a range: charts, with marks of its operations in it, and histories of statements."""

import asyncio
import time
from collections.abc import Collection, Sequence

from temporalio.client import Client

from model import names
from model.checks import require_database
from model.operations import FailoverRequest, ForcedFailoverRequest
from model.queries import StatementsChosen
from model.settings import Settings
from model.validation import validated
from starter.client import metric_charts
from starter.client.auditing import Auditing
from starter.client.metric_shapes import MarkShape, MetricsRange, MetricsShape, StatementHistoriesShape
from starter.client.shapes import OperationShape

CONCURRENT_QUERIES = 4
"""Queries that one process has Prometheus work at, whoever asks."""
MOST_MARKS = 200
"""The latest so many operations are marked."""
_FAILOVERS = frozenset({FailoverRequest.operation, ForcedFailoverRequest.operation})


class MetricCalls(Auditing):
    """The part of :class:`starter.client.MpgClient` for metrics."""

    def __init__(self, client: Client, settings: Settings) -> None:
        """Use *client*, which must use model/converter.py, and the Prometheus of *settings*."""
        super().__init__(client, settings)
        self._prometheus_gate = asyncio.Semaphore(CONCURRENT_QUERIES)

    async def metrics(
        self,
        cluster: str,
        *,
        range: MetricsRange = MetricsRange.HOUR,
        database: str | None = None,
        org: str = names.DEFAULT_ORG,
    ) -> MetricsShape:
        """Return *cluster*'s charts over *range*, of one *database* or of all, and its operations meanwhile.

        Where Prometheus does not answer the shape says so. Raises :class:`~model.errors.NotFound` for a database that
        is not there, and as :meth:`view`.
        """
        spec = (await self.view(cluster, org=org)).state.spec
        if database not in {None, names.SUPERUSER}:
            require_database(spec, database or "")
        from starter.client.charting import draw  # whose library commands that need none do not load

        window = metric_charts.window(range, time.time())
        charts, operations = await asyncio.gather(
            draw(self._settings, self._prometheus_gate, metric_charts.scope(spec.id, range, database), window),
            self.operations_of(spec.id, org=spec.org, limit=MOST_MARKS),
        )
        failed = charts[0].missing if all(chart.missing for chart in charts) else None
        return MetricsShape(
            range=range,
            database=database,
            since=window.since,
            until=window.until,
            step=window.step,
            times=window.times,
            charts=() if failed else charts,
            marks=marks(operations, window.since),
            unavailable=failed,
        )

    async def database_connections(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> dict[str, int]:
        """Return how many sessions each database of *cluster* has on the primary, as Prometheus collected it last.

        What it does not know within two seconds is left out. Raises as :meth:`view`.
        """
        spec = (await self.view(cluster, org=org)).state.spec
        from starter.client.charting import latest  # whose library commands that need none do not load

        query = metric_charts.connections_by_database(metric_charts.scope(spec.id, MetricsRange.HOUR, None))
        return await latest(self._settings, self._prometheus_gate, query, "database")

    async def statement_histories(
        self,
        cluster: str,
        statements: Collection[str],
        *,
        range: MetricsRange = MetricsRange.HOURS_24,
        org: str = names.DEFAULT_ORG,
    ) -> StatementHistoriesShape:
        """Return how often *statements* of :meth:`queries`, by their ids, ran over *range*, and how long they took.

        Those have a history that are, or were, among the 20 that took the most time. Where Prometheus does not answer
        the shape says so. Raises as :meth:`view`, and InvalidInput for what is no id.
        """
        spec = (await self.view(cluster, org=org)).state.spec
        chosen = validated(StatementsChosen, ids=statements).ids
        from starter.client.statement_history import read_histories  # as above

        window, of = metric_charts.window(range, time.time()), metric_charts.scope(spec.id, range, None)
        return await read_histories(self._settings, self._prometheus_gate, of, range, window, chosen)


def marks(operations: Sequence[OperationShape], since: float) -> tuple[MarkShape, ...]:
    """Return those of *operations* that ran at *since* or began later, as marks."""
    return tuple(
        MarkShape(
            id=each.id,
            kind=each.type,
            failover=each.type in _FAILOVERS,
            status=each.status,
            start=each.started_at.timestamp(),
            end=each.finished_at and each.finished_at.timestamp(),
        )
        for each in operations
        if each.started_at is not None and (each.finished_at is None or each.finished_at.timestamp() >= since)
    )
