"""`mpg users …`."""

from typing import TYPE_CHECKING, Annotated

import typer

from model.base import Record
from model.cluster import Role
from model.names import DEFAULT_ORG
from starter.cli import options
from starter.cli.output import print_json, print_table
from starter.cli.session import confirm, operate, with_client

if TYPE_CHECKING:
    from model.operations import OperationResult
    from starter.client import MpgClient
    from starter.client.shapes import UserShape

app = typer.Typer(help="Users and their roles.", no_args_is_help=True, rich_markup_mode=None)

UserRole = Annotated[Role, typer.Option("--role", "-r", help="What the user may do.")]


@app.command("list", epilog=options.example("mpg users list orders"))
def list_users(cluster: options.Cluster, as_json: options.Json = False, org: options.Org = DEFAULT_ORG) -> None:
    """List a cluster's users."""
    from starter.client import shapes

    found = shapes.users(with_client(lambda mpg: mpg.view(cluster, org=org)))
    if as_json:
        print_json(found)
    else:
        print_table(["user", "role"], [(user.name, user.role.value) for user in found])


@app.command(epilog=options.example("mpg users create orders -u app -r writer"))
def create(
    cluster: options.Cluster,
    username: options.Username,
    role: UserRole,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Add a user. Its connection string is one 'mpg url' away."""
    operate(
        lambda mpg: mpg.create_user(cluster, username, role, org=org),
        detach=detach,
        as_json=as_json,
        answer=_user(cluster, username, org),
        show=lambda user: _show(user, f"mpg url {cluster} -u {username}"),
    )


@app.command(epilog=options.example("mpg users set-role orders -u app -r reader"))
def set_role(
    cluster: options.Cluster,
    username: options.Username,
    role: UserRole,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Give a user another role."""
    operate(
        lambda mpg: mpg.set_user_role(cluster, username, role, org=org),
        detach=detach,
        as_json=as_json,
        answer=_user(cluster, username, org),
        show=_show,
    )


@app.command(epilog=options.example("mpg users delete orders -u app --yes"))
def delete(
    cluster: options.Cluster,
    username: options.Username,
    yes: options.Yes = False,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Remove a user. What it owns becomes its group's."""
    confirm(f"Deleting user {username} ends its access to cluster {cluster}.", yes=yes)
    operate(lambda mpg: mpg.delete_user(cluster, username, org=org), detach=detach, as_json=as_json)


@app.command(epilog=options.example("mpg users rotate-password orders -u app"))
def rotate_password(
    cluster: options.Cluster,
    username: options.Username,
    kill_sessions: Annotated[bool, typer.Option("--kill-sessions", help="End the user's sessions.")] = False,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Give a user a new password. 'mpg url' shows the new connection string; open sessions stay unless killed."""
    operate(
        lambda mpg: mpg.rotate_password(cluster, username, kill_sessions=kill_sessions, org=org),
        detach=detach,
        as_json=as_json,
    )


@app.command(epilog=options.example("mpg users opt-in-roles orders"))
def opt_in_roles(
    cluster: options.Cluster,
    detach: options.Detach = False,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Bring a cluster made before the role system under it, with the objects that are there."""
    operate(lambda mpg: mpg.opt_in_roles(cluster, org=org), detach=detach, as_json=as_json)


def _user(cluster: str, username: str, org: str):
    async def answer(mpg: "MpgClient", _result: "OperationResult") -> "UserShape":
        from starter.client.shapes import users

        view = await mpg.view(cluster, org=org)
        return next(user for user in users(view) if user.name == username)

    return answer


def _show(user: Record, hint: str = "") -> None:
    from starter.client.shapes import UserShape

    assert isinstance(user, UserShape)
    print(f"User {user.name} is a {user.role.value}.")
    if hint:
        print(f"Its connection string: {hint}")
