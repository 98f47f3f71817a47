"""Users by the Machines API."""

from fastapi import APIRouter

from model.base import Record
from model.cluster import Role
from model.names import is_reserved_username
from starter.api.call import Asked
from starter.api.errors import ApiError, after_acceptance
from starter.api.machines.lookup import view
from starter.api.operating import Body, finished
from starter.api.passwords import credentials_after_rotation, user_credentials
from starter.api.rest.users import NewRole, NewUser, OneUserCredentials

router = APIRouter(prefix="/postgres/{cluster}/users", tags=["machines: users"])


class UserRole(Record):
    """A user and its role."""

    username: str
    role: Role


class Users(Record):
    """The answer about several."""

    data: list[UserRole]


class OneUser(Record):
    """The answer about one."""

    data: UserRole


class Rotation(Body):
    """What happens to sessions that are open."""

    kill_sessions: bool = False


@router.get("")
async def list_users(cluster: str, call: Asked) -> Users:
    """List a cluster's users."""
    users = (await view(call, cluster)).state.spec.users
    return Users(data=[UserRole(username=user.name, role=user.role) for user in users])


@router.post("", status_code=201)
async def create_user(cluster: str, user: NewUser, call: Asked) -> OneUser:
    """Add a user; answered once it can log in."""
    spec = (await view(call, cluster)).state.spec
    if is_reserved_username(user.username):
        raise ApiError(400, f"User name {user.username!r} is reserved.")
    await finished(
        await call.mpg.create_user(
            spec.id, user.username, user.role, org=spec.org, request_id=call.request_id(spec.org)
        )
    )
    return OneUser(data=UserRole(username=user.username, role=user.role))


@router.patch("/{username}", status_code=204)
async def set_user_role(cluster: str, username: str, change: NewRole, call: Asked) -> None:
    """Give a user another role."""
    spec = (await view(call, cluster)).state.spec
    await finished(
        await call.mpg.set_user_role(spec.id, username, change.role, org=spec.org, request_id=call.request_id(spec.org))
    )


@router.delete("/{username}", status_code=204)
async def delete_user(cluster: str, username: str, call: Asked) -> None:
    """Remove a user. What it owns becomes its group's."""
    spec = (await view(call, cluster)).state.spec
    await finished(await call.mpg.delete_user(spec.id, username, org=spec.org, request_id=call.request_id(spec.org)))


@router.get("/{username}/credentials")
async def show_credentials(cluster: str, username: str, call: Asked) -> OneUserCredentials:
    """Show how a user logs in."""
    return OneUserCredentials(data=user_credentials(call, await view(call, cluster), username))


@router.post("/{username}/rotate_password")
async def rotate_password(
    cluster: str, username: str, call: Asked, rotation: Rotation | None = None
) -> OneUserCredentials:
    """Give a user a new password. Open sessions stay unless they are to be killed."""
    spec = (await view(call, cluster)).state.spec
    kill = rotation is not None and rotation.kill_sessions
    key = call.request_id(spec.org)
    operation = await call.mpg.rotate_password(spec.id, username, kill_sessions=kill, org=spec.org, request_id=key)
    await finished(operation)
    with after_acceptance(operation.id):
        rotated = await view(call, cluster)
    return OneUserCredentials(data=credentials_after_rotation(call, rotated, username))
