"""Which password an operation asks for: none that a user of that name had before."""

import pytest

from model.cluster import ClusterState, Role
from model.effects import DropUserInput, PasswordIs, UserInput
from model.operations import CreateUserRequest, DeleteUserRequest, OperationRequest, RotatePasswordRequest
from tests.workflows.bench import Bench
from tests.workflows.samples import ready_cluster


async def done(bench: Bench, state: ClusterState, *requests: OperationRequest) -> ClusterState:
    await bench.cluster(state)
    for request in requests:
        assert (await bench.run(request)).changed
    return (await bench.free(state.spec.id)).state


def versions(bench: Bench) -> list[tuple[str, int, bool]]:
    """What was asked of Postgres about amy's password, in order: which effect, which version, whether a new one."""
    found: list[tuple[str, int, bool]] = []
    for call in bench.stubs.calls:
        if isinstance(call.arg, UserInput):
            found.append((call.effect, call.arg.user.password_version, call.arg.new_password))
        elif isinstance(call.arg, DropUserInput):
            found.append((call.effect, call.arg.password_version, False))
    return found


def create(state: ClusterState) -> CreateUserRequest:
    return CreateUserRequest(cluster_id=state.spec.id, username="amy", role=Role.READER)


def delete(state: ClusterState) -> DeleteUserRequest:
    return DeleteUserRequest(cluster_id=state.spec.id, username="amy")


def rotate(state: ClusterState) -> RotatePasswordRequest:
    return RotatePasswordRequest(cluster_id=state.spec.id, username="amy")


async def test_user_made_again_has_the_next_version(bench: Bench) -> None:
    state = ready_cluster()
    steps = (rotate(state), delete(state), create(state), rotate(state), delete(state), create(state))
    after = await done(bench, state, *steps)
    assert versions(bench) == [
        ("set_password", 2, True),
        ("drop_user", 2, False),
        ("create_user", 3, True),
        ("set_password", 4, True),
        ("drop_user", 4, False),
        ("create_user", 5, True),
    ]
    user = after.spec.user("amy")
    assert user is not None
    assert (user.password_version, after.spec.former_users) == (5, ())


@pytest.mark.parametrize("effect", ["create_user", "set_password"])
async def test_version_that_postgres_chose_is_on_record(bench: Bench, effect: str) -> None:
    bench.stubs.answers[effect] = PasswordIs(version=9)
    state = ready_cluster()
    last = create(state) if effect == "create_user" else rotate(state)
    after = await done(bench, state, *([delete(state)] if effect == "create_user" else []), last)
    user = after.spec.user("amy")
    assert user is not None
    assert user.password_version == 9
