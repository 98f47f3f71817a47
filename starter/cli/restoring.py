"""`mpg restore` and `mpg fork`: a new cluster from the backups of another one."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from model.names import DEFAULT_ORG
from starter.cli import options
from starter.cli.errors import UsageSentence, say
from starter.cli.panels import Panel
from starter.cli.session import operate

if TYPE_CHECKING:
    from model.base import Record
    from model.operations import OperationResult
    from starter.cli.pages import Created
    from starter.client import MpgClient

Name = Annotated[str | None, typer.Option("--name", "-n", metavar="N", help="Name of the new cluster.")]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    app.command(
        rich_help_panel=Panel.COPIES,
        epilog=options.example(
            "mpg restore orders --pitr-time 2026-11-28T17:05:00Z", "mpg restore orders --latest --name orders-2"
        ),
    )(restore)
    app.command(rich_help_panel=Panel.COPIES, epilog=options.example("mpg fork orders --name trial"))(fork)


def restore(
    cluster: options.Cluster,
    backup_id: Annotated[
        str | None, typer.Option("--backup-id", "-b", metavar="B", help="To the end of this backup.")
    ] = None,
    pitr_time: Annotated[
        str | None, typer.Option("--pitr-time", metavar="T", help="To this moment, RFC 3339 with an offset.")
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="To the latest moment there is.")] = False,
    name: Name = None,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Make a new cluster from a cluster's backups; it may have been destroyed. It itself is not touched."""
    if sum([backup_id is not None, pitr_time is not None, latest]) != 1:
        raise UsageSentence("Say one of --backup-id, --pitr-time and --latest: which moment is restored.")
    _see_time(pitr_time)
    operate(
        lambda mpg: mpg.restore_cluster(
            cluster, backup_id=backup_id, pitr_time=pitr_time, latest=latest, name=name, org=org
        ),
        detach=detach,
        as_json=as_json,
        answer=_answer(org),
        show=_show,
    )


def fork(
    cluster: options.Cluster,
    name: Name = None,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Make a new cluster with all that a cluster holds now, under its name and '-fork' by default."""
    operate(
        lambda mpg: mpg.fork_cluster(cluster, name=name, org=org),
        detach=detach,
        as_json=as_json,
        answer=_answer(org),
        show=_show,
    )


def _answer(org: str) -> "Callable[[MpgClient, OperationResult], Awaitable[Created]]":
    async def answer(mpg: "MpgClient", result: "OperationResult") -> "Created":
        from starter.cli.pages import created

        say(result.message)  # to which moment it came, and what is not as it should be
        return created(await mpg.view(result.cluster_id, org=org), mpg.settings)

    return answer


def _show(made: "Record") -> None:
    from starter.cli.pages import show_created

    show_created(made)


def _see_time(pitr_time: str | None) -> None:
    """Refuse a time that is none before anything is asked of the stack."""
    from model.restore import parse_time

    if pitr_time is not None:
        parse_time(pitr_time)
