"""Extensions: which may be enabled, and enabling and disabling them.

May be enabled: what Postgres itself calls trusted, because whoever wrote it says that any owner of a schema may have
it, and ALLOWED, because it gives nobody more than its types, functions or own statistics. All else is refused: it
reaches files (file_fdw), other servers (dblink, postgres_fdw) or what belongs to others (pageinspect).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.sql import SQL, Composed, Identifier
from temporalio import activity

from activities.heartbeat import heartbeating
from activities.postgres import statements
from activities.postgres.sql import Connection, SqlSessions
from model import effects
from model.effects import (
    DisableExtensionInput,
    EnableExtensionInput,
    Extension,
    Extensions,
    InstalledExtension,
    Nothing,
    ReadExtensionsInput,
    Target,
)
from model.errors import NotFound, Refused
from model.names import POSTGIS

POSTGIS_TOPOLOGY = "postgis_topology"
IN_POSTGIS_IMAGE = frozenset({POSTGIS, POSTGIS_TOPOLOGY})
"""Extensions that only the image with PostGIS has. Not postgis_raster, which reads files and other servers."""
ALLOWED = frozenset({"vector", "pg_stat_statements"}) | IN_POSTGIS_IMAGE
"""Extensions that are not trusted and may be enabled nevertheless."""
_WITHIN = "Only its own types and functions in this database; no files, no other servers."
REACH = {
    "vector": "Only its own types, indexes and functions in this database; no files, no other servers.",
    "pg_stat_statements": "Everybody's statements on this cluster, as counts and times; of texts only the user's own.",
    POSTGIS: "Its own types and functions, and its table of coordinate systems; of files only the grids in its image.",
    POSTGIS_TOPOLOGY: "Its own types and functions, and a schema for each topology; no files, no other servers.",
}
"""What is within the reach of whoever uses an extension that is not trusted, in words for people."""
SYSTEM = frozenset({"plpgsql"})
"""Extensions that every database has and that cannot be disabled."""
_DOCS = {
    "vector": "https://github.com/pgvector/pgvector",
    POSTGIS: "https://postgis.net/documentation/",
    POSTGIS_TOPOLOGY: "https://postgis.net/docs/Topology.html",
}
_RIGHTS = {
    POSTGIS: SQL("GRANT INSERT, UPDATE, DELETE ON {schema}.spatial_ref_sys TO {admin}"),
    POSTGIS_TOPOLOGY: SQL(
        "GRANT INSERT, UPDATE, DELETE ON {schema}.topology, {schema}.layer TO {admin};"
        " GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {admin}"
    ),
}
"""What the tables of an extension that the superuser owns need, so that schema admins can use all of it: add a
coordinate system, make a topology. Everybody can read them; that the extension grants itself."""
_DEPENDENTS_NAMED = 5
"""How many of the objects that depend on an extension an error names."""


@dataclass(frozen=True)
class Available:
    """The version of an extension that would be installed. ``schema`` is the one it insists on, if it does."""

    name: str
    trusted: bool
    schema: str | None
    requires: tuple[str, ...]

    @property
    def allowed(self) -> bool:
        """Tell whether it may be enabled."""
        return self.trusted or self.name in ALLOWED


class ExtensionActivities:
    """Effects on extensions, as the platform's superuser."""

    def __init__(self, sql: SqlSessions) -> None:
        """Work through *sql*."""
        self._sql = sql

    @activity.defn(name=effects.READ_EXTENSIONS.name)
    async def read_extensions(self, arg: ReadExtensionsInput) -> Extensions:
        """Return the extensions that may be enabled and those that are installed, by name.

        Raises :class:`NotFound` when there is no such database.
        """
        async with self._sql.use(arg.target) as server:
            await _require_database(server, arg.target, arg.database)
        async with self._sql.use(arg.target, arg.database) as connection:
            cursor = await connection.execute(
                "SELECT a.name::text, a.comment, a.default_version, v.trusted, e.extversion, n.nspname::text"
                " FROM pg_available_extensions a"
                " JOIN pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version"
                " LEFT JOIN pg_extension e ON e.extname = a.name LEFT JOIN pg_namespace n ON n.oid = e.extnamespace"
                " WHERE v.trusted OR a.name = ANY(%s) OR e.oid IS NOT NULL ORDER BY 1",
                (sorted(ALLOWED),),
            )
            major = connection.info.server_version // 10000
            return Extensions(
                extensions=tuple(
                    Extension(
                        name=name,
                        description=comment or "",
                        docs_url=docs_url(name, major),
                        reach=reach(name, trusted=trusted),
                        default_version=default,
                        is_system=name in SYSTEM,
                        installed=InstalledExtension(version=version, schema_name=schema) if version else None,
                    )
                    for name, comment, default, trusted, version, schema in await cursor.fetchall()
                )
            )

    @activity.defn(name=effects.ENABLE_EXTENSION.name)
    async def enable_extension(self, arg: EnableExtensionInput) -> Nothing:
        """Install the extension, and those it requires, where all may use it; installed already counts as done.

        A trusted one is made by ``schema_admin``, who can then drop it; another by the superuser, who owns it.
        Raises :class:`NotFound` for an unknown extension, schema or database, :class:`Refused` for one that may not
        be enabled or that Postgres refuses, with its reason.
        """
        async with heartbeating():
            async with self._sql.use(arg.target) as server:
                await _require_database(server, arg.target, arg.database)
            async with self._sql.use(arg.target, arg.database) as connection:
                if not await _is_installed(connection, arg.extension):
                    available = await _require_allowed(connection, arg.extension)
                    await _install(connection, arg, available)
        return Nothing()

    @activity.defn(name=effects.DISABLE_EXTENSION.name)
    async def disable_extension(self, arg: DisableExtensionInput) -> Nothing:
        """Remove the extension; not installed counts as done.

        Raises :class:`Refused` for one of the system's, and, without ``force``, when objects depend on it, naming them.
        """
        if arg.extension in SYSTEM:
            raise Refused(f"Extension {arg.extension!r} belongs to the system and cannot be disabled.")
        async with self._sql.use(arg.target) as server:
            await _require_database(server, arg.target, arg.database)
        drop = SQL("DROP EXTENSION IF EXISTS {}{}").format(
            Identifier(arg.extension), SQL(" CASCADE") if arg.force else SQL("")
        )
        async with heartbeating(), self._sql.use(arg.target, arg.database) as connection:
            try:
                await connection.execute(drop)
            except psycopg.errors.DependentObjectsStillExist as error:
                raise _needed(arg.extension, error.diag.message_detail or "") from None
        return Nothing()


def reach(name: str, *, trusted: bool) -> str:
    """Return what an extension can reach. It may be one that an adopted cluster has and that cannot be enabled here."""
    return REACH.get(name, _WITHIN if trusted else "Not known: it cannot be enabled here.")


def docs_url(name: str, major: int) -> str:
    """Return the page of the public documentation about extension *name*; *major* is the Postgres version."""
    page = name.replace("_", "" if name.startswith("pg_") else "-")
    return _DOCS.get(name, f"https://www.postgresql.org/docs/{major}/{page}.html")


async def _require_database(server: Connection, target: Target, name: str) -> None:
    cursor = await server.execute("SELECT FROM pg_database WHERE datname = %s AND datallowconn", (name,))
    if not cursor.rowcount:
        raise NotFound(f"Cluster {target.cluster_id} has no database {name!r}.")


async def _is_installed(connection: Connection, name: str) -> bool:
    cursor = await connection.execute("SELECT FROM pg_extension WHERE extname = %s", (name,))
    return bool(cursor.rowcount)


async def _require_allowed(connection: Connection, name: str) -> Available:
    """Return the extension, if it and all that it requires may be enabled."""
    found = await _available(connection, name)
    if found is None and name in IN_POSTGIS_IMAGE:
        raise Refused(
            f"Extension {name!r} cannot be enabled: this cluster was made without PostGIS.",
            remedy="Make a cluster with it: 'mpg create --enable-postgis-support'.",
        )
    if found is None:
        raise NotFound(f"There is no extension {name!r}.", remedy="List those there are with 'extensions list'.")
    if not found.allowed:
        raise Refused(
            f"Extension {name!r} may not be enabled: it is neither trusted nor on the list of allowed ones.",
            remedy="List those that may be with 'extensions list'.",
        )
    for required in found.requires:
        if not await _is_installed(connection, required):
            await _require_allowed(connection, required)
    return found


async def _available(connection: Connection, name: str) -> Available | None:
    cursor = await connection.execute(
        "SELECT v.name::text, v.trusted, v.schema::text, v.requires::text[] FROM pg_available_extensions a"
        " JOIN pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version"
        " WHERE a.name = %s",
        (name,),
    )
    row = await cursor.fetchone()
    return Available(row[0], row[1], row[2], tuple(row[3] or ())) if row else None


async def _install(connection: Connection, arg: EnableExtensionInput, available: Available) -> None:
    schema = arg.schema_name or (None if available.schema else "public")
    try:
        async with connection.transaction():
            await connection.execute(SQL("SET LOCAL ROLE {}").format(statements.SCHEMA_ADMIN))
            if schema is not None:
                await _require_schema(connection, schema, create=arg.create_schema_if_needed)
            if not available.trusted:
                await connection.execute("RESET ROLE")
            if schema is None:
                await _install_required(connection, available)
            await connection.execute(_create(arg.extension, schema))
            await _give_rights(connection, (arg.extension, *available.requires))
    except (
        psycopg.errors.FeatureNotSupported,
        psycopg.errors.ObjectNotInPrerequisiteState,
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.DuplicateObject,
        psycopg.errors.DuplicateFunction,
        psycopg.errors.DuplicateTable,
    ) as error:
        said = error.diag.message_primary
        raise Refused(f"Extension {arg.extension!r} cannot be enabled in {arg.database!r}: {said}.") from None


async def _install_required(connection: Connection, available: Available) -> None:
    """Install what *available* requires in ``public``: CASCADE would take the first schema of our search path."""
    for required in available.requires:
        await connection.execute(_create(required, "public"))


async def _give_rights(connection: Connection, names: Sequence[str]) -> None:
    lacking = [name for name in names if name in _RIGHTS]
    if not lacking:
        return
    cursor = await connection.execute(
        "SELECT e.extname::text, n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = ANY(%s)",
        (lacking,),
    )
    for name, schema in await cursor.fetchall():
        await connection.execute(_RIGHTS[name].format(schema=Identifier(schema), admin=statements.SCHEMA_ADMIN))


def _create(name: str, schema: str | None) -> Composed:
    where = SQL("") if schema is None else SQL(" SCHEMA {}").format(Identifier(schema))
    return SQL("CREATE EXTENSION IF NOT EXISTS {}{} CASCADE").format(Identifier(name), where)


async def _require_schema(connection: Connection, name: str, *, create: bool) -> None:
    cursor = await connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", (name,))
    if cursor.rowcount:
        return
    if not create:
        raise NotFound(
            f"Database {connection.info.dbname!r} has no schema {name!r}.",
            remedy="Create it first, or ask for it to be created.",
        )
    await connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(name)))


def _needed(extension: str, detail: str) -> Refused:
    # One object a line: "column embedding of table items depends on type vector".
    names = [line.partition(" depends on ")[0] for line in detail.splitlines()]
    more = len(names) - _DEPENDENTS_NAMED
    listed = ", ".join(names[:_DEPENDENTS_NAMED]) + (f" and {more} more" if more > 0 else "")
    return Refused(
        f"Extension {extension!r} is needed by {listed}.", remedy="Remove those first, or remove them with --force."
    )
