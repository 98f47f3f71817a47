"""Clusters by the Machines API."""

from fastapi import APIRouter, Request
from pydantic import Field

from model.base import Record
from model.cluster import PoolMode
from model.names import DEFAULT_ORG
from model.plans import find_plan, load_plans
from starter.api.call import Asked
from starter.api.creation import Wanted, create, name_for, region_of
from starter.api.machines import shapes
from starter.api.machines.lookup import organization, view
from starter.api.machines.shapes import Cluster, ClusterSummary, DeletedSummary
from starter.api.operating import Begun, Body, begun
from starter.api.rest.clusters import MajorVersion

router = APIRouter(prefix="/postgres", tags=["machines: clusters"])


class Clusters(Record):
    """The answer about several."""

    data: list[DeletedSummary | ClusterSummary]


class OneCluster(Record):
    """The answer about one."""

    data: Cluster


class NewCluster(Body):
    """A cluster to be made; without a name it gets one."""

    org_slug: str
    plan: str = "basic"
    region: str | None = None
    name: str | None = None
    disk_size_gb: int = Field(10, ge=10, le=1000, description="Per node.")
    pg_major_version: MajorVersion = 17
    pool_mode: PoolMode = PoolMode.TRANSACTION
    postgis_enabled: bool = False


@router.get("")
async def list_clusters(call: Asked, org_slug: str = DEFAULT_ORG, include_deleted: bool = False) -> Clusters:
    """List the clusters of an organization."""
    org = await organization(call, org_slug)
    listed: list[DeletedSummary | ClusterSummary] = [shapes.summary(found) for found in await call.clusters(org)]
    if include_deleted:
        ended_at = await call.mpg.ends_of_deleted(org=org)
        for found in await call.deleted_clusters(org):
            shown = shapes.summary(found)
            listed.append(DeletedSummary(**dict(shown), deleted_at=ended_at.get(shown.id)))
    return Clusters(data=listed)


@router.post("", status_code=201)
async def create_cluster(wanted: NewCluster, call: Asked, request: Request) -> OneCluster:
    """Begin to make a cluster. It is ready when its status says so."""
    org = await organization(call, wanted.org_slug)
    made = await create(
        call,
        request.app.state.beginnings,
        Wanted(
            name=wanted.name or name_for(call, org),
            org=org,
            region=region_of(wanted.region, call.settings),
            plan=wanted.plan.lower(),
            storage_gb=wanted.disk_size_gb,
            pg_major_version=wanted.pg_major_version,
            postgis_enabled=wanted.postgis_enabled,
            pool_mode=wanted.pool_mode,
        ),
    )
    if made.view is not None:
        return OneCluster(data=shapes.cluster(made.view))
    plan = find_plan(load_plans(call.settings.plans_file), made.request.plan)
    return OneCluster(data=shapes.creating(made.request, plan))


@router.get("/{cluster}")
async def show_cluster(cluster: str, call: Asked) -> OneCluster:
    """Show a cluster."""
    return OneCluster(data=shapes.cluster(await view(call, cluster)))


@router.delete("/{cluster}", status_code=202)
async def destroy_cluster(cluster: str, call: Asked) -> Begun:
    """Begin to remove a cluster with all its data."""
    spec = (await view(call, cluster, destroyed=call.key is not None)).state.spec
    return begun(await call.mpg.destroy_cluster(spec.id, org=spec.org, request_id=call.request_id(spec.org)))
