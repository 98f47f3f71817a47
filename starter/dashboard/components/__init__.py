"""A page with every component in every state: changes of style are judged here."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter
from starlette.responses import Response

from model.backups import BackupType
from model.operations import StepStatus
from model.storage_facts import STORAGE_LOW
from starter.client.shapes import BackupShape, BackupWindow, LostMoments, ProofShape
from starter.dashboard.backups.timeline import Timeline, timeline
from starter.dashboard.health import REMEDIES, Reason, Tone
from starter.dashboard.page import render
from starter.dashboard.visit import Visiting

router = APIRouter()


@router.get("/components")
async def show_components(visit: Visiting) -> Response:
    """Show them all."""
    reason = Reason(
        tone=Tone.WARN, title=STORAGE_LOW, text="One sentence that says what is so.", remedy=REMEDIES[STORAGE_LOW]
    )
    return render(
        visit,
        "components/page.html",
        tones=list(Tone),
        statuses=list(StepStatus),
        line=_line(),
        reason=reason,
    )


def _line() -> Timeline | None:
    """Return a recovery window with a backup of every kind, and a gap."""
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def backup(hours: float, type: BackupType, status: str = "completed", fault: str | None = "") -> BackupShape:
        stop = noon - timedelta(hours=hours)
        proof = ProofShape(
            backup_id="", at=noon, fault=fault or None, recovery_seconds=None, to_end=True, restored_bytes=None,
            tables_compared=None,
        )  # fmt: skip
        return BackupShape(
            id="", status=status, type=type, start=stop, stop=stop, proof=proof if fault is not None else None,
            proven=noon if fault == "" else None,
        )  # fmt: skip

    found = (
        backup(48, BackupType.FULL),
        backup(36, BackupType.INCR, fault="Table public.sold has 3 rows, not 4."),
        backup(30, BackupType.INCR, "damaged", fault=None),
        backup(8, BackupType.INCR, fault=None),
    )
    lost = LostMoments(since=noon - timedelta(hours=20), until=noon - timedelta(hours=14))
    return timeline(BackupWindow(since=noon - timedelta(hours=48), until=None, lost=(lost,)), found, noon)
