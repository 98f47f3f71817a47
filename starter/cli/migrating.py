"""`mpg migrate-stack`: from the embedded stack to the production stack on the same host."""

from pathlib import Path
from typing import Annotated

import typer

from model.names import DEFAULT_ORG
from starter.cli import options
from starter.cli.errors import say
from starter.cli.output import print_json
from starter.cli.panels import Panel
from starter.cli.session import confirm, settings

QUESTION = (
    "The embedded stack of {} is stopped and its clusters are moved to the stack of {}. They serve meanwhile; the "
    "history of past operations does not come along."
)


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""
    app.command(
        "migrate-stack",
        rich_help_panel=Panel.STACK,
        epilog=options.example("mpg migrate-stack", "mpg migrate-stack --file docker-compose.yml --file mine.yml"),
    )(migrate_stack)


def migrate_stack(
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", metavar="FILE", help="The stack's compose file, and yours that change it."),
    ] = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Move all clusters of the embedded stack to the production stack. No client notices."""
    import asyncio

    from model.errors import MpgError
    from starter.prerequisites.result import Missing
    from starter.stack.migration import migrate
    from starter.stack.production import ProductionStack

    chosen, named = settings(), files or [Path("docker-compose.yml")]
    try:
        stack = ProductionStack(named, chosen)
    except Missing as error:
        raise MpgError(error.detail, remedy=error.remedy) from None
    confirm(QUESTION.format(chosen.home, named[0]), yes=yes)
    moved = asyncio.run(migrate(chosen, stack, say))
    if as_json:
        print_json(moved)
        return
    print(f"Moved: {', '.join(moved.clusters) or 'no cluster, since there was none'}.")
    for each in moved.left:
        print(f"Not moved: {each}")
