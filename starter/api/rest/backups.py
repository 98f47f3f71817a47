"""Backups of a cluster, and clusters made from them."""

from enum import StrEnum

from fastapi import APIRouter, Request

from model.backups import BackupType
from model.base import Record
from model.cluster import ClusterPhase
from model.errors import Refused
from starter.api.backing_up import back_up, repeated_backup
from starter.api.call import Asked
from starter.api.copying import Moment, restore
from starter.api.operating import Begun, Body, begun
from starter.client import shapes
from starter.client.shapes import BackupShape, ClusterShape

router = APIRouter(prefix="/postgresv2/{cluster}", tags=["backups"])


class AskedType(StrEnum):
    """What a backup holds: everything, or what changed since one before."""

    FULL = "full"
    INCR = "incr"
    DIFF = "diff"


class NewBackup(Body):
    """A backup to be made."""

    type: AskedType = AskedType.FULL


class Backups(Record):
    """The answer about several, the newest first."""

    data: list[BackupShape]


class Restored(Record):
    """The cluster that is being made."""

    data: ClusterShape


@router.get("/backups")
async def list_backups(cluster: str, call: Asked) -> Backups:
    """List a cluster's backups, with one that is being made. Those of a destroyed cluster too, while they are kept."""
    spec = (await call.view(cluster, destroyed=True)).state.spec
    return Backups(data=list(await call.mpg.backups(spec.id, org=spec.org)))


@router.post("/backups", status_code=202)
async def create_backup(cluster: str, wanted: NewBackup, call: Asked, request: Request) -> Begun:
    """Begin to make a backup. While another one is made that is 409, unless it is the same one asked for again."""
    spec = (await call.view(cluster)).state.spec
    type = BackupType(wanted.type)
    try:
        return begun(await back_up(call, request.app.state.beginnings, spec, type))
    except Refused:
        repeated = None if call.key else await repeated_backup(call, spec, type)
        if repeated is None:
            raise
        return Begun(data=await repeated.describe())


@router.post("/restore", status_code=201)
async def restore_cluster(cluster: str, moment: Moment, call: Asked) -> Restored:
    """Begin to make a new cluster from this one as it was at a moment. It is ready when its status says so."""
    source = await call.view(cluster, destroyed=True)
    made = await restore(call, source, moment)
    if made.view is not None:
        return Restored(data=shapes.cluster(made.view))
    as_asked = shapes.cluster(source).model_copy(
        update={
            "id": made.cluster_id,
            "mpgd_cluster_id": made.cluster_id,
            "name": made.name,
            "status": ClusterPhase.INITIALIZING.value,
            "storage_used_bytes": None,
            "replicas": 0,
            "attached_apps": (),
        }
    )
    return Restored(data=as_asked)
