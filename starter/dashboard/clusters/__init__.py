"""The list of clusters, and making one."""

from collections.abc import Sequence

from fastapi import APIRouter
from starlette.responses import Response

from model.cluster import ClusterView, Durability, PoolMode
from model.errors import MpgError, Refused, StackDown
from model.names import DEFAULT_ORG
from model.plans import load_plans
from starter.client.listing import ClusterRow
from starter.dashboard.action import Given, whole_number
from starter.dashboard.health import health
from starter.dashboard.page import go_to, operation_path, render
from starter.dashboard.same import creating
from starter.dashboard.settings.actions import DURABILITIES, POOL_MODES
from starter.dashboard.visit import Visit, Visiting

router = APIRouter()

PAGE = 50
"""How many clusters a page lists."""
MOST_JUDGED = 200
"""Of so many it is looked at in full which need a person first; of more, at those that lists show not to be well."""
DEFAULTS = {
    "name": "",
    "org": DEFAULT_ORG,
    "plan": "basic",
    "storage_gb": "10",
    "pg_major_version": "17",
    "pool_mode": PoolMode.TRANSACTION.value,
    "durability": Durability.SYNC.value,
    "postgis_enabled": "",
}
"""What the form for a new cluster holds at first."""


@router.get("/")
async def list_clusters(visit: Visiting, search: str = "", page: int = 1) -> Response:
    """List the clusters, those that need a person first."""
    rows = await visit.rows()
    matching = [row for row in rows if search.lower() in row.name]
    pages = max(1, -(-len(matching) // PAGE))
    page = min(max(page, 1), pages)
    judged = await _judged(visit, matching)
    shown = await _shown(visit, matching, judged, (page - 1) * PAGE, page * PAGE)
    return render(
        visit,
        "clusters/list.html",
        clusters=shown,
        total=len(rows),
        matching=len(matching),
        search=search,
        page=page,
        pages=pages,
        several=len({row.org for row in rows}) > 1,
    )


async def _judged(visit: Visit, rows: Sequence[ClusterRow]) -> list[ClusterView]:
    """Return those that come first, in their order: all where they are few, else those that are not simply ready."""
    if len(rows) > MOST_JUDGED:
        rows = [row for row in rows if not row.steady][:MOST_JUDGED]
    return sorted(await visit.mpg.views([row.id for row in rows]), key=_urgency)


async def _shown(
    visit: Visit, rows: Sequence[ClusterRow], judged: Sequence[ClusterView], first: int, end: int
) -> list[ClusterView]:
    """Return the clusters at places *first* to *end* of all: the *judged* ones, then the others by name."""
    known = {view.state.spec.id for view in judged}
    others = [row.id for row in rows if row.id not in known]
    before = len(judged)
    return [*judged[first:end], *await visit.mpg.views(others[max(0, first - before) : max(0, end - before)])]


def _urgency(view: ClusterView) -> tuple[int, str]:
    return health(view).urgency, view.state.spec.name


@router.get("/clusters/new")
async def new(visit: Visiting) -> Response:
    """Show the form for a new cluster."""
    return await _form(visit, DEFAULTS | dict(visit.request.query_params), None)


@router.post("/clusters/new")
async def create(visit: Visiting) -> Response:
    """Begin to make a cluster and go to its steps."""
    given = DEFAULTS | dict(await visit.form())
    try:
        if not visit.caller.sees_organization(given["org"]) or not visit.caller.may_create(given["org"]):
            raise Refused(f"You may not make clusters in organization {given['org']!r}.")
        operation = await visit.mpg.create_cluster(
            given["name"],
            org=given["org"],
            plan=given["plan"],
            storage_gb=whole_number(given["storage_gb"], "Storage"),
            pg_major_version=whole_number(given["pg_major_version"], "The Postgres version"),
            pool_mode=given["pool_mode"],
            durability=given["durability"],
            postgis_enabled=bool(given["postgis_enabled"]),
        )
    except StackDown:
        raise
    except MpgError as error:
        return await _form(visit, given, error)
    return go_to(operation_path(operation.id), by_htmx=visit.by_htmx)


async def _form(visit: Visit, given: Given, error: MpgError | None) -> Response:
    return render(
        visit,
        "clusters/new.html",
        status=422 if error else 200,
        given=given,
        same=creating(given),
        error=error,
        organizations=[slug for slug in await visit.organizations() if visit.caller.may_create(slug)],
        plans=list(load_plans(visit.settings.plans_file).values()),
        pool_modes=POOL_MODES,
        durabilities=DURABILITIES,
    )
