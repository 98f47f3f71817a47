"""`mpg operations …`."""

from typing import TYPE_CHECKING, Annotated

import typer

from model.names import DEFAULT_ORG
from starter.cli import options
from starter.cli.output import print_fields, print_json, print_table
from starter.cli.session import operate, with_client

if TYPE_CHECKING:
    from starter.client import MpgClient
    from starter.client.operation import Operation
    from starter.client.shapes import OperationShape

app = typer.Typer(help="What ran, what runs, and how far it is.", no_args_is_help=True, rich_markup_mode=None)

OperationId = Annotated[str, typer.Argument(metavar="OPERATION", help="An operation's id.", show_default=False)]


@app.command("list", epilog=options.example("mpg operations list", "mpg operations list orders"))
def list_operations(
    cluster: Annotated[str | None, typer.Argument(metavar="[CLUSTER]", help="Only this cluster's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """List operations, newest first."""
    found = with_client(lambda mpg: mpg.operations(cluster, org=org, limit=limit))
    if as_json:
        print_json(found)
    elif not found:
        print("There are no operations.")
    else:
        print_table(
            ["operation", "status", "started", "seconds"],
            [(o.id, o.status, o.started_at and f"{o.started_at:%Y-%m-%d %H:%M:%S}", _seconds(o)) for o in found],
        )


@app.command(epilog=options.example("mpg operations show change-plan/orders/5f3c9a1e2b4d6f80 --watch"))
def show(
    operation: OperationId,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it until it ended.")] = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Show an operation and its steps."""

    async def look(mpg: "MpgClient") -> "OperationShape":
        handle = mpg.operation(operation)
        found = await handle.describe()
        if watch and found.finished_at is None:
            await _watch(handle)
            found = await handle.describe()
        return found

    found = with_client(look)
    if as_json:
        print_json(found)
    else:
        _show(found)


@app.command(epilog=options.example("mpg operations cancel change-plan/orders/5f3c9a1e2b4d6f80"))
def cancel(
    operation: OperationId,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Stop an operation and undo what it did."""

    async def work(mpg: "MpgClient") -> "OperationShape | None":
        handle = mpg.operation(operation)
        await handle.describe()
        await handle.cancel()
        if detach:
            return None
        await _watch(handle)
        return await handle.describe()

    found = with_client(work)
    if found is None:
        print(operation)
        return
    if as_json:
        print_json(found)
    else:
        _show(found)
    _check_cancelled(found)


@app.command(epilog=options.example("mpg operations retry change-plan/orders/5f3c9a1e2b4d6f80"))
def retry(
    operation: OperationId,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Start a new operation with the request of one that did not complete."""
    operate(lambda mpg: mpg.retry(operation), detach=detach, as_json=as_json)


def _check_cancelled(found: "OperationShape") -> None:
    from model.errors import Refused
    from model.operations import OperationOutcome

    if found.status is OperationOutcome.DONE:
        raise Refused(f"Operation {found.id} was past the point of return and is done.")


async def _watch(operation: "Operation") -> None:
    """Show the steps until the end; how it ended is for the caller to ask."""
    from model.errors import MpgError, StackDown
    from starter.cli.waiting import wait

    try:
        await wait(operation)
    except StackDown:
        raise
    except MpgError:
        return


def _show(found: "OperationShape") -> None:
    print_fields(
        [
            ("id", found.id),
            ("type", found.type),
            ("cluster", found.cluster_id),
            ("status", found.status.value),
            ("phase", found.phase),
            ("started", found.started_at and f"{found.started_at:%Y-%m-%d %H:%M:%S} UTC"),
            ("finished", found.finished_at and f"{found.finished_at:%Y-%m-%d %H:%M:%S} UTC"),
            ("error", found.error),
        ]
    )
    if found.steps:
        print_table(
            ["step", "status", "seconds"],
            [(s.name, s.status.value, None if s.seconds is None else f"{s.seconds:.2f}") for s in found.steps],
        )


def _seconds(found: "OperationShape") -> str | None:
    if found.started_at is None or found.finished_at is None:
        return None
    return f"{(found.finished_at - found.started_at).total_seconds():.2f}"
