"""The Settings tab: plan, poolers, storage, nodes, and the cluster's end."""

from fastapi import APIRouter
from starlette.responses import Response

from model.plans import load_plans
from model.storage import GB
from starter.dashboard.page import render
from starter.dashboard.settings.actions import POOL_MODES
from starter.dashboard.visit import Visiting

router = APIRouter()


@router.get("/clusters/{cluster_id}/settings")
async def show_settings(visit: Visiting, cluster_id: str) -> Response:
    """Show what can be changed about a cluster, and how it is."""
    view = await visit.cluster(cluster_id)
    return render(
        visit,
        "settings/page.html",
        view=view,
        tab="settings",
        plans=list(load_plans(visit.settings.plans_file).values()),
        pool_modes=POOL_MODES,
        given_bytes=view.state.spec.storage_gb * GB,
        look=view.state.status.storage.look,
    )
