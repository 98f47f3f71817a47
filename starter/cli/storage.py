"""`mpg storage`: what a cluster uses of its storage; more of it."""

from typing import TYPE_CHECKING, Annotated

import typer

from model.names import DEFAULT_ORG
from starter.cli import options
from starter.cli.output import print_fields, print_json, print_table
from starter.cli.panels import Panel
from starter.cli.session import operate, with_client

if TYPE_CHECKING:
    from starter.client.storage_shapes import StorageShape


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""
    app.command(
        rich_help_panel=Panel.CHANGES,
        epilog=options.example(
            "mpg storage orders",
            "mpg storage orders --grow-to 20",
            "mpg storage orders --auto-grow-step 10 --auto-grow-max 100",
        ),
    )(storage)


def storage(
    cluster: options.Cluster,
    grow_to: Annotated[int | None, typer.Option(metavar="GB", help="Give each node so much; never less.")] = None,
    auto_grow_step: Annotated[
        int | None, typer.Option(metavar="GB", help="Grow by so much whenever storage is low; 0: do not.")
    ] = None,
    auto_grow_max: Annotated[
        int | None, typer.Option(metavar="GB", help="The most that it may grow to by itself.")
    ] = None,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Show what a cluster uses of its storage, by node and by database, or give it more."""
    if grow_to is not None or auto_grow_step is not None or auto_grow_max is not None:
        operate(
            lambda mpg: mpg.grow_storage(
                cluster, grow_to, auto_grow_step_gb=auto_grow_step, auto_grow_max_gb=auto_grow_max, org=org
            ),
            detach=detach,
            as_json=as_json,
        )
        return
    from starter.client.storage_shapes import storage_shape

    found = storage_shape(with_client(lambda mpg: mpg.storage(cluster, org=org)))
    if as_json:
        print_json(found)
    else:
        show(found)


def show(found: "StorageShape") -> None:
    """Print a cluster's storage as tables."""
    print_fields(
        [
            ("name", found.name),
            ("provided", f"{_size(found.storage_provisioned_bytes)} per node"),
            ("used", None if found.storage_used_bytes is None else _share(found, found.storage_used_bytes)),
            ("writes", "refused until there is room" if found.read_only else "go on"),
            ("growth", _growth(found)),
            ("by itself", _by_itself(found)),
            ("seen", found.seen_at and f"{found.seen_at:%Y-%m-%d %H:%M:%S}"),
        ]
    )
    if found.nodes:
        print_table(
            ["node", "used", "data", "WAL", "temporary", "silent since"],
            [
                (
                    n.name,
                    _share(found, n.used_bytes),
                    *(_size(each) for each in (n.data_bytes, n.wal_bytes, n.temp_bytes)),
                    f"{n.seen_at:%Y-%m-%d %H:%M}" if n.seen_at else "",
                )
                for n in found.nodes
            ],
        )
    if found.databases:
        rows = sorted(found.databases, key=lambda each: -each.bytes)
        print_table(["database", "size"], [(each.name, _size(each.bytes)) for each in rows])


def _growth(found: "StorageShape") -> str | None:
    rate = found.grows_bytes_per_day
    if rate is None:
        return None
    if rate <= 0:
        return "it is not growing"
    return f"{_size(rate)} a day" + (f", full on {found.full_on:%Y-%m-%d}" if found.full_on else "")


def _by_itself(found: "StorageShape") -> str:
    growth = found.auto_grow
    return f"{growth.step_gb} GB at a time, up to {growth.max_gb} GB" if growth else "no"


def _share(found: "StorageShape", used: int) -> str:
    return f"{_size(used)} ({100 * used / found.storage_provisioned_bytes:.0f} %)"


def _size(size: int) -> str:
    for unit, bytes_in in (("GB", 2**30), ("MB", 2**20)):
        if size >= bytes_in:
            return f"{size / bytes_in:.1f} {unit}"
    return f"{size // 1024} kB"
