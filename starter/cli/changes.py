"""`mpg change-plan`, `set-pool-mode`, `set-durability`, `restart`, `switchover`, `failover`."""

from enum import StrEnum
from typing import Annotated

import typer

from model.base import Record
from model.cluster import Durability, PoolMode
from model.names import DEFAULT_ORG
from starter.cli import options
from starter.cli.output import print_json
from starter.cli.panels import Panel
from starter.cli.session import confirm, operate, with_client


class AllowListShape(Record):
    """What ``mpg allow-list --json`` shows."""

    allow_list: tuple[str, ...]


class NodeName(StrEnum):
    """The nodes of a cluster."""

    A = "a"
    B = "b"


MaxPause = Annotated[
    float,
    typer.Option("--max-pause", metavar="SECONDS", help="How long to wait for transactions before giving up."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    app.command(rich_help_panel=Panel.CHANGES, epilog=options.example("mpg change-plan orders launch"))(change_plan)
    app.command(rich_help_panel=Panel.CHANGES, epilog=options.example("mpg set-pool-mode orders session"))(
        set_pool_mode
    )
    app.command(
        rich_help_panel=Panel.CHANGES, epilog=options.example("mpg tls orders --require", "mpg tls orders --offer")
    )(tls)
    app.command(rich_help_panel=Panel.CHANGES, epilog=options.example("mpg set-durability orders async"))(
        set_durability
    )
    app.command(
        "allow-list",
        rich_help_panel=Panel.CHANGES,
        epilog=options.example(
            "mpg allow-list orders --add 192.0.2.0/24 --add 127.0.0.1", "mpg allow-list orders --clear"
        ),
    )(allow_list)
    app.command(
        rich_help_panel=Panel.CHANGES, epilog=options.example("mpg restart orders", "mpg restart orders --node b")
    )(restart)
    app.command(rich_help_panel=Panel.CHANGES, epilog=options.example("mpg switchover orders"))(switchover)
    app.command(rich_help_panel=Panel.RECOVERY, epilog=options.example("mpg failover orders --accept-loss"))(failover)


def change_plan(
    cluster: options.Cluster,
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="One of 'mpg plans'.")],
    max_pause: MaxPause = 30.0,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Move a cluster to another plan. Clients wait a moment, once, and see no error."""
    operate(lambda mpg: mpg.change_plan(cluster, plan, max_pause_s=max_pause, org=org), detach=detach, as_json=as_json)


def set_pool_mode(
    cluster: options.Cluster,
    pool_mode: Annotated[PoolMode, typer.Argument(metavar="MODE", help="session or transaction.")],
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Give new pooled connections another mode. Open sessions keep theirs."""
    operate(lambda mpg: mpg.set_pool_mode(cluster, pool_mode, org=org), detach=detach, as_json=as_json)


def tls(
    cluster: options.Cluster,
    required: Annotated[
        bool,
        typer.Option("--require/--offer", help="Refuse plain connections, or take both kinds.", show_default=False),
    ],
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Have new connections be encrypted always, or where clients want it. Open sessions stay as they are."""
    operate(lambda mpg: mpg.set_tls(cluster, required=required, org=org), detach=detach, as_json=as_json)


def set_durability(
    cluster: options.Cluster,
    durability: Annotated[Durability, typer.Argument(metavar="DURABILITY", help="sync or async.")],
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Have commits wait for both nodes, or for the primary alone. Nothing is restarted and no session is cut."""
    operate(lambda mpg: mpg.set_durability(cluster, durability, org=org), detach=detach, as_json=as_json)


def allow_list(
    cluster: options.Cluster,
    add: Annotated[list[str] | None, typer.Option(metavar="CIDR", help="Let this network in; may be repeated.")] = None,
    remove: Annotated[list[str] | None, typer.Option(metavar="CIDR", help="No longer; may be repeated.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Empty the list: everybody may come in.")] = False,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Show or change from which networks clients may come. Open sessions stay."""
    if add or remove or clear:
        operate(
            lambda mpg: mpg.set_allow_list(cluster, add=add or (), remove=remove or (), clear=clear, org=org),
            detach=detach,
            as_json=as_json,
        )
        return
    networks = with_client(lambda mpg: mpg.view(cluster, org=org)).state.spec.allow_list
    if as_json:
        print_json(AllowListShape(allow_list=networks))
    else:
        print("\n".join(networks) or f"Cluster {cluster} takes connections from everywhere.")


def restart(
    cluster: options.Cluster,
    node: Annotated[NodeName | None, typer.Option(help="Only this node.")] = None,
    max_pause: MaxPause = 30.0,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Restart a cluster's nodes in turn with a switchover between, or one of them."""
    operate(
        lambda mpg: mpg.restart(cluster, node=node and node.value, max_pause_s=max_pause, org=org),
        detach=detach,
        as_json=as_json,
    )


def switchover(
    cluster: options.Cluster,
    max_pause: MaxPause = 30.0,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Make the replica the primary and the primary a replica."""
    operate(lambda mpg: mpg.switchover(cluster, max_pause_s=max_pause, org=org), detach=detach, as_json=as_json)


def failover(
    cluster: options.Cluster,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Give up the commits that only the lost primary has.")
    ] = False,
    yes: options.Yes = False,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Promote a replica that is behind, where the primary is lost for good. Other failovers need no command."""
    if accept_loss:
        confirm(f"Failing over cluster {cluster} gives up the commits that its replica lacks, for ever.", yes=yes)
    operate(lambda mpg: mpg.failover(cluster, accept_loss=accept_loss, org=org), detach=detach, as_json=as_json)
