"""Extensions as both of Fly's interfaces treat them."""

from model.checks import require_database
from model.cluster import ClusterSpec
from model.effects import Extension
from starter.api.call import Call
from starter.api.errors import after_acceptance, answered
from starter.api.operating import finished


async def database_of(call: Call, cluster: str, database: str) -> ClusterSpec:
    """Return the cluster's spec if it has that database. Raises NotFound."""
    spec = (await call.view(cluster)).state.spec
    require_database(spec, database)
    return spec


async def enable(
    call: Call, cluster: str, database: str, extension: str, *, schema: str | None, create_schema: bool
) -> Extension:
    """Install an extension and return it as it is then.

    Raises AlreadyExists for one that is there already; answers 422 for one that is not known or not allowed.
    """
    spec = await database_of(call, cluster, database)
    operation = await call.mpg.enable_extension(
        spec.id,
        database,
        extension,
        schema=schema,
        create_schema_if_needed=create_schema,
        org=spec.org,
        request_id=call.request_id(spec.org),
    )
    with answered(NotFound=422, Refused=422):
        await finished(operation)
    with after_acceptance(operation.id):
        found = await call.mpg.extensions(spec.id, database, org=spec.org)
    return next(each for each in found if each.name == extension)


async def disable(call: Call, cluster: str, database: str, extension: str, *, force: bool) -> None:
    """Remove an extension; answers 422 where objects depend on it, unless *force* removes them too."""
    spec = await database_of(call, cluster, database)
    operation = await call.mpg.disable_extension(
        spec.id, database, extension, force=force, org=spec.org, request_id=call.request_id(spec.org)
    )
    with answered(Refused=422):
        await finished(operation)


async def is_system(call: Call, cluster: str, database: str, extension: str) -> bool:
    """Tell whether the platform needs that extension itself."""
    spec = await database_of(call, cluster, database)
    found = await call.mpg.extensions(spec.id, database, org=spec.org)
    return any(each.name == extension and each.is_system for each in found)
