"""Applications attached to a cluster: on its record, for people to see who uses it. Nothing of the cluster changes."""

from datetime import datetime

from fastapi import APIRouter

from model.apps import App
from model.base import Record
from starter.api.call import Asked
from starter.api.operating import Body

router = APIRouter(prefix="/postgresv2/{cluster}/attachments", tags=["attachments"])


class NewAttachment(Body):
    """An application to be attached."""

    app_name: str


class AttachmentShape(Record):
    """An application that is attached."""

    id: int
    app_id: int
    managed_service_id: str
    attached_at: datetime


class OneAttachment(Record):
    """The answer about one."""

    data: AttachmentShape


class Said(Record):
    """A sentence."""

    message: str


class Detached(Record):
    """The answer to the end of one."""

    data: Said


@router.post("", status_code=201)
async def attach_app(cluster: str, wanted: NewAttachment, call: Asked) -> OneAttachment:
    """Put an application on a cluster's record; one that is there already stays as it is."""
    spec = (await call.view(cluster)).state.spec
    found = await call.mpg.attach_app(spec.id, wanted.app_name, org=spec.org, request_id=call.key)
    return OneAttachment(data=_shape(found.app, spec.id))


@router.delete("/{app}")
async def detach_app(cluster: str, app: str, call: Asked) -> Detached:
    """Take an application off a cluster's record."""
    spec = (await call.view(cluster)).state.spec
    await call.mpg.detach_app(spec.id, app, org=spec.org, request_id=call.key)
    return Detached(data=Said(message=f"Application {app} is detached from cluster {spec.name}."))


def _shape(app: App, cluster_id: str) -> AttachmentShape:
    return AttachmentShape(id=app.id, app_id=app.app_id, managed_service_id=cluster_id, attached_at=app.attached_at)
