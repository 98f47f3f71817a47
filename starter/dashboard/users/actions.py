"""What can be done to users."""

from model.cluster import ClusterView, Role
from starter.client import MpgClient
from starter.client.operation import Operation
from starter.dashboard.action import Action, Field, Given, name_of

ROLES = {
    Role.SCHEMA_ADMIN: "Changes schemas and rows: creates, alters and drops tables. Cannot make roles or databases, "
    "nor reach files.",
    Role.WRITER: "Reads and writes rows. Does not change schemas.",
    Role.READER: "Reads rows. Changes nothing.",
}
"""What a user of each role can and can't do."""

_CHOICES = tuple((role.value, f"{role.value}: {what}") for role, what in ROLES.items())
_ABOUT = Field("username", "User", fixed=True)


async def _create(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.create_user(view.state.spec.id, given["username"], given["role"], org=view.state.spec.org)


async def _set_role(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.set_user_role(view.state.spec.id, given["username"], given["role"], org=view.state.spec.org)


async def _rotate(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.rotate_password(view.state.spec.id, given["username"], org=view.state.spec.org)


async def _delete(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.delete_user(view.state.spec.id, given["username"], org=view.state.spec.org)


async def _opt_in(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.opt_in_roles(view.state.spec.id, org=view.state.spec.org)


ACTIONS = (
    Action(
        name="create-user",
        tab="users",
        title=lambda view, given: f"Create a user in {name_of(view)}",
        button="Create User",
        fields=(
            Field("username", "Name", hint="Letters, digits and underscores; it cannot be changed later."),
            Field("role", "Role", default=Role.WRITER.value, choices=_CHOICES),
        ),
        effects=lambda view, given: (
            "The user can log in once this is done, at each of the cluster's addresses.",
            "Its password is made here; the Connect tab shows it when asked.",
        ),
        command=lambda view, given: (
            "users", "create", name_of(view), "-u", given["username"] or "NAME", "--role", given["role"],
        ),
        start=_create,
    ),
    Action(
        name="set-role",
        tab="users",
        title=lambda view, given: f"Change the role of {given['username']}",
        button="Change Role",
        fields=(_ABOUT, Field("role", "New role", default=Role.WRITER.value, choices=_CHOICES)),
        effects=lambda view, given: (
            "The new role holds for every database of the cluster, as soon as this is done.",
            "From or to schema_admin, this user's open sessions are ended.",
        ),
        command=lambda view, given: (
            "users", "set-role", name_of(view), "-u", given["username"], "--role", given["role"],
        ),
        start=_set_role,
    ),
    Action(
        name="rotate-password",
        tab="users",
        title=lambda view, given: f"Rotate the password of {given['username']}",
        button="Rotate Password",
        fields=(_ABOUT,),
        effects=lambda view, given: (
            "New connections need the new password at once; programs that have the old one cannot log in any more.",
            "Sessions that are open stay.",
        ),
        command=lambda view, given: ("users", "rotate-password", name_of(view), "-u", given["username"]),
        start=_rotate,
    ),
    Action(
        name="delete-user",
        tab="users",
        title=lambda view, given: f"Delete user {given['username']}",
        button="Delete User",
        fields=(_ABOUT,),
        danger=True,
        effects=lambda view, given: (
            "This user's open sessions are ended, and it cannot log in any more.",
            "What it owns stays, and belongs to its group from then on.",
        ),
        command=lambda view, given: ("users", "delete", name_of(view), "-u", given["username"], "--yes"),
        start=_delete,
    ),
    Action(
        name="opt-in-roles",
        tab="users",
        title=lambda view, given: f"Bring {name_of(view)} under the role system",
        button="Opt In",
        effects=lambda view, given: (
            "Users get a role each, for what is in the cluster already too.",
            "Users' sessions end once.",
        ),
        command=lambda view, given: ("users", "opt-in-roles", name_of(view)),
        start=_opt_in,
    ),
)  # fmt: skip
