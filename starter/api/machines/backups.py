"""Backups, copies and attachments by the Machines API."""

from datetime import datetime

from fastapi import APIRouter, Request, Response

from model.backups import BackupType
from model.base import Record
from starter.api.backing_up import back_up
from starter.api.call import Asked
from starter.api.copying import Copy, Moment, fork, restore
from starter.api.machines import shapes
from starter.api.machines.clusters import OneCluster
from starter.api.machines.lookup import view
from starter.api.operating import Begun, Body, begun
from starter.api.rest.attachments import NewAttachment
from starter.api.rest.backups import NewBackup
from starter.client.shapes import BackupShape

router = APIRouter(prefix="/postgres/{cluster}", tags=["machines: backups"])


class Backup(Record):
    """A backup. ``size_bytes`` is of the databases, restored; None while it is made."""

    id: str
    status: str
    type: BackupType
    started_at: datetime
    finished_at: datetime | None
    size_bytes: int | None


class NewFork(Body):
    """What the copy is called; by default as its source, with ``-fork``."""

    name: str | None = None


class Attachment(Record):
    """An application that is attached."""

    app_name: str
    attached_at: datetime
    postgres_cluster_id: str


class OneAttachment(Record):
    """The answer about one."""

    data: Attachment


@router.get("/backups")
async def list_backups(cluster: str, call: Asked) -> list[Backup]:
    """List a cluster's backups, the newest first."""
    spec = (await view(call, cluster)).state.spec
    return [_shape(each) for each in await call.mpg.backups(spec.id, org=spec.org)]


@router.post("/backups", status_code=202)
async def create_backup(cluster: str, wanted: NewBackup, call: Asked, request: Request) -> Begun:
    """Begin to make a backup; 409 while one is made."""
    spec = (await view(call, cluster)).state.spec
    return begun(await back_up(call, request.app.state.beginnings, spec, BackupType(wanted.type)))


@router.post("/restore", status_code=201)
async def restore_cluster(cluster: str, moment: Moment, call: Asked) -> OneCluster:
    """Begin to make a new cluster from this one, living or not, as it was at a moment."""
    source = await view(call, cluster, destroyed=True)
    made = await restore(call, source, moment)
    return OneCluster(data=_copy(made, shapes.cluster(source)))


@router.post("/fork", status_code=201)
async def fork_cluster(cluster: str, call: Asked, wanted: NewFork | None = None) -> OneCluster:
    """Begin to copy a cluster as it is now."""
    source = await view(call, cluster)
    made = await fork(call, source, wanted and wanted.name)
    return OneCluster(data=_copy(made, shapes.cluster(source)))


@router.post("/attachments", status_code=201, responses={200: {"model": OneAttachment}})
async def attach_app(cluster: str, wanted: NewAttachment, call: Asked, response: Response) -> OneAttachment:
    """Put an application on a cluster's record; 200 where it is there already."""
    spec = (await view(call, cluster)).state.spec
    found = await call.mpg.attach_app(spec.id, wanted.app_name, org=spec.org, request_id=call.key)
    if not found.made:
        response.status_code = 200
    shape = Attachment(app_name=found.app.name, attached_at=found.app.attached_at, postgres_cluster_id=spec.id)
    return OneAttachment(data=shape)


@router.delete("/attachments/{app}", status_code=204)
async def detach_app(cluster: str, app: str, call: Asked) -> None:
    """Take an application off a cluster's record."""
    spec = (await view(call, cluster)).state.spec
    await call.mpg.detach_app(spec.id, app, org=spec.org, request_id=call.key)


def _shape(found: BackupShape) -> Backup:
    return Backup(
        id=found.id,
        status=found.status,
        type=found.type,
        started_at=found.start,
        finished_at=found.stop,
        size_bytes=found.size_bytes,
    )


def _copy(made: Copy, source: shapes.Cluster) -> shapes.Cluster:
    """Return what is on record of a copy, else what it will be."""
    if made.view is not None:
        return shapes.cluster(made.view)
    later = {"status": "creating", "created_at": None, "replicas": 0, "attached_apps": (), "endpoints": None}
    return source.model_copy(update={"id": made.cluster_id, "name": made.name, **later})
