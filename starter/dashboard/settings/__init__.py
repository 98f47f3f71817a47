"""The Settings tab: plan, poolers, storage, nodes, and the cluster's end."""

from fastapi import APIRouter
from starlette.responses import Response

from model.cluster import ClusterView
from model.errors import MpgError, StackDown
from model.plans import load_plans
from model.storage import GB
from starter.client.shapes import BackupScheduleShape
from starter.dashboard.backups import schedule_query
from starter.dashboard.page import render
from starter.dashboard.settings.actions import DURABILITIES, POOL_MODES
from starter.dashboard.visit import Visit, Visiting

router = APIRouter()


@router.get("/clusters/{cluster_id}/settings")
async def show_settings(visit: Visiting, cluster_id: str) -> Response:
    """Show what can be changed about a cluster, and how it is."""
    view = await visit.cluster(cluster_id)
    schedule = None if visit.only_head else await _schedule(visit, view)
    return render(
        visit,
        "settings/page.html",
        view=view,
        tab="settings",
        plans=list(load_plans(visit.settings.plans_file).values()),
        pool_modes=POOL_MODES,
        durabilities=DURABILITIES,
        given_bytes=view.state.spec.storage_gb * GB,
        look=view.state.status.storage.look,
        schedule=schedule,
        schedule_query=schedule_query(schedule) if schedule else "",
    )


async def _schedule(visit: Visit, view: ClusterView) -> BackupScheduleShape | None:
    """Return when backups are made. Where the cluster has none, or that cannot be read now, the page does without."""
    spec = view.state.spec
    if spec.backups is None:
        return None
    try:
        return await visit.mpg.backup_schedule(spec.id, org=spec.org)
    except StackDown:
        raise
    except MpgError:
        return None
