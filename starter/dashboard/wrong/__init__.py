"""What is wrong now with any cluster: a part that every page asks for once it is there, and shows on top."""

from fastapi import APIRouter
from starlette.responses import Response

from starter.dashboard.health import URGENT, health
from starter.dashboard.page import render
from starter.dashboard.visit import Visiting

router = APIRouter()

NAMED = 5
"""How many clusters are named; the others are counted."""


@router.get("/wrong")
async def show_wrong(visit: Visiting, beside: str = "") -> Response:
    """Show a note for each cluster that needs somebody, but the one *beside* which it is shown."""
    rows = [row for row in await visit.rows(wrong=True) if row.id != beside]
    views = [view for view in await visit.mpg.views([row.id for row in rows]) if health(view).urgency < URGENT]
    views.sort(key=lambda view: (health(view).urgency, view.state.spec.name))
    return render(visit, "wrong/part.html", named=views[:NAMED], more=len(views[NAMED:]))
