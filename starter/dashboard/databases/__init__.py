"""The Databases tab: databases, and the extensions of each."""

from fastapi import APIRouter
from starlette.responses import Response

from model.checks import require_database
from starter.dashboard.page import render
from starter.dashboard.visit import Visiting

router = APIRouter()


@router.get("/clusters/{cluster_id}/databases")
async def show_databases(visit: Visiting, cluster_id: str) -> Response:
    """List the databases with their sizes and sessions, as last recorded and collected."""
    view = await visit.cluster(cluster_id)
    spec = view.state.spec
    found: dict[str, int] = {}
    if not visit.only_head:
        found = await visit.mpg.database_connections(spec.id, org=spec.org)
    look = view.state.status.storage.look
    sizes = {each.name: each.bytes for each in look.databases} if look else {}
    return render(visit, "databases/page.html", view=view, tab="databases", sizes=sizes, connections=found)


@router.get("/clusters/{cluster_id}/databases/{database}")
async def show_extensions(visit: Visiting, cluster_id: str, database: str) -> Response:
    """List the extensions that a database has or may have."""
    view = await visit.cluster(cluster_id)
    spec = view.state.spec
    require_database(spec, database)
    found = await visit.mpg.extensions(spec.id, database, org=spec.org)
    ordered = sorted(found, key=lambda each: (each.installed is None, each.name))
    return render(visit, "databases/extensions.html", view=view, tab="databases", database=database, extensions=ordered)
