"""The page of every action: what will happen, and the button that starts it. Then its steps, live."""

from fastapi import APIRouter
from starlette.responses import Response

from model.cluster import ClusterView
from model.errors import InvalidInput, MpgError, NotFound, Refused, StackDown
from starter.dashboard.action import Action, Given
from starter.dashboard.backups.actions import ACTIONS as BACKUPS
from starter.dashboard.databases.actions import ACTIONS as DATABASES
from starter.dashboard.page import go_to, operation_path, render
from starter.dashboard.settings.actions import ACTIONS as SETTINGS
from starter.dashboard.users.actions import ACTIONS as USERS
from starter.dashboard.visit import Visit, Visiting

router = APIRouter()

ACTIONS = {action.name: action for action in (*USERS, *DATABASES, *SETTINGS, *BACKUPS)}
_SURE = "sure"
"""Name of the field for the cluster's name where that has to be typed."""


@router.get("/clusters/{cluster_id}/do/{name}")
async def confirm(visit: Visiting, cluster_id: str, name: str) -> Response:
    """Show what an action will do, with what was entered for it."""
    view = await visit.cluster(cluster_id)
    return _page(visit, _action(name), view, dict(visit.request.query_params), None)


@router.post("/clusters/{cluster_id}/do/{name}")
async def act(visit: Visiting, cluster_id: str, name: str) -> Response:
    """Start an action and go to its steps; where it cannot be started, say why and keep what was entered."""
    given = await visit.form()
    view, action = await visit.cluster(cluster_id), _action(name)
    try:
        if action.by_name and given.get(_SURE) != view.state.spec.name:
            raise InvalidInput(f"This is not the cluster's name, which is {view.state.spec.name}.")
        if action.makes_cluster and not visit.caller.may_create(view.state.spec.org):
            raise Refused("You are signed in with a token for one cluster, which cannot make others.")
        operation = await action.start(visit.mpg, view, action.values(given))
    except StackDown:
        raise
    except MpgError as error:
        return _page(visit, action, view, given, error)
    return go_to(operation_path(operation.id), by_htmx=visit.by_htmx)


def _page(visit: Visit, action: Action, view: ClusterView, given: Given, error: MpgError | None) -> Response:
    values = action.values(given)
    # A part of a page is shown whatever its status is; a page has the status that it deserves.
    status = 200 if error is None or visit.by_htmx else 422
    return render(
        visit,
        "confirm.html",
        status=status,
        action=action,
        view=view,
        values=values,
        title=action.title(view, values),
        effects=action.effects(view, values),
        command=action.command_line(view, values),
        error=error,
        tab=action.tab,
    )


def _action(name: str) -> Action:
    if name not in ACTIONS:
        raise NotFound("There is no such page.")
    return ACTIONS[name]
