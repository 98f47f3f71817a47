"""The Backups tab: the recovery window, the backups, and what can be made from them."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import Response

from model.cluster import ClusterView
from model.cron import OFF
from model.errors import MpgError
from starter.client import shapes
from starter.client.shapes import BackupScheduleShape, BackupShape
from starter.dashboard.backups.timeline import timeline
from starter.dashboard.page import render
from starter.dashboard.visit import Visit, Visiting

router = APIRouter()


@router.get("/clusters/{cluster_id}/backups")
async def show_backups(visit: Visiting, cluster_id: str) -> Response:
    """List the backups; a repository that does not answer is said to, beside what is on record."""
    view = await visit.cluster(cluster_id)
    found: tuple[BackupShape, ...] = ()
    schedule: BackupScheduleShape | None = None
    error: MpgError | None = None
    if view.state.spec.backups is not None:
        try:
            found, schedule = await _look(visit, view)
        except MpgError as failed:
            error = failed
    known = shapes.cluster_status(view).backups
    return render(
        visit,
        "backups/page.html",
        view=view,
        tab="backups",
        found=found,
        schedule=schedule,
        known=known,
        line=timeline(known.window, found, datetime.now(UTC)) if known else None,
        schedule_query=schedule_query(schedule) if schedule else "",
        error=error,
    )


def schedule_query(schedule: BackupScheduleShape) -> str:
    """Return the schedule as the fields of the form that changes it."""
    fields = schedule.model_dump(include={"full", "incr", "drill", "keep_full", "keep_days"})
    return urlencode(fields | {"drill": schedule.drill or OFF})


async def _look(visit: Visit, view: ClusterView) -> tuple[tuple[BackupShape, ...], BackupScheduleShape]:
    spec = view.state.spec
    return await visit.mpg.backups(spec.id, org=spec.org), await visit.mpg.backup_schedule(spec.id, org=spec.org)
