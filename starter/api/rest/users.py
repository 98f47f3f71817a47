"""Users of a cluster."""

from fastapi import APIRouter

from model.base import Record
from model.cluster import Role
from starter.api.call import Asked
from starter.api.operating import Body, finished
from starter.api.passwords import UserCredentials, user_credentials
from starter.client import shapes
from starter.client.shapes import UserShape

router = APIRouter(prefix="/postgresv2/{cluster}/users", tags=["users"])


class Users(Record):
    """The answer about several."""

    data: list[UserShape]


class OneUser(Record):
    """The answer about one."""

    data: UserShape


class OneUserCredentials(Record):
    """The answer about a password."""

    data: UserCredentials


class NewUser(Body):
    """A user to be made."""

    username: str
    role: Role


class NewRole(Body):
    """Another role."""

    role: Role


@router.get("")
async def list_users(cluster: str, call: Asked) -> Users:
    """List a cluster's users."""
    return Users(data=list(shapes.users(await call.view(cluster))))


@router.post("", status_code=201)
async def create_user(cluster: str, user: NewUser, call: Asked) -> OneUser:
    """Add a user; answered once it can log in."""
    spec = (await call.view(cluster)).state.spec
    await finished(
        await call.mpg.create_user(
            spec.id, user.username, user.role, org=spec.org, request_id=call.request_id(spec.org)
        )
    )
    return OneUser(data=UserShape(name=user.username, role=user.role))


@router.patch("/{username}")
async def set_user_role(cluster: str, username: str, change: NewRole, call: Asked) -> OneUser:
    """Give a user another role."""
    spec = (await call.view(cluster)).state.spec
    await finished(
        await call.mpg.set_user_role(spec.id, username, change.role, org=spec.org, request_id=call.request_id(spec.org))
    )
    return OneUser(data=UserShape(name=username, role=change.role))


@router.delete("/{username}", status_code=204)
async def delete_user(cluster: str, username: str, call: Asked) -> None:
    """Remove a user. What it owns becomes its group's."""
    spec = (await call.view(cluster)).state.spec
    await finished(await call.mpg.delete_user(spec.id, username, org=spec.org, request_id=call.request_id(spec.org)))


@router.get("/{username}/credentials")
async def show_credentials(cluster: str, username: str, call: Asked) -> OneUserCredentials:
    """Show how a user logs in."""
    return OneUserCredentials(data=user_credentials(call, await call.view(cluster), username))
