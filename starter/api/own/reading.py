"""What Fly's interfaces have no call for and the client library reads: schedules, connection strings."""

from fastapi import APIRouter

from model.base import Record
from model.names import DEFAULT_DATABASE, DEFAULT_USER
from starter.api.call import Asked
from starter.api.errors import ApiError
from starter.client.connection import EndpointKind
from starter.client.shapes import BackupScheduleShape

router = APIRouter(prefix="/api/v1/postgresv2/{cluster}")


class Schedule(Record):
    """When backups are made and proven, and how long they are kept."""

    data: BackupScheduleShape


class ConnectionString(Record):
    """A libpq URI with the password."""

    uri: str


class OneConnection(Record):
    """The answer about one."""

    data: ConnectionString


@router.get("/backups/schedule", tags=["backups"])
async def show_schedule(cluster: str, call: Asked) -> Schedule:
    """Show when a cluster's backups are made, next as well, and how long they are kept."""
    spec = (await call.view(cluster)).state.spec
    return Schedule(data=await call.mpg.backup_schedule(spec.id, org=spec.org))


@router.get("/connection", tags=["users"])
async def show_connection(
    cluster: str,
    call: Asked,
    user: str = DEFAULT_USER,
    database: str = DEFAULT_DATABASE,
    kind: EndpointKind = EndpointKind.POOLED,
) -> OneConnection:
    """Show how a user connects to a database by one of the cluster's three addresses."""
    view = await call.view(cluster)
    if not call.sees_passwords(view):
        raise ApiError(403, "This token may only read, and is shown no passwords.")
    spec = view.state.spec
    uri = await call.mpg.connection_uri(spec.id, user=user, database=database, kind=kind, org=spec.org)
    return OneConnection(data=ConnectionString(uri=uri))
