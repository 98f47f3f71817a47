"""Who asked for what, as JSON lines."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime
from starlette.responses import Response

from starter.api.call import Asked

DEFAULT_DAYS = 30
JSON_LINES = "application/x-ndjson"

router = APIRouter(prefix="/api/v1", tags=["audit"])

_DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {JSON_LINES: {"schema": {"type": "string"}}},
        "description": "A JSON object a line, the oldest first.",
    }
}


class JsonLines(Response):
    """A JSON document a line."""

    media_type = JSON_LINES


@router.get("/organizations/{org}/audit", response_class=JsonLines, responses=_DOCUMENTED)
async def show_audit(
    org: str,
    call: Asked,
    since: Annotated[AwareDatetime | None, Query(description="By default 30 days ago.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="By default now.")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="The latest so many.")] = 1000,
) -> Response:
    """Tell who asked for what in an organization, when, and with which outcome; passwords that were shown included."""
    now = datetime.now(UTC)
    entries = await call.mpg.audit(
        org=await call.organization(org),
        since=since or now - timedelta(days=DEFAULT_DAYS),
        until=until or now,
        limit=limit,
        clusters=call.caller.clusters_of(org),
    )
    return JsonLines("".join(f"{entry.model_dump_json(exclude_none=True)}\n" for entry in entries))
