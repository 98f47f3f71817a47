"""`mpg url`, `connect`, `proxy`: from a cluster's name to a session in it."""

import os
import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from model.errors import NotFound, Refused
from model.names import DEFAULT_DATABASE, DEFAULT_ORG, DEFAULT_USER
from starter.cli import options
from starter.cli.errors import UsageSentence, say
from starter.cli.output import print_json
from starter.cli.panels import Panel
from starter.cli.session import with_client

if TYPE_CHECKING:
    from starter.client import MpgClient
    from starter.client.connection import Connection, EndpointKind

DEFAULT_PROXY_PORT = 16380
"""The port that `fly mpg proxy` listens on."""


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    app.command(rich_help_panel=Panel.ACCESS, epilog=options.example("psql $(mpg url orders -u app -d shop)"))(url)
    app.command(rich_help_panel=Panel.ACCESS, epilog=options.example('mpg connect orders -d shop -- -c "select 1"'))(
        connect
    )
    app.command(rich_help_panel=Panel.ACCESS, epilog=options.example("mpg proxy orders -p 15432"))(proxy)


def url(
    cluster: options.Cluster,
    user: options.Username = DEFAULT_USER,
    database: options.Database = DEFAULT_DATABASE,
    pooled: Annotated[bool, typer.Option("--pooled", help="Through the poolers (the default).")] = False,
    direct: Annotated[bool, typer.Option("--direct", help="To the primary.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="To the replica.")] = False,
    verify_full: Annotated[
        bool, typer.Option("--verify-full", help="Only to a server with this stack's certificate: names its CA file.")
    ] = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Print one connection string, password included."""
    from starter.client.connection import EndpointKind

    chosen = [kind for kind, asked in zip(EndpointKind, (pooled, direct, read_only), strict=True) if asked]
    if len(chosen) > 1:
        raise UsageSentence("Choose one of --pooled, --direct and --read-only.")
    found = _connection(cluster, org, user, database, chosen[0] if chosen else EndpointKind.POOLED, verify=verify_full)
    if as_json:
        print_json(found)
    else:
        print(found.uri)


def connect(
    cluster: options.Cluster,
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[-- PSQL ARGS]", help="Passed to psql.")] = None,
    user: options.Username = DEFAULT_USER,
    database: options.Database = DEFAULT_DATABASE,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Open psql on the primary. With --json, print what it would connect to instead."""
    from starter.client.connection import EndpointKind

    found = _connection(cluster, org, user, database, EndpointKind.DIRECT)
    if as_json:
        print_json(found)
        return
    psql = shutil.which("psql")
    if psql is None:
        raise NotFound(
            "There is no 'psql' on this machine.",
            remedy=f"Install a Postgres client (Debian: apt-get install postgresql-client), "
            f"or use 'mpg url {cluster} --direct' with another one.",
        )
    # By the environment and not by arguments: those can be seen by every user of the machine.
    environment = os.environ | {
        "PGHOST": found.host,
        "PGPORT": str(found.port),
        "PGUSER": found.user,
        "PGPASSWORD": found.password,
        "PGDATABASE": found.database,
    }
    os.execve(psql, ["psql", *(arguments or [])], environment)  # noqa: S606  replaces this process


def proxy(
    cluster: options.Cluster,
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="Local port; 0 takes a free one.")] = (
        DEFAULT_PROXY_PORT
    ),
    bind: Annotated[str, typer.Option("--bind", "-b", metavar="ADDRESS", help="Local address.")] = "127.0.0.1",
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Forward a local port to the cluster's direct endpoint until Ctrl-C."""
    import asyncio

    from model.cluster import Address
    from starter.cli.forwarder import Forwarder
    from starter.client.connection import EndpointKind, address

    target = address(with_client(lambda mpg: mpg.view(cluster, org=org)).state, EndpointKind.DIRECT)

    def listening(local: Address) -> None:
        if as_json:
            print_json(local)
        else:
            print(f"{local.host}:{local.port} leads to {cluster} at {target.host}:{target.port}; Ctrl-C ends it.")

    try:
        asyncio.run(Forwarder(target).serve(bind, port, listening))
    except OSError as error:
        raise Refused(
            f"Cannot listen on {bind}:{port}: {error.strerror or error}.", remedy="Choose another with -p or -b."
        ) from None
    except KeyboardInterrupt:
        say("Stopped.")


def _connection(
    cluster: str, org: str, user: str, database: str, kind: "EndpointKind", *, verify: bool = False
) -> "Connection":
    from starter.cli.session import settings
    from starter.client.audit import AuditAction
    from starter.client.connection import connection, read_master_key

    async def look(mpg: "MpgClient") -> "Connection":
        view = await mpg.view(cluster, org=org)
        key = read_master_key(settings().master_key_file)
        ca_file = settings().ca_file if verify else None
        found = connection(view.state, master_key=key, user=user, database=database, kind=kind, ca_file=ca_file)
        mpg.note(AuditAction.READ_PASSWORD, view.state.spec, found.user)
        return found

    return with_client(look)
