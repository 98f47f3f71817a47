"""The list of clusters, and making one."""

from fastapi import APIRouter
from starlette.responses import Response

from model.cluster import ClusterView, Durability, PoolMode
from model.errors import MpgError, Refused, StackDown
from model.names import DEFAULT_ORG
from model.plans import load_plans
from starter.dashboard.action import Given, whole_number
from starter.dashboard.health import health
from starter.dashboard.page import go_to, operation_path, render
from starter.dashboard.settings.actions import POOL_MODES
from starter.dashboard.visit import Visit, Visiting

router = APIRouter()

PAGE = 50
"""How many clusters a page lists."""
DURABILITIES = {
    Durability.SYNC: "An acknowledged commit is on both nodes: a failover loses nothing.",
    Durability.ASYNC: "A commit waits for the primary alone: faster, and a failover may lose the last ones.",
}
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
    found = await visit.clusters()
    matching = sorted((view for view in found if search.lower() in view.state.spec.name), key=_urgency)
    pages = max(1, -(-len(matching) // PAGE))
    page = min(max(page, 1), pages)
    shown = matching[(page - 1) * PAGE : page * PAGE]
    return render(
        visit,
        "clusters/list.html",
        clusters=shown,
        total=len(found),
        matching=len(matching),
        search=search,
        page=page,
        pages=pages,
        several=len({view.state.spec.org for view in found}) > 1,
        urgent=[view for view in matching if health(view).urgency < 3],
    )


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
        error=error,
        organizations=[slug for slug in await visit.organizations() if visit.caller.may_create(slug)],
        plans=list(load_plans(visit.settings.plans_file).values()),
        pool_modes=POOL_MODES,
        durabilities=DURABILITIES,
    )
