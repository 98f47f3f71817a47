"""Operations: what ran and what runs, and each step by step as it happens."""

from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import Response

from model.cluster import ClusterPhase, ClusterView
from model.errors import MpgError
from model.operations import OPERATIONS, OperationOutcome
from model.settings import LOOPBACK, Settings
from starter.client.shapes import OperationShape
from starter.dashboard.health import Tone
from starter.dashboard.page import go_to, operation_path, render
from starter.dashboard.visit import Visit, Visiting

router = APIRouter()

LISTED = 100
"""How many operations are listed at most, the latest."""
TONES = {
    OperationOutcome.RUNNING: Tone.BUSY,
    OperationOutcome.DONE: Tone.GOOD,
    OperationOutcome.FAILED: Tone.BAD,
    OperationOutcome.ROLLED_BACK: Tone.WARN,
    OperationOutcome.CANCELLED: Tone.IDLE,
}


@router.get("/operations")
async def list_operations(visit: Visiting, status: str = "", type: str = "") -> Response:
    """List the latest operations on all clusters that the visitor sees."""
    found = [
        shape
        for org in await visit.organizations()
        for shape in await visit.mpg.operations(org=org, limit=LISTED)
        if visit.caller.sees_cluster(org, shape.cluster_id)
    ]
    found.sort(key=lambda shape: shape.started_at.timestamp() if shape.started_at else 0, reverse=True)
    return _list(visit, "operations/list.html", found[:LISTED], status, type, None)


@router.get("/clusters/{cluster_id}/operations")
async def list_operations_of_cluster(visit: Visiting, cluster_id: str, status: str = "", type: str = "") -> Response:
    """List the latest operations on one cluster."""
    view = await visit.cluster(cluster_id)
    found = await visit.mpg.operations(cluster_id, org=view.state.spec.org, limit=LISTED)
    return _list(visit, "operations/tab.html", found, status, type, view)


def _list(
    visit: Visit, template: str, found: list[OperationShape], status: str, type: str, view: ClusterView | None
) -> Response:
    shown = [each for each in found if status in {"", each.status.value} and type in {"", each.type}]
    return render(
        visit,
        template,
        view=view,
        tab="operations",
        operations=shown,
        any_at_all=bool(found),
        outcome=status,
        type=type,
        outcomes=list(OperationOutcome),
        types=sorted(OPERATIONS),
        tones=TONES,
    )


@router.get("/operations/{operation_id:path}")
async def show_operation(visit: Visiting, operation_id: str) -> Response:
    """Show an operation with its steps."""
    return await _page(visit, operation_id, None)


@router.post("/operations/{operation_id:path}")
async def cancel_operation(visit: Visiting, operation_id: str) -> Response:
    """Ask an operation to stop and to undo what it did."""
    await visit.form()
    handle, _ = await visit.operation(operation_id)
    try:
        await handle.cancel()
    except MpgError as error:
        return await _page(visit, operation_id, error)
    return go_to(operation_path(operation_id))


async def _page(visit: Visit, operation_id: str, error: MpgError | None) -> Response:
    handle, shape = await visit.operation(operation_id)
    view = await visit.mpg.find(shape.cluster_id)
    detail = await handle.detail() if shape.status is OperationOutcome.RUNNING else None
    return render(
        visit,
        "operations/page.html",
        status=409 if error else 200,
        operation=shape,
        detail=detail,
        cluster=view if view and view.state.status.phase is not ClusterPhase.DESTROYED else None,
        cluster_name=operation_id.split("/")[1] if operation_id.count("/") > 1 else "",
        temporal=temporal_page(visit.settings, operation_id),
        tones=TONES,
        error=error,
    )


def temporal_page(settings: Settings, operation_id: str) -> str | None:
    """Return the address of a workflow in Temporal's UI, None where the stack runs no Temporal of its own."""
    if not settings.embedded:
        return None
    space = f"namespaces/{settings.temporal_namespace}/workflows"
    return f"http://{LOOPBACK}:{settings.temporal_ui_port}/{space}/{quote(operation_id, safe='')}"
