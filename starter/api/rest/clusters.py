"""Clusters: list, show, create, destroy, change."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BeforeValidator, Field, model_validator

from model.base import Record
from model.cluster import ClusterPhase, Durability, PoolMode
from starter.api.call import Asked
from starter.api.creation import Made, Wanted, create, region_of
from starter.api.operating import Begun, Body, begun
from starter.api.passwords import own_credentials
from starter.client import shapes
from starter.client.operation import Operation
from starter.client.shapes import ClusterShape, Credentials, DeletedShape, IpAssignments, NodeShape, Organization

router = APIRouter(tags=["clusters"])


class Clusters(Record):
    """The answer about several."""

    data: list[ClusterShape]


class DeletedClusters(Record):
    """The answer about several that were destroyed."""

    data: list[DeletedShape]


class OneCluster(Record):
    """The answer about one."""

    data: ClusterShape


class ClusterAndCredentials(OneCluster):
    """A cluster, and how its own user connects."""

    credentials: Credentials


class Nodes(Record):
    """The answer about a cluster's nodes."""

    data: list[NodeShape]


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


MajorVersion = Annotated[int, BeforeValidator(_number)]
"""Of Postgres; clients send it as a string."""


class NewCluster(Body):
    """A cluster to be made."""

    name: str
    region: str | None = None
    org_slug: str | None = None
    plan: str = "basic"
    pg_major_version: MajorVersion = 17
    storage_in_gb: int = Field(10, description="Per node.")
    postgis_enabled: bool = False
    pool_mode: PoolMode = PoolMode.TRANSACTION
    durability: Durability = Durability.SYNC
    require_tls: bool = False


class CreatedCluster(Record):
    """A cluster that is being made."""

    id: str
    name: str
    status: str
    plan: str
    environment: str | None = None
    region: str
    organization: Organization
    replicas: int
    disk: int
    ip_assignments: IpAssignments
    postgis_enabled: bool


class Created(Record):
    """The answer to a creation."""

    ok: bool = True
    data: CreatedCluster


class Change(Body):
    """One change of a running cluster."""

    plan: str | None = None
    pool_mode: PoolMode | None = None
    storage_in_gb: int | None = Field(None, description="Per node; it never shrinks.")
    durability: Durability | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "Change":
        asked = (self.plan, self.pool_mode, self.storage_in_gb, self.durability)
        if sum(each is not None for each in asked) != 1:
            raise ValueError("One change at a time: plan, pool_mode, storage_in_gb or durability.")
        return self


@router.get("/organizations/{org}/postgres")
async def list_clusters(org: str, call: Asked) -> Clusters:
    """List the clusters of an organization."""
    views = await call.clusters(await call.organization(org))
    return Clusters(data=[shapes.cluster(view) for view in views])


@router.get("/organizations/{org}/postgres/deleted")
async def list_deleted_clusters(org: str, call: Asked) -> DeletedClusters:
    """List the destroyed clusters of an organization as long as they are remembered, or their backups kept."""
    views = await call.deleted_clusters(await call.organization(org))
    return DeletedClusters(data=[shapes.deleted_cluster(view) for view in views])


@router.post("/organizations/{org}/postgresv2", status_code=201)
async def create_cluster(org: str, wanted: NewCluster, call: Asked, request: Request) -> Created:
    """Begin to make a cluster. It is ready when its status says so."""
    made = await create(
        call,
        request.app.state.beginnings,
        Wanted(
            name=wanted.name,
            org=org,
            region=region_of(wanted.region, call.settings),
            plan=wanted.plan.lower(),
            storage_gb=wanted.storage_in_gb,
            pg_major_version=wanted.pg_major_version,
            postgis_enabled=wanted.postgis_enabled,
            pool_mode=wanted.pool_mode,
            durability=wanted.durability,
            require_tls=wanted.require_tls,
        ),
    )
    return Created(data=_created(made))


@router.get("/organizations/{org}/postgresv2/{cluster}")
async def show_cluster_of_organization(org: str, cluster: str, call: Asked) -> ClusterAndCredentials:
    """Show a cluster, and how its own user connects."""
    view = await call.view(cluster, org=org)
    return ClusterAndCredentials(data=shapes.cluster(view), credentials=own_credentials(call, view))


@router.get("/postgresv2/{cluster}")
async def show_cluster(cluster: str, call: Asked) -> ClusterAndCredentials:
    """Show a cluster, and how its own user connects."""
    view = await call.view(cluster)
    return ClusterAndCredentials(data=shapes.cluster(view), credentials=own_credentials(call, view))


@router.get("/postgres/{cluster}")
async def show_cluster_version(cluster: str, call: Asked) -> OneCluster:
    """Show a cluster: where newer clients look for its generation."""
    return OneCluster(data=shapes.cluster(await call.view(cluster)))


@router.delete("/organizations/{org}/postgresv2/{cluster}", status_code=202)
async def destroy_cluster(org: str, cluster: str, call: Asked) -> Begun:
    """Begin to remove a cluster with all its data."""
    spec = (await call.view(cluster, org=org, destroyed=True)).state.spec
    return begun(await call.mpg.destroy_cluster(spec.id, org=spec.org, request_id=call.request_id(spec.org)))


@router.patch("/postgresv2/{cluster}", status_code=202)
async def change_cluster(cluster: str, change: Change, call: Asked) -> Begun:
    """Begin one change of a cluster: of its plan, its pool mode, its storage or its durability."""
    spec = (await call.view(cluster)).state.spec
    key = call.request_id(spec.org)
    operation: Operation
    if change.plan is not None:
        operation = await call.mpg.change_plan(spec.id, change.plan.lower(), org=spec.org, request_id=key)
    elif change.storage_in_gb is not None:
        operation = await call.mpg.grow_storage(spec.id, change.storage_in_gb, org=spec.org, request_id=key)
    elif change.durability is not None:
        operation = await call.mpg.set_durability(spec.id, change.durability, org=spec.org, request_id=key)
    else:
        assert change.pool_mode is not None
        operation = await call.mpg.set_pool_mode(spec.id, change.pool_mode, org=spec.org, request_id=key)
    return begun(operation)


@router.post("/postgresv2/{cluster}/restart", status_code=202)
async def restart_cluster(cluster: str, call: Asked) -> Begun:
    """Begin to restart a cluster: its nodes in turn, with a switchover between."""
    spec = (await call.view(cluster)).state.spec
    return begun(await call.mpg.restart(spec.id, org=spec.org, request_id=call.request_id(spec.org)))


@router.post("/postgresv2/{cluster}/switchover", status_code=202)
async def switch_over(cluster: str, call: Asked) -> Begun:
    """Begin to make the replica the primary."""
    spec = (await call.view(cluster)).state.spec
    return begun(await call.mpg.switchover(spec.id, org=spec.org, request_id=call.request_id(spec.org)))


@router.get("/postgresv2/{cluster}/nodes")
async def list_nodes(cluster: str, call: Asked) -> Nodes:
    """List a cluster's nodes as last recorded."""
    return Nodes(data=list(shapes.cluster_status(await call.view(cluster)).nodes))


def _created(made: Made) -> CreatedCluster:
    known = shapes.cluster(made.view) if made.view else None
    return CreatedCluster(
        id=made.request.cluster_id,
        name=made.request.name,
        status=known.status if known else ClusterPhase.INITIALIZING.value,
        plan=made.request.plan,
        region=made.request.region,
        organization=shapes.organization(made.request.org),
        replicas=known.replicas if known else 0,
        disk=made.request.storage_gb,
        ip_assignments=known.ip_assignments if known else IpAssignments(),
        postgis_enabled=made.request.postgis_enabled,
    )
