"""`mpg backup list`, `create`, `verify`, `schedule`, `remove-kept`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from model.backups import BackupType
from model.errors import MpgError
from model.names import DEFAULT_ORG
from starter.cli import options
from starter.cli.output import print_fields, print_json, print_table
from starter.cli.session import confirm, operate, with_client

if TYPE_CHECKING:
    from model.base import Record
    from model.operations import OperationResult
    from starter.client import MpgClient
    from starter.client.shapes import BackupScheduleShape, BackupShape

app = typer.Typer(help="Backups: which there are, when they are made.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list", epilog=options.example("mpg backup list orders --all"))
def list_backups(
    cluster: options.Cluster,
    all: Annotated[bool, typer.Option("--all", help="Older ones than of the last 24 hours too.")] = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """List a cluster's backups of the last 24 hours, the newest first."""
    found = with_client(lambda mpg: _list(mpg, cluster, org, all=all))
    if as_json:
        print_json(found)
    elif found:
        columns = ["id", "status", "type", "start", "seconds", "size", "stored", "restores from", "node", "proven"]
        print_table(columns, [_row(each) for each in found])
    else:
        print(f"Cluster {cluster} has no backups" + ("." if all else " of the last 24 hours. See older ones by --all."))


async def _list(mpg: "MpgClient", cluster: str, org: str, *, all: bool) -> "tuple[BackupShape, ...]":
    from starter.client.backups import RECENT

    return await mpg.backups(cluster, since=None if all else datetime.now(UTC) - RECENT, org=org)


def _row(found: "BackupShape") -> tuple[object, ...]:
    from starter.cli.pages import MOMENT

    took = None if found.stop is None else f"{(found.stop - found.start).total_seconds():.0f}"
    return (
        found.id,
        found.status,
        found.type.value,
        f"{found.start:{MOMENT}}",
        took,
        _size(found.size_bytes),
        _size(found.stored_bytes),
        found.last_lsn,
        found.node,
        _proven(found),
    )


def _proven(found: "BackupShape") -> str | None:
    from starter.cli.pages import MOMENT

    if found.status == "running":
        return None
    if found.proof is None:
        return "never"
    return f"failed {found.proof.at:{MOMENT}}" if found.proof.fault else f"{found.proof.at:{MOMENT}}"


def _size(size_bytes: int | None) -> str | None:
    return None if size_bytes is None else f"{size_bytes / 2**20:.1f} MB"


@app.command(epilog=options.example("mpg backup create orders --type incr"))
def create(
    cluster: options.Cluster,
    type: Annotated[BackupType, typer.Option(help="full, incr or diff.")] = BackupType.FULL,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Back a cluster up, beside whatever else is done to it."""
    operate(lambda mpg: mpg.create_backup(cluster, type, org=org), detach=detach, as_json=as_json)


@app.command(epilog=options.example("mpg backup verify orders"))
def verify(
    cluster: options.Cluster,
    backup_id: Annotated[str | None, typer.Option(metavar="ID", help="Which one; by default the latest.")] = None,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Restore a backup to a place that is thrown away, and read everything in it."""
    if as_json and not detach:
        with_client(lambda mpg: _print_verdict(mpg, cluster, backup_id, org))
        return
    operate(lambda mpg: mpg.verify_backup(cluster, backup_id, org=org), detach=detach, as_json=as_json)


async def _print_verdict(mpg: "MpgClient", cluster: str, backup_id: str | None, org: str) -> None:
    """Print what a drill found as JSON, also where that is an error: that a backup is not proven is an answer."""
    from starter.cli.waiting import wait

    operation = await mpg.verify_backup(cluster, backup_id, org=org)
    try:
        await wait(operation)
    except MpgError:
        found = await mpg.verdict(operation)
        if found.proof is not None:
            print_json(found)
        raise
    print_json(await mpg.verdict(operation))


@app.command(epilog=options.example("mpg backup schedule orders", "mpg backup schedule orders --incr '0 */6 * * *'"))
def schedule(
    cluster: options.Cluster,
    full: Annotated[str | None, typer.Option(metavar="CRON", help="When full backups are made, in UTC.")] = None,
    incr: Annotated[str | None, typer.Option(metavar="CRON", help="When incremental ones are made, in UTC.")] = None,
    keep_full: Annotated[int | None, typer.Option(metavar="N", help="Full backups to keep at least.")] = None,
    keep_days: Annotated[int | None, typer.Option(metavar="N", help="Days back that can be restored to.")] = None,
    drill: Annotated[
        str | None, typer.Option(metavar="CRON", help="When the latest one is verified, in UTC, or 'off'.")
    ] = None,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Show when backups are made and how long they are kept; with options, change that."""
    if all(asked is None for asked in (full, incr, keep_full, keep_days, drill)):
        found = with_client(lambda mpg: mpg.backup_schedule(cluster, org=org))
        if as_json:
            print_json(found)
        else:
            _show(found)
        return

    async def answer(mpg: "MpgClient", _result: "OperationResult") -> "BackupScheduleShape":
        return await mpg.backup_schedule(cluster, org=org)

    operate(
        lambda mpg: mpg.set_backup_policy(
            cluster, full=full, incr=incr, keep_full=keep_full, keep_days=keep_days, drill=drill, org=org
        ),
        detach=detach,
        as_json=as_json,
        answer=answer,
        show=_show,
    )


@app.command("remove-kept", epilog=options.example("mpg backup remove-kept afholu19ti7ununx --yes"))
def remove_kept(
    cluster: options.Cluster, yes: options.Yes = False, as_json: options.Json = False, org: options.Org = DEFAULT_ORG
) -> None:
    """Remove the backups that are kept of a destroyed cluster now, not when their time has come."""
    from starter.client import shapes

    confirm(f"If {cluster} is a cluster that was destroyed, it cannot be restored after this.", yes=yes)
    spec = with_client(lambda mpg: mpg.remove_kept_backups(cluster, org=org)).state.spec
    if as_json:
        print_json(shapes.RemovedBackups(id=spec.id, name=spec.name))
    else:
        print(f"The backups of {spec.name} ({spec.id}) are removed.")


def _show(found: "Record") -> None:
    from starter.cli.pages import MOMENT
    from starter.client.shapes import BackupScheduleShape

    assert isinstance(found, BackupScheduleShape)

    def line(cron: str, due: datetime | None) -> str:
        return f"{cron} (UTC), next " + (f"{due:{MOMENT}}" if due else "never: its schedule is paused or missing")

    print_fields(
        [
            ("full", line(found.full, found.next_full)),
            ("incremental", line(found.incr, found.next_incr)),
            ("verified", line(found.drill, found.next_drill) if found.drill else "only when asked for"),
            ("kept", f"the last {found.keep_full} full ones, and what any moment of {found.keep_days} days needs"),
        ]
    )
