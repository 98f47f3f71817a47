"""`mpg plans`, `create`, `list`, `status`, `destroy`."""

from typing import TYPE_CHECKING, Annotated

import typer

from model.cluster import Durability, PoolMode
from model.names import DEFAULT_ORG
from model.operations import DEFAULT_DAYS_KEPT
from model.plans import load_plans
from starter.cli import options
from starter.cli.errors import say
from starter.cli.output import print_json, print_table
from starter.cli.panels import Panel
from starter.cli.session import confirm, operate, settings, with_client

if TYPE_CHECKING:
    from model.operations import OperationResult
    from starter.cli.pages import Created
    from starter.client import MpgClient
    from starter.client.shapes import ClusterShape


HINT_SECONDS = 3
"""How long `mpg list` may look for clusters that are not on record, where none is."""


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    app.command(rich_help_panel=Panel.CLUSTERS, epilog=options.example("mpg plans"))(plans)
    app.command(
        rich_help_panel=Panel.CLUSTERS,
        epilog=options.example("mpg create --name orders --plan launch", "mpg create -n maps --enable-postgis-support"),
    )(create)
    app.command(
        "list", rich_help_panel=Panel.CLUSTERS, epilog=options.example("mpg list", "mpg list --deleted --json")
    )(list_clusters)
    app.command(rich_help_panel=Panel.CLUSTERS, epilog=options.example("mpg status orders"))(status)
    app.command(rich_help_panel=Panel.CLUSTERS, epilog=options.example("mpg destroy orders --yes"))(destroy)


def plans(as_json: options.Json = False, org: options.Org = DEFAULT_ORG) -> None:
    """Show the plans: resources of a node, limits of the poolers."""
    found = list(load_plans(settings().plans_file).values())
    if as_json:
        print_json(found)
        return
    print_table(
        ["plan", "CPUs", "memory", "clients", "connections", "reserve", "USD a month"],
        [
            (
                plan.name,
                f"{plan.cpus} shared" if plan.shared_cpus else plan.cpus,
                plan.memory_text,
                plan.max_client_connections,
                plan.max_database_connections,
                plan.reserve_pool,
                plan.usd_per_month,
            )
            for plan in found
        ],
    )


def create(
    name: Annotated[str, typer.Option("--name", "-n", metavar="N", help="Name, unique in the organization.")],
    plan: Annotated[str, typer.Option(help="One of 'mpg plans'.")] = "basic",
    region: Annotated[str | None, typer.Option(help="Region code; by default this stack's.")] = None,
    volume_size: Annotated[int, typer.Option(metavar="GB", help="Storage per node, 1 to 500.")] = 10,
    pg_major_version: Annotated[int, typer.Option(help="Postgres major version.")] = 17,
    pool_mode: Annotated[PoolMode, typer.Option(help="When poolers reuse a connection.")] = PoolMode.TRANSACTION,
    durability: Annotated[
        Durability, typer.Option(help="Whether a commit waits until both nodes have it.")
    ] = Durability.SYNC,
    postgis: Annotated[
        bool, typer.Option("--enable-postgis-support", help="Use the image with PostGIS and install it in fly-db.")
    ] = False,
    require_tls: Annotated[
        bool, typer.Option("--require-tls", help="Refuse connections that are not encrypted.")
    ] = False,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Make a cluster and print how to connect to it."""
    from starter.cli.pages import created, show_created

    async def answer(mpg: "MpgClient", result: "OperationResult") -> "Created":
        return created(await mpg.view(result.cluster_id, org=org), mpg.settings)

    operate(
        lambda mpg: mpg.create_cluster(
            name,
            org=org,
            region=region,
            plan=plan,
            storage_gb=volume_size,
            pg_major_version=pg_major_version,
            pool_mode=pool_mode,
            durability=durability,
            postgis_enabled=postgis,
            require_tls=require_tls,
        ),
        detach=detach,
        as_json=as_json,
        answer=answer,
        show=show_created,
    )


def list_clusters(
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that were destroyed, while still known.")] = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """List clusters."""
    from starter.client import shapes

    views = with_client(lambda mpg: mpg.deleted_clusters(org=org) if deleted else mpg.clusters(org=org))
    found = [shapes.deleted_cluster(view) if deleted else shapes.cluster(view) for view in views]
    if as_json:
        print_json(found)
    elif not found:
        print(f"Organization {org} has no {'destroyed ' if deleted else ''}clusters.")
        if not deleted:
            _say_what_is_not_known()
    else:
        restorable = ["restorable until"] if deleted else []
        print_table(
            ["id", "name", "status", "plan", "region", "disk", *restorable],
            [(c.id, c.name, c.status, c.plan, c.region, f"{c.disk} GB", *_until(c)) for c in found],
        )


def _until(found: "ClusterShape") -> list[str]:
    """Return the last column of those that were destroyed."""
    from starter.client.shapes import DeletedShape

    if not isinstance(found, DeletedShape):
        return []
    return [f"{found.restorable_until:%Y-%m-%d %H:%M} UTC" if found.restorable_until else "no backups kept"]


def _say_what_is_not_known() -> None:
    """Where nothing is on record, a look at the host's containers tells whether the record was lost."""
    from datetime import timedelta

    from model.errors import MpgError

    bound = timedelta(seconds=HINT_SECONDS)
    try:
        found = with_client(lambda mpg: mpg.found_clusters(read=False, timeout=bound))
    except MpgError:
        return  # nobody asked for it
    unknown = [each for each in found if not each.known]
    if unknown:
        are = "is 1 cluster" if len(unknown) == 1 else f"are {len(unknown)} clusters"
        say(f"On this host there {are} that this stack does not know: see them with 'mpg adopt'.")


def status(cluster: options.Cluster, as_json: options.Json = False, org: options.Org = DEFAULT_ORG) -> None:
    """Show a cluster: its nodes, poolers, addresses, what runs on it and what is worth knowing."""
    from starter.cli.pages import show_status
    from starter.client import shapes

    found = shapes.cluster_status(with_client(lambda mpg: mpg.view_with_phase(cluster, org=org)))
    if as_json:
        print_json(found)
    else:
        show_status(found)


def destroy(
    cluster: options.Cluster,
    yes: options.Yes = False,
    keep_backups: Annotated[
        int, typer.Option("--keep-backups", metavar="DAYS", help="How long it can still be restored; 0: not at all.")
    ] = DEFAULT_DAYS_KEPT,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Remove a cluster with all its data; its backups stay for some days."""
    confirm(f"Destroying cluster {cluster} removes all its data{'' if keep_backups else ' and its backups'}.", yes=yes)
    operate(
        lambda mpg: mpg.destroy_cluster(cluster, keep_backups_days=keep_backups, org=org),
        detach=detach,
        as_json=as_json,
    )
