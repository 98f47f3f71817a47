"""The Connect tab: addresses, connection strings, and how clients are told."""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from model.cluster import ClusterView
from model.errors import MpgError, Refused
from model.names import DEFAULT_DATABASE, DEFAULT_USER
from starter.client.audit import AuditAction
from starter.client.connection import (
    EndpointKind,
    address,
    check_verifiable,
    connection,
    read_master_key,
    verifying,
)
from starter.dashboard.action import Given
from starter.dashboard.connect.snippets import snippets
from starter.dashboard.page import go_to, render
from starter.dashboard.same import connecting
from starter.dashboard.visit import Visit, Visiting

router = APIRouter()

ENDPOINTS = {
    EndpointKind.POOLED: "Pooled: through PgBouncer, for applications",
    EndpointKind.DIRECT: "Direct: to the primary, for migrations and psql",
    EndpointKind.READ_ONLY: "Read-only: to the replica, for reports",
}
VERIFIED = "verify-full"
"""What libpq calls it when the server's certificate and its name are verified."""
TLS = {"": "As the client likes", VERIFIED: "Encrypted and verified"}
_DOTS = "•" * 12


@router.get("/clusters/{cluster_id}")
async def show_cluster(visit: Visiting, cluster_id: str) -> Response:
    """A cluster's first tab is this one."""
    await visit.cluster(cluster_id)
    return go_to(f"/clusters/{cluster_id}/connect")


@router.get("/clusters/{cluster_id}/connect")
async def show_connect(visit: Visiting, cluster_id: str) -> Response:
    """Show how to connect, without a password."""
    return _page(visit, await visit.cluster(cluster_id), dict(visit.request.query_params), revealed=False)


@router.post("/clusters/{cluster_id}/connect")
async def reveal(visit: Visiting, cluster_id: str) -> Response:
    """Show how to connect, with the password: nobody's history, log or cache has the answer to a POST."""
    given = await visit.form()
    view = await visit.cluster(cluster_id)
    if not visit.sees_passwords(view):
        raise Refused("You may not be shown passwords of this cluster.")
    return _page(visit, view, given, revealed=True)


def _page(visit: Visit, view: ClusterView, given: Given, *, revealed: bool) -> Response:
    spec = view.state.spec
    user = given.get("user") or (DEFAULT_USER if spec.user(DEFAULT_USER) else spec.users[0].name if spec.users else "")
    database = given.get("database") or (DEFAULT_DATABASE if spec.database(DEFAULT_DATABASE) else "")
    wanted = given.get("endpoint", EndpointKind.POOLED.value)
    kind = EndpointKind(wanted) if wanted in set(EndpointKind) else EndpointKind.POOLED
    ca_file = visit.settings.ca_file if given.get("tls") == VERIFIED else None
    error: MpgError | None = None
    found, uri = (), ""
    try:
        if revealed:
            key = read_master_key(visit.settings.master_key_file)
            known = connection(view.state, master_key=key, user=user, database=database, kind=kind, ca_file=ca_file)
            visit.mpg.note(AuditAction.READ_PASSWORD, spec, user)
            uri = known.uri
        else:
            uri = _hidden(view, user, database, kind, ca_file)
        found = snippets(uri, pooled=kind is EndpointKind.POOLED, mode=spec.pool_mode)
    except MpgError as failed:
        error = failed
    return render(
        visit,
        "connect/page.html",
        view=view,
        tab="connect",
        user=user,
        database=database,
        kind=kind,
        endpoints=ENDPOINTS,
        tls=VERIFIED if ca_file else "",
        tls_choices=TLS,
        same=connecting(view, user, database, kind, verify=ca_file is not None),
        uri=uri,
        revealed=revealed and error is None,
        snippets=found,
        error=error,
    )


def _hidden(view: ClusterView, user: str, database: str, kind: EndpointKind, ca_file: Path | None) -> str:
    """Return the connection string with dots for the password. Raises NotYet, Refused."""
    if ca_file is not None:
        check_verifiable(view.state.spec, ca_file)
    at = address(view.state, kind)
    query = "" if ca_file is None else f"?{verifying(ca_file)}"
    return f"postgresql://{user}:{_DOTS}@{at.host}:{at.port}/{database}{query}"
