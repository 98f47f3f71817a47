"""The Metrics tab: charts over a range, with marks of what happened meanwhile."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import Response

from model.cluster import ClusterView
from model.errors import InvalidInput
from starter.client.metric_shapes import MetricsRange
from starter.dashboard.action import command_line
from starter.dashboard.calls import HttpCall
from starter.dashboard.metrics.drawing import drawing, listed_marks
from starter.dashboard.operations import TONES
from starter.dashboard.page import render
from starter.dashboard.visit import Visiting

router = APIRouter()

LISTED_MARKS = 20
"""How many operations are listed below the charts, the latest; all of them are marked."""
_NEW = timedelta(minutes=5)
"""A cluster may be without values for so long after it was made."""


@router.get("/clusters/{cluster_id}/metrics")
async def show_metrics(visit: Visiting, cluster_id: str, range: str = "", database: str = "") -> Response:
    """Show the charts. Where only the head of the page is asked for anew, Prometheus is not asked."""
    view = await visit.cluster(cluster_id)
    reach = chosen_range(range, MetricsRange.HOUR)
    found = None
    if not visit.only_head:
        spec = view.state.spec
        found = await visit.mpg.metrics(spec.id, range=reach, database=database or None, org=spec.org)
    return render(
        visit,
        "metrics/page.html",
        view=view,
        tab="metrics",
        found=found,
        drawn=drawing(found) if found else None,
        marks=listed_marks(found)[:LISTED_MARKS] if found else (),
        tones=TONES,
        range=reach,
        ranges={each.value: urlencode({"range": each.value, "database": database}) for each in MetricsRange},
        database=database,
        is_new=datetime.now(UTC) - view.state.spec.created_at < _NEW,
        command=_command(view, reach, database),
        call=_call(view, reach, database).as_curl(str(visit.request.base_url)),
    )


def chosen_range(text: str, otherwise: MetricsRange) -> MetricsRange:
    """Return the range that *text* is, *otherwise* where it is empty. Raises InvalidInput."""
    try:
        return MetricsRange(text) if text else otherwise
    except ValueError:
        raise InvalidInput(f"Range {text!r} is none: {', '.join(MetricsRange)}.") from None


def _command(view: ClusterView, reach: MetricsRange, database: str) -> str:
    of_database = ["--database", database] if database else []
    return command_line(view, ["metrics", "show", view.state.spec.name, "--range", reach.value, *of_database])


def _call(view: ClusterView, reach: MetricsRange, database: str) -> HttpCall:
    query = urlencode({"range": reach.value} | ({"database": database} if database else {}))
    return HttpCall("GET", f"/api/v1/postgresv2/{view.state.spec.id}/metrics?{query}")
