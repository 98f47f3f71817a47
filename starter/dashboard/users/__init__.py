"""The Users tab."""

from fastapi import APIRouter
from starlette.responses import Response

from model.checks import require_user
from model.cluster import ClusterView
from model.errors import MpgError
from model.queries import Queries
from starter.dashboard.page import render
from starter.dashboard.queries import look, signal
from starter.dashboard.same import signalling
from starter.dashboard.users.actions import ROLES
from starter.dashboard.visit import Visit, Visiting

router = APIRouter()


@router.get("/clusters/{cluster_id}/users")
async def show_users(visit: Visiting, cluster_id: str) -> Response:
    """List the users and what their roles allow."""
    view = await visit.cluster(cluster_id)
    return render(visit, "users/page.html", view=view, tab="users", roles=ROLES)


@router.get("/clusters/{cluster_id}/users/{user}/sessions")
async def show_sessions(visit: Visiting, cluster_id: str, user: str) -> Response:
    """Show a user's sessions on the primary, as one look finds them."""
    return await _sessions(visit, await _of_user(visit, cluster_id, user), user)


@router.post("/clusters/{cluster_id}/users/{user}/sessions")
async def signal_session_of_user(visit: Visiting, cluster_id: str, user: str) -> Response:
    """Cancel what one of them runs, or end it, and look again."""
    given = await visit.form()
    view = await _of_user(visit, cluster_id, user)
    done, error = await signal(visit, view, given)
    return await _sessions(visit, view, user, done=done, error=error)


async def _of_user(visit: Visit, cluster_id: str, user: str) -> ClusterView:
    view = await visit.cluster(cluster_id)
    require_user(view.state.spec, user)
    return view


async def _sessions(
    visit: Visit, view: ClusterView, user: str, *, error: MpgError | None = None, done: str = ""
) -> Response:
    found: Queries | None = None
    try:
        found = await look(visit, view)
    except MpgError as failed:
        error = error or failed
    return render(
        visit,
        "users/sessions.html",
        status=409 if error and not visit.by_htmx else 200,
        view=view,
        tab="users",
        user=user,
        at=found and found.at,
        sessions=[each for each in found.sessions if each.user == user] if found else [],
        same=signalling(view),
        error=error,
        done=done,
    )
