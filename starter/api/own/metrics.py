"""A cluster's metrics: the charts of the dashboard, as values."""

from typing import Annotated

from fastapi import APIRouter, Query

from model.base import Record
from starter.api.call import Asked
from starter.client.metric_shapes import MetricsRange, MetricsShape

router = APIRouter(prefix="/api/v1/postgresv2/{cluster}", tags=["metrics"])


class Metrics(Record):
    """The answer about all charts over one range."""

    data: MetricsShape


@router.get("/metrics")
async def show_metrics(
    cluster: str,
    call: Asked,
    range: Annotated[MetricsRange, Query(description="How far back, from now.")] = MetricsRange.HOUR,
    database: Annotated[
        str | None, Query(description="Only this database, in the charts whose `by_database` is true.")
    ] = None,
) -> Metrics:
    """Show a cluster's metrics over a range, in about 200 points, and the operations meanwhile.

    A point without a value is null. Where Prometheus does not answer there are no charts, and `unavailable` says why.
    """
    spec = (await call.view(cluster)).state.spec
    return Metrics(data=await call.mpg.metrics(spec.id, range=range, database=database, org=spec.org))
