"""Finding a cluster, with the sentences and codes of the Machines API."""

from model.cluster import ClusterPhase, ClusterView
from model.errors import NotFound
from starter.api.call import Call
from starter.api.errors import ApiError


async def organization(call: Call, slug: str) -> str:
    """Return *slug* if there is such an organization for the caller; answers 404 otherwise."""
    try:
        return await call.organization(slug)
    except NotFound:
        raise ApiError(404, "organization not found") from None


async def view(call: Call, cluster: str, *, destroyed: bool = False) -> ClusterView:
    """Return what is recorded of *cluster*; answers 404 where there is none, 410 where it was destroyed."""
    try:
        found = await call.view(cluster, destroyed=True)
    except NotFound:
        raise ApiError(404, "cluster not found") from None
    if found.state.status.phase is ClusterPhase.DESTROYED and not destroyed:
        raise ApiError(410, "cluster was deleted")
    return found
