"""`mpg metrics show`."""

from typing import TYPE_CHECKING, Annotated

import typer

from model.errors import NotYet
from model.names import DEFAULT_ORG
from starter.cli import options
from starter.cli.output import print_json, print_table
from starter.cli.session import with_client
from starter.client.metric_shapes import ChartShape, MetricsRange, SeriesShape, figure

if TYPE_CHECKING:
    from starter.client import MpgClient
    from starter.client.metric_shapes import MetricsShape

app = typer.Typer(help="How busy a cluster is and was.", no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog=options.example("mpg metrics show orders --range 24h", "mpg metrics show orders -d fly-db --json"))
def show(
    cluster: options.Cluster,
    range: Annotated[MetricsRange, typer.Option("--range", help="How far back, from now.")] = MetricsRange.HOUR,
    database: Annotated[
        str | None, typer.Option("--database", "-d", metavar="NAME", help="Only this one, where that can be told.")
    ] = None,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Show a cluster's metrics: CPU, memory, connections, rows, storage, replication; in JSON point by point."""

    async def look(mpg: "MpgClient") -> "MetricsShape":
        return await mpg.metrics(cluster, range=range, database=database, org=org)

    found = with_client(look)
    if found.unavailable:
        raise NotYet(found.unavailable, remedy="See 'mpg doctor'.")
    if as_json:
        print_json(found)
    elif found.empty:
        print(
            f"Nothing of cluster {cluster} was collected in the last {range.value}. First values come within a minute."
        )
    else:
        rows = [_row(chart, series) for chart in found.charts for series in chart.series]
        print_table(["metric", "of", "latest", "lowest", "average", "highest"], rows)
        for chart in found.charts:
            if chart.missing:
                print(f"{chart.title}: {chart.missing}")


def _row(chart: ChartShape, series: SeriesShape) -> tuple[str, ...]:
    known = [value for value in series.values if value is not None]
    shown = (series.latest, min(known), sum(known) / len(known), max(known))
    return (chart.title, series.name, *(figure(value, chart.unit) for value in shown))
