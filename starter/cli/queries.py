"""`mpg queries running`, `statements`, `plan`, `suggest`, `cancel`, `end`."""

from typing import TYPE_CHECKING, Annotated

import typer

from model.base import Record
from model.errors import NotFound, NotYet
from model.names import DEFAULT_ORG
from model.queries import StatementOrder, ordered
from starter.cli import options
from starter.cli.output import print_json, print_table
from starter.cli.session import confirm, with_client

if TYPE_CHECKING:
    from model.queries import Queries
    from starter.client import MpgClient

app = typer.Typer(help="What clients run, ran, and an end to it.", no_args_is_help=True, rich_markup_mode=None)

Pid = Annotated[int, typer.Argument(metavar="PID", help="The session, as 'mpg queries running' lists it.")]
_SHOWN = 80
"""Characters of a statement in a table; ``--json`` has more."""


class SignalledShape(Record):
    """What ``mpg queries cancel --json`` shows."""

    pid: int
    done: str


@app.command(epilog=options.example("mpg queries running orders"))
def running(cluster: options.Cluster, as_json: options.Json = False, org: options.Org = DEFAULT_ORG) -> None:
    """List clients' sessions on the primary, the longest transactions first."""
    found = _look(cluster, org).sessions
    if as_json:
        print_json(found)
    elif found:
        columns = ["pid", "user", "database", "client", "state", "seconds", "blocked by", "statement"]
        print_table(
            columns,
            [
                (
                    each.pid,
                    each.user,
                    each.database,
                    each.client,
                    each.state,
                    f"{each.state_seconds:.1f}",
                    ", ".join(map(str, each.blocked_by)),
                    _short(each.query),
                )
                for each in found
            ],
        )
    else:
        print(f"Nobody is connected to cluster {cluster}.")


@app.command(epilog=options.example("mpg queries statements orders --by mean"))
def statements(
    cluster: options.Cluster,
    by: Annotated[
        StatementOrder,
        typer.Option("--by", help="First those that took the most time in all, longest each, or ran most often."),
    ] = StatementOrder.TIME,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """List statements that ran: the 50 that took the most time in all, or another measure of them."""
    found = ordered(_look(cluster, org).statements, by)
    if as_json:
        print_json(found)
    else:
        columns = ["id", "calls", "seconds", "ms each", "rows", "user", "database", "statement"]
        print_table(
            columns,
            [
                (
                    each.id,
                    each.calls,
                    f"{each.total_ms / 1000:.1f}",
                    f"{each.mean_ms:.2f}",
                    each.rows,
                    each.user,
                    each.database,
                    _short(each.query),
                )
                for each in found
            ],
        )


# Half of all ids begin with a minus, which is no option.
@app.command(
    epilog=options.example("mpg queries plan orders 4719281650937264851"),
    context_settings={"ignore_unknown_options": True},
)
def plan(
    cluster: options.Cluster,
    statement: Annotated[str, typer.Argument(metavar="QUERYID", help="Its id in 'mpg queries statements'.")],
    database: Annotated[str | None, typer.Option("--database", "-d", metavar="NAME", help="Of this one.")] = None,
    user: Annotated[str | None, typer.Option("--user", "-u", metavar="NAME", help="As this one ran it.")] = None,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Show the plan that Postgres makes of a statement that ran, for whatever values, as the user who ran it."""
    found = with_client(lambda mpg: mpg.statement_plan(cluster, statement, database=database, user=user, org=org))
    if as_json:
        print_json(found)
    else:
        print(f"-- as {found.user} in {found.database}: {_short(found.query)}\n{found.plan}")


@app.command(epilog=options.example("mpg queries suggest orders -d fly-db"))
def suggest(
    cluster: options.Cluster,
    database: Annotated[str, typer.Option("--database", "-d", metavar="NAME", help="The database.")],
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """List what about a database's tables and indexes deserves a look, each with the statement that would change it."""
    look = _look(cluster, org, database)
    if look.no_suggestions:
        raise NotYet(look.no_suggestions, remedy=f"See who holds it: 'mpg queries running {cluster}'.")
    found = look.suggestions
    if as_json:
        print_json(found)
    elif found:
        for each in found:
            print(f"-- {each.kind.value}: {each.about}: {each.why}\n{each.statement};")
    else:
        print(f"Nothing in {database} stands out.")


@app.command(epilog=options.example("mpg queries cancel orders 4711"))
def cancel(cluster: options.Cluster, pid: Pid, as_json: options.Json = False, org: options.Org = DEFAULT_ORG) -> None:
    """Cancel what a session runs; the session stays."""
    _signal(cluster, pid, org, end=False, as_json=as_json)


@app.command(epilog=options.example("mpg queries end orders 4711 --yes"))
def end(
    cluster: options.Cluster,
    pid: Pid,
    yes: options.Yes = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """End a session. What its transaction did is rolled back."""
    confirm(f"Session {pid} of cluster {cluster} is ended, and its transaction rolled back.", yes=yes)
    _signal(cluster, pid, org, end=True, as_json=as_json)


def _look(cluster: str, org: str, database: str | None = None) -> "Queries":
    return with_client(lambda mpg: mpg.queries(cluster, database=database, org=org))


def _signal(cluster: str, pid: int, org: str, *, end: bool, as_json: bool) -> None:
    async def signal(mpg: "MpgClient") -> None:
        sessions = (await mpg.queries(cluster, org=org)).sessions
        found = next((each for each in sessions if each.pid == pid), None)
        if found is None:
            raise NotFound(
                f"Cluster {cluster} has no session {pid} of a client's.", remedy=f"See 'mpg queries running {cluster}'."
            )
        await mpg.signal_session(cluster, pid, found.began, end=end, org=org)

    with_client(signal)
    done = "ended" if end else "cancelled"
    if as_json:
        print_json(SignalledShape(pid=pid, done=done))
    else:
        print(f"Session {pid} is ended." if end else f"What session {pid} ran is cancelled.")


def _short(query: str) -> str:
    line = " ".join(query.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
