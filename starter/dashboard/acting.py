"""The page of every action: what will happen, and the button that starts it. Then its steps, live."""

from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.responses import Response

from model.cluster import ClusterView
from model.errors import InvalidInput, MpgError, NotFound, Refused, StackDown
from starter.client import shapes
from starter.dashboard.action import Action, Given
from starter.dashboard.backups.actions import ACTIONS as BACKUPS
from starter.dashboard.backups.timeline import bounds
from starter.dashboard.calls import http_call
from starter.dashboard.databases.actions import ACTIONS as DATABASES
from starter.dashboard.destroyed import ACTIONS as DESTROYED
from starter.dashboard.destroyed import PATH as DESTROYED_PATH
from starter.dashboard.destroyed import kept
from starter.dashboard.page import go_to, operation_path, render
from starter.dashboard.settings.access_actions import ACTIONS as ACCESS
from starter.dashboard.settings.actions import ACTIONS as SETTINGS
from starter.dashboard.settings.waits import HOLDING, measured_wait
from starter.dashboard.users.actions import ACTIONS as USERS
from starter.dashboard.visit import Visit, Visiting

router = APIRouter()

ACTIONS = {action.name: action for action in (*USERS, *DATABASES, *SETTINGS, *ACCESS, *BACKUPS, *DESTROYED)}
_SURE = "sure"
"""Name of the field for the cluster's name where that has to be typed."""
_SAID = "said"
"""Id of the part of the page that says what will happen. It alone is asked for when something else was entered."""


@router.get("/clusters/{cluster_id}/do/{name}")
async def confirm(visit: Visiting, cluster_id: str, name: str) -> Response:
    """Show what an action will do, with what was entered for it."""
    action = _action(name)
    return await _page(visit, action, await _view(visit, action, cluster_id), dict(visit.request.query_params), None)


@router.post("/clusters/{cluster_id}/do/{name}")
async def act(visit: Visiting, cluster_id: str, name: str) -> Response:
    """Start an action and go to its steps; where it cannot be started, say why and keep what was entered."""
    given = await visit.form()
    action = _action(name)
    view = await _view(visit, action, cluster_id)
    try:
        if action.by_name and given.get(_SURE) != view.state.spec.name:
            raise InvalidInput(f"This is not the cluster's name, which is {view.state.spec.name}.")
        if action.makes_cluster and not visit.caller.may_create(view.state.spec.org):
            raise Refused("You are signed in with a token for one cluster, which cannot make others.")
        operation = await action.start(visit.mpg, view, action.values(given))
    except StackDown:
        raise
    except MpgError as error:
        return await _page(visit, action, view, given, error)
    return go_to(operation_path(operation.id), by_htmx=visit.by_htmx)


async def _view(visit: Visit, action: Action, cluster_id: str) -> ClusterView:
    return await (kept(visit, cluster_id) if action.of_destroyed else visit.cluster(cluster_id))


async def _page(visit: Visit, action: Action, view: ClusterView, given: Given, error: MpgError | None) -> Response:
    values = action.values(given)
    call = http_call(action.name, view, values)
    # A history is read for it, and it does not depend on what was entered.
    waits = action.name in HOLDING and visit.request.headers.get("hx-target") != _SAID
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
        recoverable=None if action.of_destroyed else _recoverable(view),
        wait=await measured_wait(visit, view) if waits else None,
        command=action.command_line(view, values),
        call=call and call.as_curl(str(visit.request.base_url)),
        error=error,
        tab=action.tab,
        back=DESTROYED_PATH if action.of_destroyed else f"/clusters/{view.state.spec.id}/{action.tab}",
    )


def _recoverable(view: ClusterView) -> tuple[datetime, datetime] | None:
    """Return the first and the last moment that can be restored, where it is known."""
    known = shapes.cluster_status(view).backups
    return bounds(known.window, datetime.now(UTC)) if known and known.window else None


def _action(name: str) -> Action:
    if name not in ACTIONS:
        raise NotFound("There is no such page.")
    return ACTIONS[name]
