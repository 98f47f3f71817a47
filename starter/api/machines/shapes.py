"""A cluster as the Machines API shows it."""

from datetime import datetime

from model.base import Record
from model.cluster import Address, ClusterPhase, ClusterView, Endpoint
from model.operations import CreateClusterRequest
from model.plans import Plan

STATUS = {
    ClusterPhase.INITIALIZING: "initializing",
    ClusterPhase.READY: "ready",
    ClusterPhase.UPDATING: "ready",
    ClusterPhase.NEEDS_OPERATOR: "ready",
    ClusterPhase.ERROR: "failed",
    ClusterPhase.DESTROYING: "deleting",
    ClusterPhase.DESTROYED: "deleted",
}
"""A cluster that is being changed, or that waits for a person, keeps its addresses: ``ready`` here."""


class AppName(Record):
    """An application that uses the cluster."""

    name: str


class OrganizationName(Record):
    """An organization."""

    name: str
    slug: str


class Primary(Record):
    """The addresses of what takes writes."""

    direct: Address
    pooler: Address


class Endpoints(Record):
    """Where clients connect."""

    primary: Primary


class ClusterSummary(Record):
    """A cluster in a list."""

    id: str
    name: str
    status: str
    region: str
    plan: str
    created_at: datetime | None
    attached_apps: tuple[AppName, ...] = ()


class DeletedSummary(ClusterSummary):
    """A cluster in a list that was destroyed. ``deleted_at`` is None for one whose end is not known any more."""

    deleted_at: datetime | None


class Cluster(ClusterSummary):
    """A cluster with what is known about it. ``memory_mb`` is of one node, ``disk_size_gb`` too."""

    disk_size_gb: int
    cpus: int
    cpu_kind: str
    memory_mb: int
    replicas: int
    pg_major_version: int
    postgis_enabled: bool
    endpoints: Endpoints | None = None
    organization: OrganizationName


def summary(view: ClusterView) -> ClusterSummary:
    """Return the cluster as lists show it."""
    spec = view.state.spec
    return ClusterSummary(
        id=spec.id,
        name=spec.name,
        status=STATUS[view.state.status.phase],
        region=spec.region,
        plan=spec.plan.name,
        created_at=spec.created_at,
        attached_apps=tuple(AppName(name=app.name) for app in spec.apps),
    )


def cluster(view: ClusterView) -> Cluster:
    """Return the cluster with what is known about it."""
    spec, status = view.state.spec, view.state.status
    shown = STATUS[status.phase]
    plan = spec.plan
    return Cluster(
        **dict(summary(view)),
        cpus=plan.cpus,
        cpu_kind=_kind(plan),
        memory_mb=plan.memory_mb,
        disk_size_gb=spec.storage_gb,
        replicas=1 if status.replica else 0,
        pg_major_version=spec.pg_major_version,
        postgis_enabled=spec.postgis_enabled,
        endpoints=_endpoints(status.endpoint) if status.endpoint and shown == "ready" else None,
        organization=OrganizationName(name=spec.org, slug=spec.org),
    )


def creating(request: CreateClusterRequest, plan: Plan) -> Cluster:
    """Return a cluster that was asked for and is not on record yet."""
    return Cluster(
        id=request.cluster_id,
        name=request.name,
        status="creating",
        region=request.region,
        plan=plan.name,
        created_at=None,
        cpus=plan.cpus,
        cpu_kind=_kind(plan),
        memory_mb=plan.memory_mb,
        disk_size_gb=request.storage_gb,
        replicas=0,
        pg_major_version=request.pg_major_version,
        postgis_enabled=request.postgis_enabled,
        organization=OrganizationName(name=request.org, slug=request.org),
    )


def _kind(plan: Plan) -> str:
    return "shared" if plan.shared_cpus else "performance"


def _endpoints(endpoint: Endpoint) -> Endpoints:
    return Endpoints(primary=Primary(direct=endpoint.direct, pooler=endpoint.pooled))
