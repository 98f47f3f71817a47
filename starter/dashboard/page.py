"""Pages from templates: one environment, a few filters, and the same headers for all of them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from starter.client.shapes import phase
from starter.dashboard.health import health, reasons
from starter.dashboard.visit import Visit

HERE = Path(__file__).parent
ASSETS = HERE / "assets"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Vary": "HX-Request",
}
"""Of every page: it may hold a secret that was asked for, so nothing keeps it."""


def render(visit: Visit, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return the page that *template* makes of *values*, for somebody who is signed in."""
    known = {"visit": visit, "csrf": visit.session.csrf, "partial": visit.by_htmx, "path": visit.request.url.path}
    known["base"] = str(visit.request.base_url)
    return HTMLResponse(_ENVIRONMENT.get_template(template).render(known | values), status, HEADERS)


def render_outside(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page for somebody who is not signed in."""
    return HTMLResponse(
        _ENVIRONMENT.get_template(template).render(visit=None, partial=False, **values), status, HEADERS
    )


def go_to(path: str, *, by_htmx: bool = False) -> Response:
    """Send the browser to *path*, after a form too. A script's own request would follow a redirect by itself."""
    if by_htmx:
        return Response(status_code=204, headers={"HX-Redirect": path, "Cache-Control": "no-store"})
    return Response(status_code=303, headers={"Location": path, "Cache-Control": "no-store"})


def operation_path(operation_id: str) -> str:
    """Return the path of an operation's page."""
    return f"/operations/{quote(operation_id)}"


def size(count: int | None) -> str:
    """Return bytes for people: ``1.4 GB``, in powers of 1024 as storage is given."""
    if count is None:
        return "–"
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1024 or unit == "TB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """Return a time span for people: ``0.42 s``, ``12 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def ago(moment: datetime | None, *, now: datetime | None = None) -> str:
    """Return how long ago *moment* was: ``just now``, ``5 min ago``, ``3 days ago``."""
    if moment is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    for bound, unit, name in ((60, 0, ""), (3600, 60, "min"), (86400, 3600, "h")):
        if seconds < bound:
            return f"{int(seconds // unit)} {name} ago" if unit else "just now"
    days = int(seconds // 86400)
    return f"{days} day{'' if days == 1 else 's'} ago"


def moment(at: datetime | None) -> str:
    """Return a time in UTC, to the second."""
    return "–" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def local(at: datetime) -> str:
    """Return a time in UTC as a field for date and time holds it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


def words(name: str) -> str:
    """Return the name of a type in words: ``ChangePlan`` is ``Change plan``."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    return spaced[:1].upper() + spaced[1:].replace("_", " ")


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters = cast("dict[str, object]", made.filters)  # pyright: ignore[reportUnknownMemberType]
    filters.update({each.__name__: each for each in (size, duration, ago, moment, local, words, operation_path, phase)})
    cast("dict[str, object]", made.globals).update(health=health, reasons=reasons)  # pyright: ignore[reportUnknownMemberType]
    return made


_ENVIRONMENT = _environment()
