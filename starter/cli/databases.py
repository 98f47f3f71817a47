"""`mpg databases …` and `mpg databases extensions …`."""

from typing import TYPE_CHECKING, Annotated

import typer

from model.names import DEFAULT_DATABASE, DEFAULT_ORG
from starter.cli import options
from starter.cli.output import print_json, print_table
from starter.cli.session import confirm, operate, with_client

if TYPE_CHECKING:
    from model.operations import OperationResult
    from starter.client import MpgClient
    from starter.client.shapes import DatabaseShape, ExtensionShape

app = typer.Typer(help="Databases and their extensions.", no_args_is_help=True, rich_markup_mode=None)
extensions = typer.Typer(help="Extensions of a database.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(extensions, name="extensions")

Name = Annotated[str, typer.Option("--name", "-n", metavar="NAME", help="The database.")]
Extension = Annotated[str, typer.Argument(metavar="EXTENSION", help="Its name, such as vector.")]


@app.command("list", epilog=options.example("mpg databases list orders"))
def list_databases(cluster: options.Cluster, as_json: options.Json = False, org: options.Org = DEFAULT_ORG) -> None:
    """List a cluster's databases."""
    from starter.client import shapes

    found = shapes.databases(with_client(lambda mpg: mpg.view(cluster, org=org)))
    if as_json:
        print_json(found)
    else:
        print_table(["database"], [(database.name,) for database in found])


@app.command(epilog=options.example("mpg databases create orders -n shop"))
def create(
    cluster: options.Cluster,
    name: Name,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Add a database. Every user of the cluster can connect to it at once, with the rights of its role."""

    async def answer(_mpg: "MpgClient", _result: "OperationResult") -> "DatabaseShape":
        from starter.client.shapes import DatabaseShape

        return DatabaseShape(name=name)

    operate(
        lambda mpg: mpg.create_database(cluster, name, org=org),
        detach=detach,
        as_json=as_json,
        answer=answer,
        show=lambda _: print(f"Database {name} is there. Its connection string: mpg url {cluster} -d {name}"),
    )


@app.command(epilog=options.example("mpg databases delete orders -n shop --yes"))
def delete(
    cluster: options.Cluster,
    name: Name,
    yes: options.Yes = False,
    force: Annotated[bool, typer.Option("--force", help="End the sessions that are in it.")] = False,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Remove a database with its data."""
    confirm(f"Deleting database {name} of cluster {cluster} removes its data.", yes=yes)
    operate(lambda mpg: mpg.delete_database(cluster, name, force=force, org=org), detach=detach, as_json=as_json)


@extensions.command("list", epilog=options.example("mpg databases extensions list orders -d shop"))
def list_extensions(
    cluster: options.Cluster,
    database: options.Database = DEFAULT_DATABASE,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """List the extensions that a database has or may have."""
    found = with_client(lambda mpg: _extensions(mpg, cluster, database, org))
    if as_json:
        print_json(found)
        return
    print_table(
        ["extension", "installed", "schema", "available", "description"],
        [
            (
                one.name,
                one.installed and one.installed.version,
                one.installed and one.installed.schema_name,
                one.default_version,
                one.description,
            )
            for one in found
        ],
    )


@extensions.command(epilog=options.example("mpg databases extensions enable orders vector -d shop"))
def enable(
    cluster: options.Cluster,
    extension: Extension,
    database: options.Database = DEFAULT_DATABASE,
    schema: Annotated[str | None, typer.Option(metavar="NAME", help="The schema to put it in.")] = None,
    create_schema: Annotated[bool, typer.Option("--create-schema", help="Make that schema if needed.")] = False,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Install an extension in a database."""

    async def answer(mpg: "MpgClient", _result: "OperationResult") -> "ExtensionShape":
        return next(one for one in await _extensions(mpg, cluster, database, org) if one.name == extension)

    operate(
        lambda mpg: mpg.enable_extension(
            cluster, database, extension, schema=schema, create_schema_if_needed=create_schema, org=org
        ),
        detach=detach,
        as_json=as_json,
        answer=answer,
        show=lambda _: print(f"Extension {extension} is enabled in database {database}."),
    )


@extensions.command(epilog=options.example("mpg databases extensions disable orders vector -d shop"))
def disable(
    cluster: options.Cluster,
    extension: Extension,
    database: options.Database = DEFAULT_DATABASE,
    force: Annotated[bool, typer.Option("--force", help="Also remove what depends on it.")] = False,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Remove an extension from a database."""
    operate(
        lambda mpg: mpg.disable_extension(cluster, database, extension, force=force, org=org),
        detach=detach,
        as_json=as_json,
    )


async def _extensions(mpg: "MpgClient", cluster: str, database: str, org: str) -> "list[ExtensionShape]":
    from starter.client.shapes import extension

    return [extension(one) for one in await mpg.extensions(cluster, database, org=org)]
