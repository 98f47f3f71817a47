"""Databases and extensions by the Machines API."""

from fastapi import APIRouter
from pydantic import Field

from model.base import Record
from model.effects import Extension
from model.names import check_database_name
from starter.api import extensions
from starter.api.call import Asked
from starter.api.errors import ApiError
from starter.api.machines.lookup import view
from starter.api.operating import Body, Force, finished
from starter.api.rest.databases import Databases, NewDatabase, OneDatabase
from starter.client import shapes
from starter.client.shapes import DatabaseShape, InstalledShape

router = APIRouter(prefix="/postgres/{cluster}/databases", tags=["machines: databases"])


class ExtensionState(Record):
    """An extension that may be enabled, and how it is installed, if it is."""

    name: str
    description: str
    default_version: str
    system: bool
    installed: InstalledShape | None


class NewExtension(Body):
    """An extension to be installed; without a schema in the one that it wants."""

    name: str
    schema_name: str | None = Field(None, alias="schema")
    create_schema: bool = False


@router.get("")
async def list_databases(cluster: str, call: Asked) -> Databases:
    """List a cluster's databases."""
    return Databases(data=list(shapes.databases(await view(call, cluster))))


@router.post("", status_code=201)
async def create_database(cluster: str, database: NewDatabase, call: Asked) -> OneDatabase:
    """Add a database; answered once it can be connected to."""
    spec = (await view(call, cluster)).state.spec
    try:
        check_database_name(database.name)
    except ValueError as error:
        raise ApiError(400, str(error)) from None
    await finished(
        await call.mpg.create_database(spec.id, database.name, org=spec.org, request_id=call.request_id(spec.org))
    )
    return OneDatabase(data=DatabaseShape(name=database.name))


@router.delete("/{database}", status_code=204)
async def delete_database(cluster: str, database: str, call: Asked, force: Force = False) -> None:
    """Remove a database with its data; force ends the sessions in it."""
    spec = (await view(call, cluster)).state.spec
    await finished(
        await call.mpg.delete_database(
            spec.id, database, force=force, org=spec.org, request_id=call.request_id(spec.org)
        )
    )


@router.get("/{database}/extensions")
async def list_extensions(cluster: str, database: str, call: Asked) -> list[ExtensionState]:
    """List the extensions that a database has or may have."""
    await view(call, cluster)
    spec = await extensions.database_of(call, cluster, database)
    return [_state(each) for each in await call.mpg.extensions(spec.id, database, org=spec.org)]


@router.post("/{database}/extensions", status_code=204)
async def enable_extension(cluster: str, database: str, wanted: NewExtension, call: Asked) -> None:
    """Install an extension."""
    await view(call, cluster)
    await extensions.enable(
        call, cluster, database, wanted.name, schema=wanted.schema_name, create_schema=wanted.create_schema
    )


@router.delete("/{database}/extensions/{extension}", status_code=204)
async def disable_extension(cluster: str, database: str, extension: str, call: Asked, force: Force = False) -> None:
    """Remove an extension; force also removes what depends on it."""
    await view(call, cluster)
    if await extensions.is_system(call, cluster, database, extension):
        raise ApiError(400, f"Extension {extension!r} belongs to the system.")
    await extensions.disable(call, cluster, database, extension, force=force)


def _state(found: Extension) -> ExtensionState:
    shape = shapes.extension(found)
    return ExtensionState(
        name=shape.name,
        description=shape.description,
        default_version=shape.default_version,
        system=shape.is_system,
        installed=shape.installed,
    )
