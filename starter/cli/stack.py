"""`mpg up`, `down`, `doctor`: the embedded stack and what it needs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from model.base import Record
from model.cluster import WRONG_MASTER_KEY
from model.errors import MpgError
from model.names import DEFAULT_ORG
from starter.cli import options
from starter.cli.errors import ExitCode, UsageSentence, say
from starter.cli.output import print_fields, print_json
from starter.cli.panels import Panel
from starter.cli.session import settings, with_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.settings import Settings
    from starter.prerequisites import CheckResult
    from starter.stack.embedded import StackStatus, Started


class Stopped(Record):
    """What `mpg down` found: whether anything ran."""

    was_up: bool


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    app.command(rich_help_panel=Panel.STACK, epilog=options.example("mpg up --detach", "mpg up --detach --new-key"))(up)
    app.command(rich_help_panel=Panel.STACK, epilog=options.example("mpg down"))(down)
    app.command(
        "install-service",
        rich_help_panel=Panel.STACK,
        epilog=options.example("mpg install-service", "mpg install-service --print", "mpg install-service --remove"),
    )(install_service)
    app.command(
        rich_help_panel=Panel.STACK,
        epilog=options.example("mpg doctor", "mpg doctor --fix", "mpg doctor --postgis --fix"),
    )(doctor)


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return once the stack is ready.")] = False,
    new_key: Annotated[
        bool,
        typer.Option(
            "--new-key", help="The old master key is lost for good: go on with master.key as it is, or a new one."
        ),
    ] = False,
    tls: Annotated[
        bool, typer.Option("--tls", help="Serve the API over TLS; MPG_API_TLS=true says so for every start.")
    ] = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Start the stack: Temporal and the worker. Clusters run with or without it.

    Waits up to a minute for clusters that do not serve yet, as after a reboot, and says of each when it serves.
    """
    import asyncio

    from starter.stack import embedded as stack

    def ready(started: "Started") -> None:
        if as_json:
            print_json(started.status)
        else:
            _show_stack(started.status, "was up already" if started.already_up else "is up")
            if not detach and not started.already_up:
                say("Ctrl-C stops it; clusters keep running.")

    starting = _in_background if detach else _in_foreground
    chosen = settings(api_tls=True) if tls else settings()
    if new_key:
        stack.renew_key(chosen)
    asyncio.run(starting(chosen, ready))


async def _in_background(chosen: "Settings", ready: "Callable[[Started], None]") -> None:
    from starter.stack import embedded as stack

    ready(await stack.start_detached(chosen))
    await _wait_for_clusters(chosen)


async def _in_foreground(chosen: "Settings", ready: "Callable[[Started], None]") -> None:
    import asyncio

    from starter.stack import embedded as stack
    from starter.stack.systemd import notify_ready

    waiting: list[asyncio.Task[None]] = []

    def up_now(started: "Started") -> None:
        ready(started)
        notify_ready()
        waiting.append(asyncio.create_task(_wait_for_clusters(chosen)))

    if await stack.run_foreground(chosen, on_ready=up_now):
        await asyncio.gather(*waiting)


async def _wait_for_clusters(chosen: "Settings") -> None:
    """Say which clusters are waited for, when each serves, and which do not. The stack is up with or without them."""
    from starter.client import MpgClient
    from starter.stack.serving import SERVING_SECONDS, await_serving

    def waits(name: str) -> None:
        say(f"Waiting for cluster {name}, which does not serve yet.")

    def serves(name: str, seconds: float) -> None:
        say(f"Cluster {name} serves, {seconds:.1f} s after the stack was up.")

    try:
        async with MpgClient.connect(chosen) as mpg:
            silent = await await_serving(chosen, await mpg.clusters_of_host(), waits, serves, seconds=SERVING_SECONDS)
    except MpgError as error:
        say(f"Whether the clusters serve is not known: {error}")
        return
    if silent:
        are = f"Cluster {silent[0]} does" if len(silent) == 1 else f"Clusters {', '.join(silent)} do"
        say(f"{are} not serve after {SERVING_SECONDS:g} s; 'mpg status NAME' says more.")


def down(as_json: options.Json = False, org: options.Org = DEFAULT_ORG) -> None:
    """Stop the stack. Clusters keep running, and nothing is lost."""
    import asyncio

    from starter.stack import embedded as stack

    was_up = asyncio.run(stack.stop(settings()))
    if as_json:
        print_json(Stopped(was_up=was_up))
    else:
        print("The stack is down; clusters keep running." if was_up else "The stack was not up.")


def install_service(
    name: Annotated[
        str,
        typer.Option("--name", metavar="NAME", help="Of the unit, without .service."),
    ] = "mpg",
    show: Annotated[bool, typer.Option("--print", help="Print the unit, and change nothing.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Stop the service and remove it; clusters serve on.")
    ] = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Have systemd start the stack at each boot, and keep it up."""
    from starter.stack import systemd

    if show and remove:
        raise UsageSentence("--print shows what --remove would remove: give one of them.")
    chosen = settings()
    if show:
        print(systemd.own_unit(chosen), end="")
        return
    found = systemd.remove(chosen, name, say) if remove else systemd.install(chosen, name, say)
    if as_json:
        print_json(found)
    elif remove:
        print(f"The service {found.unit} is removed.")
    elif found.stack == "beside":
        print(f"The service {found.unit} is installed: the stack, which is up, is its own from the next boot on.")
        print(f"To have that now: mpg down && systemctl start {found.unit}")
    else:
        print(f"The service {found.unit} is installed, and the stack is up.")


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Start, install and build what is missing.")] = False,
    postgis: Annotated[bool, typer.Option("--postgis", help="Ask for the image with PostGIS too.")] = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Say what this machine lacks and how to get it. With --json also the settings in force, secrets masked."""
    import asyncio

    from starter import prerequisites
    from starter.stack import embedded as stack

    chosen = settings(postgis=True) if postgis else settings()
    locked_out = _locked_out(org)
    results = asyncio.run(prerequisites.ensure(chosen, say) if fix else prerequisites.check(chosen))
    status = asyncio.run(stack.status(chosen))
    troubled = any(part.trouble for part in status.parts)
    if as_json:
        checks = tuple(dict(result) for result in results)
        print_json(
            Diagnosis(checks=checks, settings=chosen.masked(), stack=dict(status), wrong_master_key=dict(locked_out))
        )
    else:
        _show_checks(results)
        _show_stack(status, None)
        for cluster, message in locked_out:
            print(f"✗ cluster {cluster}: {message}")
    if locked_out or troubled or not all(result.passed for result in results):
        say("Error: Something is missing. What can be repaired is with 'mpg doctor --fix'.")
        raise typer.Exit(ExitCode.FAILED)


class Diagnosis(Record):
    """What `mpg doctor` found, as programs read it."""

    checks: tuple[dict[str, Any], ...]
    settings: dict[str, Any]
    stack: dict[str, Any]
    wrong_master_key: dict[str, str]
    """What there is to know of clusters that have another master key, by their names."""


def _locked_out(org: str) -> list[tuple[str, str]]:
    """Return the clusters on record that do not let the stack in, each with what to do."""
    try:
        views = with_client(lambda mpg: mpg.clusters(org=org))
    except MpgError:
        return []  # the stack is down, which is said beside this
    found = ((view.state.spec.name, view.state.status.condition(WRONG_MASTER_KEY)) for view in views)
    return [(name, condition.message) for name, condition in found if condition is not None]


_MARKS = {"failed": "✗", "without": "–"}


def _show_checks(results: "list[CheckResult]") -> None:
    for result in results:
        print(f"{_MARKS.get(result.state, '✓')} {result.name}: {result.detail}")
        if result.remedy:
            print(f"  {result.remedy}")


def _show_stack(status: "StackStatus", how: str | None) -> None:
    from starter.stack.state import is_production

    if how is None and is_production(status.home):
        print("This is the production stack's state directory: 'docker compose ps' says how that is.")
    else:
        print(f"The stack {how or 'is ' + status.state.value}.")
    if status.error:
        print(status.error)
    for warning in status.warnings:
        print(warning)
    for part in status.parts:
        if part.trouble:
            print(f"✗ {part.name} does not run, and is tried again: {part.trouble}")
    print_fields(
        [
            ("Temporal", f"{status.temporal_address}, namespace {status.namespace}"),
            ("Temporal UI", status.temporal_ui_url),
            ("API", status.api_url),
            ("Prometheus", status.prometheus_url),
            ("state", status.home),
            ("logs", status.logs_dir),
        ]
    )
