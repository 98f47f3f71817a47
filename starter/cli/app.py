"""The command with all its groups."""

import typer

from starter.cli import access, adopt, changes, clusters, databases, operations, stack, users
from starter.cli.errors import Commands

app = typer.Typer(
    cls=Commands,
    name="mpg",
    help="Managed Postgres on your own machines: clusters with a primary, a replica, poolers and one address.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for group in (stack, clusters, adopt, changes, access):
    group.register(app)
app.add_typer(users.app, name="users")
app.add_typer(databases.app, name="databases")
app.add_typer(operations.app, name="operations")
