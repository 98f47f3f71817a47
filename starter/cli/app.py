"""The command with all its groups."""

import typer

from starter.cli import (
    access,
    adopt,
    auth,
    backups,
    changes,
    clusters,
    dashboard,
    databases,
    metrics,
    migrating,
    operations,
    queries,
    restoring,
    stack,
    storage,
    users,
    webhooks,
)
from starter.cli.errors import Commands
from starter.cli.panels import Panel

HELP_COLUMNS = 120
"""As wide as a terminal may be for help to use it; click's own bound is 80."""

app = typer.Typer(
    cls=Commands,
    name="mpg",
    help="Managed Postgres on your own machines: clusters with a primary, a replica, poolers and one address.",
    epilog="Options and an example of a command: mpg COMMAND --help",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": HELP_COLUMNS},
)

for group in (stack, migrating, dashboard, clusters, storage, adopt, changes, access, restoring):
    group.register(app)
app.add_typer(users.app, name="users", rich_help_panel=Panel.USERS)
app.add_typer(databases.app, name="databases", rich_help_panel=Panel.USERS)
app.add_typer(backups.app, name="backup", rich_help_panel=Panel.COPIES)
app.add_typer(auth.app, name="auth", rich_help_panel=Panel.ACCESS)
app.add_typer(operations.app, name="operations", rich_help_panel=Panel.OPERATIONS)
app.add_typer(metrics.app, name="metrics", rich_help_panel=Panel.OPERATIONS)
app.add_typer(queries.app, name="queries", rich_help_panel=Panel.OPERATIONS)
app.add_typer(webhooks.app, name="webhooks", rich_help_panel=Panel.OPERATIONS)
