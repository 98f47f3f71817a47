"""Options that several commands share, each defined once."""

from typing import Annotated

import typer

Cluster = Annotated[str, typer.Argument(metavar="CLUSTER", help="A cluster's id or name.", show_default=False)]
Org = Annotated[str, typer.Option("--org", "-o", metavar="ORG", help="The organization that the cluster is in.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Detach = Annotated[bool, typer.Option("--detach", help="Print the operation's id and return at once.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Username = Annotated[str, typer.Option("--username", "--user", "-u", metavar="NAME", help="The user.")]
Database = Annotated[str, typer.Option("--database", "-d", metavar="NAME", help="The database.")]


def example(*lines: str) -> str:
    """Return a command's epilog with example command lines."""
    return "Example: " + " · ".join(lines)
