"""The Users tab."""

from fastapi import APIRouter
from starlette.responses import Response

from starter.dashboard.page import render
from starter.dashboard.users.actions import ROLES
from starter.dashboard.visit import Visiting

router = APIRouter()


@router.get("/clusters/{cluster_id}/users")
async def show_users(visit: Visiting, cluster_id: str) -> Response:
    """List the users and what their roles allow."""
    view = await visit.cluster(cluster_id)
    return render(visit, "users/page.html", view=view, tab="users", roles=ROLES)
