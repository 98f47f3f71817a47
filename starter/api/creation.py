"""Making a cluster for either of Fly's interfaces: answered at once, and once only however often it is asked for."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from model.cluster import ClusterPhase, ClusterView, Durability, PoolMode, Tls
from model.errors import AlreadyExists, NotFound
from model.operations import CreateClusterRequest
from model.settings import Settings
from starter.api.beginnings import Beginnings, on_record
from starter.api.call import Call
from starter.api.errors import ApiError, after_acceptance, answered
from starter.client.operation import Operation

REPEAT_WITHIN = timedelta(seconds=60)
"""A creation asked for again within this, without a key and with the same content, is the client trying again."""
RECORD_SECONDS = 5.0
"""How long an answer waits for the new cluster to be on record; that takes about 100 ms."""


class Wanted(NamedTuple):
    """A cluster to be made."""

    name: str
    org: str
    region: str
    plan: str
    storage_gb: int
    pg_major_version: int
    postgis_enabled: bool
    pool_mode: PoolMode = PoolMode.TRANSACTION
    durability: Durability = Durability.SYNC
    require_tls: bool = False


class Made(NamedTuple):
    """A creation that was begun: what was asked for, and the cluster where it is on record already."""

    request: CreateClusterRequest
    view: ClusterView | None


async def create(call: Call, beginnings: Beginnings, wanted: Wanted) -> Made:
    """Begin to make a cluster and return as soon as it is on record.

    Raises the error with which the operation failed before, such as a name that is taken or a host that is too small.
    """
    org = await call.organization(wanted.org)
    if not call.caller.may_create(org):
        raise ApiError(403, "This token is for one cluster and cannot make others.")
    async with beginnings.alone("creation", org, wanted.name):
        operation = await _begin(call, org, wanted)
        if isinstance(operation, Made):
            return operation
        return await _on_record(call, operation)


async def _begin(call: Call, org: str, wanted: Wanted) -> Operation | Made:
    try:
        return await call.mpg.create_cluster(
            wanted.name,
            org=org,
            region=wanted.region,
            plan=wanted.plan,
            storage_gb=wanted.storage_gb,
            pg_major_version=wanted.pg_major_version,
            pool_mode=wanted.pool_mode,
            durability=wanted.durability,
            postgis_enabled=wanted.postgis_enabled,
            require_tls=wanted.require_tls,
            request_id=call.request_id(org),
        )
    except AlreadyExists:
        repeated = None if call.key else await _repeated(call, org, wanted)
        if repeated is None:
            raise
        return repeated


async def _repeated(call: Call, org: str, wanted: Wanted) -> Made | None:
    """Return what a first call with the same content made a moment ago, if there was one."""
    try:
        view = await call.view(wanted.name, org=org)
    except NotFound:
        return None
    spec = view.state.spec
    young = datetime.now(UTC) - spec.created_at < REPEAT_WITHIN
    if not (young or view.state.status.phase is ClusterPhase.INITIALIZING):
        return None
    request = CreateClusterRequest(
        cluster_id=spec.id,
        name=spec.name,
        org=spec.org,
        region=spec.region,
        host=spec.host,
        plan=spec.plan.name,
        storage_gb=spec.storage_gb,
        pg_major_version=spec.pg_major_version,
        pool_mode=spec.pool_mode,
        durability=spec.durability,
        postgis_enabled=spec.postgis_enabled,
        require_tls=spec.tls is Tls.REQUIRED,
    )
    same = all(getattr(request, field) == value for field, value in wanted._asdict().items())
    return Made(request, view) if same else None


async def _on_record(call: Call, operation: Operation) -> Made:
    """Wait for the record or for the failure, whichever is first."""
    with after_acceptance(operation.id):
        # With a key it may be an earlier call's, whose cluster has another id than the one drawn now.
        request = await operation.first_request()
    assert isinstance(request, CreateClusterRequest)
    with answered(NotFound=422):  # such as an image of that version: not what the path names
        view = await on_record(operation, lambda: call.mpg.find(request.cluster_id), seconds=RECORD_SECONDS)
    return Made(request, view)


def name_for(call: Call, org: str) -> str:
    """Return a name for a cluster that was asked for without one: the same for a repeat with the same key."""
    drawn = hashlib.sha256(f"{org}/{call.key}".encode()).hexdigest() if call.key else secrets.token_hex(4)
    return f"pg-{drawn[:8]}"


def region_of(region: str | None, settings: Settings) -> str:
    """Return the region that was asked for, this stack's where none was."""
    return region or settings.region
