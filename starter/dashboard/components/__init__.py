"""A page with every component in every state: changes of style are judged here."""

from fastapi import APIRouter
from starlette.responses import Response

from model.operations import StepStatus
from starter.dashboard.health import Tone
from starter.dashboard.page import render
from starter.dashboard.visit import Visiting

router = APIRouter()


@router.get("/components")
async def show_components(visit: Visiting) -> Response:
    """Show them all."""
    return render(visit, "components/page.html", tones=list(Tone), statuses=list(StepStatus))
