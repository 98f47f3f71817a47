"""Databases of a cluster, and their extensions."""

from fastapi import APIRouter
from pydantic import Field

from model.base import Record
from starter.api import extensions
from starter.api.call import Asked
from starter.api.operating import Body, Force, finished
from starter.client import shapes
from starter.client.shapes import DatabaseShape, ExtensionShape

router = APIRouter(prefix="/postgresv2/{cluster}/databases", tags=["databases"])


class Databases(Record):
    """The answer about several."""

    data: list[DatabaseShape]


class OneDatabase(Record):
    """The answer about one."""

    data: DatabaseShape


class Extensions(Record):
    """The answer about a database's extensions."""

    data: list[ExtensionShape]


class OneExtension(Record):
    """The answer about one extension."""

    data: ExtensionShape


class NewDatabase(Body):
    """A database to be made."""

    name: str


class NewExtension(Body):
    """An extension to be installed; without a schema in the one that it wants."""

    name: str
    schema_name: str | None = Field(None, alias="schema")
    create_schema_if_needed: bool = False


@router.get("")
async def list_databases(cluster: str, call: Asked) -> Databases:
    """List a cluster's databases."""
    return Databases(data=list(shapes.databases(await call.view(cluster))))


@router.post("", status_code=201)
async def create_database(cluster: str, database: NewDatabase, call: Asked) -> OneDatabase:
    """Add a database; answered once it can be connected to."""
    spec = (await call.view(cluster)).state.spec
    await finished(
        await call.mpg.create_database(spec.id, database.name, org=spec.org, request_id=call.request_id(spec.org))
    )
    return OneDatabase(data=DatabaseShape(name=database.name))


@router.get("/{database}/extensions")
async def list_extensions(cluster: str, database: str, call: Asked) -> Extensions:
    """List the extensions that a database has or may have."""
    spec = await extensions.database_of(call, cluster, database)
    found = await call.mpg.extensions(spec.id, database, org=spec.org)
    return Extensions(data=[shapes.extension(each) for each in found])


@router.post("/{database}/extensions", status_code=201)
async def enable_extension(cluster: str, database: str, wanted: NewExtension, call: Asked) -> OneExtension:
    """Install an extension."""
    installed = await extensions.enable(
        call,
        cluster,
        database,
        wanted.name,
        schema=wanted.schema_name,
        create_schema=wanted.create_schema_if_needed,
    )
    return OneExtension(data=shapes.extension(installed))


@router.delete("/{database}/extensions/{extension}", status_code=204)
async def disable_extension(cluster: str, database: str, extension: str, call: Asked, force: Force = False) -> None:
    """Remove an extension; force also removes what depends on it."""
    await extensions.disable(call, cluster, database, extension, force=force)
