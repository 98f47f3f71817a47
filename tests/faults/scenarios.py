"""For every operation: how the cluster is brought to where the operation has something to do, and what it is after."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from model.backups import BackupType
from model.cluster import ClusterSpec, ClusterState, ClusterStatus, Database, Durability, PoolMode, Role, Tls, User
from model.facts import AllowListIs, DurabilityIs, Fact, TlsIs, UserGone, UserIs, apply
from model.names import kebab
from model.operations import REQUESTS, OperationOutcome, SetDurabilityRequest
from model.plans import DEFAULT_PLANS
from starter.client import MpgClient
from starter.client.operation import Operation

KEEPER, LEAVER, FRESH = "keeper", "leaver", "fresh"
EXTENSION = "hstore"
DATABASE = "fly-db"


class Bench(Protocol):
    """The cluster that a scenario works on."""

    mpg: MpgClient
    name: str

    async def state(self) -> ClusterState:
        """Return the record."""
        ...

    async def make_legacy(self) -> None:
        """Have the record say that the cluster is older than the role system."""
        ...


@dataclass(frozen=True)
class Prepared:
    """An operation that can be started, with the record as it is before and as it is to be after."""

    start: Callable[[str], Awaitable[Operation]]
    """Given the request id."""
    before: ClusterSpec
    after: ClusterSpec
    irreversible: bool = False
    """What is dropped stays dropped: where the step that drops fails after it did, the record says that it is gone."""
    ends_sessions: bool = False
    """Ends the sessions of every user once, which is what it is documented to do."""
    new_password: str | None = None
    """Who gets a password that is new: of the version in ``after``, or a later one where others were given in vain."""
    is_done: Callable[[], Awaitable[bool]] | None = None
    """Tell whether the operation's effect is there, where the record does not tell."""


Prepare = Callable[[Bench], Awaitable[Prepared]]


async def use_roles(bench: Bench) -> None:
    """See that the cluster uses the role system: a case may have left it as one that is older."""
    if (await bench.state()).spec.legacy_roles:
        await (await bench.mpg.opt_in_roles(bench.name)).result()


async def _users(bench: Bench, *, there: dict[str, Role], gone: tuple[str, ...] = ()) -> ClusterSpec:
    """Return the record once the users *there* exist and those in *gone* do not."""
    await use_roles(bench)
    spec = (await bench.state()).spec
    for name, role in there.items():
        if spec.user(name) is None:
            await (await bench.mpg.create_user(bench.name, name, role)).result()
    for name in gone:
        if spec.user(name) is not None:
            await (await bench.mpg.delete_user(bench.name, name)).result()
    return (await bench.state()).spec


def _after(spec: ClusterSpec, fact: Fact) -> ClusterSpec:
    return apply(ClusterState(spec=spec, status=ClusterStatus()), [fact]).spec


async def create_user(bench: Bench) -> Prepared:
    spec = await _users(bench, there={}, gone=(FRESH,))
    return Prepared(
        lambda key: bench.mpg.create_user(bench.name, FRESH, Role.WRITER, request_id=key),
        spec,
        _after(spec, UserIs(user=_with_new_password(spec, User(name=FRESH, role=Role.WRITER)))),
        new_password=FRESH,
    )


def _with_new_password(spec: ClusterSpec, user: User) -> User:
    return user.model_copy(update={"password_version": spec.next_password_version(user.name)})


async def set_user_role(bench: Bench) -> Prepared:
    spec = await _users(bench, there={KEEPER: Role.WRITER})
    user = spec.user(KEEPER)
    assert user is not None
    roles = list(Role)
    role = roles[(roles.index(user.role) + 1) % len(roles)]
    return Prepared(
        lambda key: bench.mpg.set_user_role(bench.name, KEEPER, role, request_id=key),
        spec,
        _after(spec, UserIs(user=user.model_copy(update={"role": role}))),
    )


async def delete_user(bench: Bench) -> Prepared:
    spec = await _users(bench, there={LEAVER: Role.SCHEMA_ADMIN})
    return Prepared(
        lambda key: bench.mpg.delete_user(bench.name, LEAVER, request_id=key),
        spec,
        _after(spec, UserGone(name=LEAVER)),
    )


async def rotate_password(bench: Bench) -> Prepared:
    spec = await _users(bench, there={KEEPER: Role.WRITER})
    user = spec.user(KEEPER)
    assert user is not None
    return Prepared(
        lambda key: bench.mpg.rotate_password(bench.name, KEEPER, request_id=key),
        spec,
        _after(spec, UserIs(user=_with_new_password(spec, user))),
        new_password=KEEPER,
    )


async def opt_in_roles(bench: Bench) -> Prepared:
    await bench.make_legacy()
    spec = (await bench.state()).spec
    return Prepared(
        lambda key: bench.mpg.opt_in_roles(bench.name, request_id=key),
        spec,
        spec.model_copy(update={"legacy_roles": False}),
        ends_sessions=True,
    )


async def create_database(bench: Bench) -> Prepared:
    spec = (await bench.state()).spec
    if spec.database(FRESH) is not None:
        await (await bench.mpg.delete_database(bench.name, FRESH)).result()
        spec = (await bench.state()).spec
    return Prepared(
        lambda key: bench.mpg.create_database(bench.name, FRESH, request_id=key),
        spec,
        spec.model_copy(update={"databases": (*spec.databases, Database(name=FRESH))}),
    )


async def delete_database(bench: Bench) -> Prepared:
    spec = (await bench.state()).spec
    if spec.database(LEAVER) is None:
        await (await bench.mpg.create_database(bench.name, LEAVER)).result()
        spec = (await bench.state()).spec
    databases = tuple(each for each in spec.databases if each.name != LEAVER)
    return Prepared(
        lambda key: bench.mpg.delete_database(bench.name, LEAVER, force=True, request_id=key),
        spec,
        spec.model_copy(update={"databases": databases}),
        irreversible=True,
    )


async def enable_extension(bench: Bench) -> Prepared:
    if await _is_installed(bench, True):
        await (await bench.mpg.disable_extension(bench.name, DATABASE, EXTENSION)).result()
    spec = (await bench.state()).spec
    return Prepared(
        lambda key: bench.mpg.enable_extension(bench.name, DATABASE, EXTENSION, request_id=key),
        spec,
        spec,
        is_done=lambda: _is_installed(bench, True),
    )


async def disable_extension(bench: Bench) -> Prepared:
    if not await _is_installed(bench, True):
        await (await bench.mpg.enable_extension(bench.name, DATABASE, EXTENSION)).result()
    spec = (await bench.state()).spec
    return Prepared(
        lambda key: bench.mpg.disable_extension(bench.name, DATABASE, EXTENSION, request_id=key),
        spec,
        spec,
        irreversible=True,
        is_done=lambda: _is_installed(bench, False),
    )


async def _is_installed(bench: Bench, wanted: bool) -> bool:
    found = await bench.mpg.extensions(bench.name, DATABASE)
    return any(each.name == EXTENSION and each.installed is not None for each in found) is wanted


async def change_plan(bench: Bench) -> Prepared:
    spec = (await bench.state()).spec
    plan = DEFAULT_PLANS["basic" if spec.plan.name == "starter" else "starter"]
    return Prepared(
        lambda key: bench.mpg.change_plan(bench.name, plan.name, request_id=key),
        spec,
        spec.model_copy(update={"plan": plan}),
    )


async def set_pool_mode(bench: Bench) -> Prepared:
    spec = (await bench.state()).spec
    mode = PoolMode.SESSION if spec.pool_mode is PoolMode.TRANSACTION else PoolMode.TRANSACTION
    return Prepared(
        lambda key: bench.mpg.set_pool_mode(bench.name, mode, request_id=key),
        spec,
        spec.model_copy(update={"pool_mode": mode}),
    )


async def set_tls(bench: Bench) -> Prepared:
    spec = (await bench.state()).spec
    tls = Tls.OFFERED if spec.tls is Tls.REQUIRED else Tls.REQUIRED
    return Prepared(
        lambda key: bench.mpg.set_tls(bench.name, required=tls is Tls.REQUIRED, request_id=key),
        spec,
        _after(spec, TlsIs(tls=tls)),
    )


async def be_sync(bench: Bench) -> None:
    """See that no acknowledged row may be lost: a case may have left the cluster otherwise."""
    if (await bench.state()).spec.durability is not Durability.SYNC:
        await (await bench.mpg.set_durability(bench.name, Durability.SYNC)).result()


async def set_durability(bench: Bench) -> Prepared:
    # Always to sync, which has the more that may go wrong: the steps of a case are those of the other way round else.
    if (await bench.state()).spec.durability is Durability.SYNC:
        await (await bench.mpg.set_durability(bench.name, Durability.ASYNC)).result()
    spec = (await bench.state()).spec
    return Prepared(
        lambda key: bench.mpg.set_durability(bench.name, Durability.SYNC, request_id=key),
        spec,
        _after(spec, DurabilityIs(durability=Durability.SYNC)),
    )


async def set_allow_list(bench: Bench) -> Prepared:
    spec = (await bench.state()).spec
    # The tests' own clients stay in.
    networks = ("127.0.0.0/8", "192.0.2.0/24")
    add, clear = ((), True) if spec.allow_list else (networks, False)
    return Prepared(
        lambda key: bench.mpg.set_allow_list(bench.name, add=add, clear=clear, request_id=key),
        spec,
        _after(spec, AllowListIs(networks=add)),
    )


async def grow_storage(bench: Bench) -> Prepared:
    spec = (await bench.state()).spec
    more = spec.storage_gb + 1
    return Prepared(
        lambda key: bench.mpg.grow_storage(bench.name, more, request_id=key),
        spec,
        spec.model_copy(update={"storage_gb": more}),
    )


async def restart(bench: Bench) -> Prepared:
    spec = (await bench.state()).spec
    return Prepared(lambda key: bench.mpg.restart(bench.name, request_id=key), spec, spec)


async def switchover(bench: Bench) -> Prepared:
    spec = (await bench.state()).spec
    return Prepared(lambda key: bench.mpg.switchover(bench.name, request_id=key), spec, spec)


async def backup(bench: Bench) -> Prepared:
    while await _is_being_made(bench):
        await asyncio.sleep(0.5)
    spec = (await bench.state()).spec
    return Prepared(lambda key: bench.mpg.create_backup(bench.name, BackupType.INCR, request_id=key), spec, spec)


async def _is_being_made(bench: Bench) -> bool:
    """Tell whether a backup is made, such as a creation's. One on record may have been terminated."""
    running = (await bench.state()).status.backups.running
    if running is None:
        return False
    return (await bench.mpg.operation(running.operation_id).describe()).status is OperationOutcome.RUNNING


async def verify_backup(bench: Bench) -> Prepared:
    while (latest := (await bench.state()).status.backups.latest()) is None:
        await asyncio.sleep(0.5)
    spec = (await bench.state()).spec
    return Prepared(lambda key: bench.mpg.verify_backup(bench.name, latest.id, request_id=key), spec, spec)


async def set_backup_policy(bench: Bench) -> Prepared:
    spec = (await bench.state()).spec
    assert spec.backups is not None
    policy = spec.backups.policy.model_copy(update={"keep_days": 8 if spec.backups.policy.keep_days == 7 else 7})
    return Prepared(
        lambda key: bench.mpg.set_backup_policy(bench.name, keep_days=policy.keep_days, request_id=key),
        spec,
        spec.model_copy(update={"backups": spec.backups.model_copy(update={"policy": policy})}),
    )


ON_A_CLUSTER: dict[str, Prepare] = {
    prepare.__name__.replace("_", "-"): prepare
    for prepare in (
        change_plan,
        set_pool_mode,
        set_tls,
        set_allow_list,
        set_durability,
        grow_storage,
        restart,
        switchover,
        create_user,
        set_user_role,
        delete_user,
        rotate_password,
        create_database,
        delete_database,
        enable_extension,
        disable_extension,
        opt_in_roles,
        backup,
        verify_backup,
        set_backup_policy,
    )
}


async def prepare(operation: str, bench: Bench) -> Prepared:
    """Bring the cluster to where *operation* has something to do."""
    if operation != kebab(SetDurabilityRequest.operation):
        await be_sync(bench)
    return await ON_A_CLUSTER[operation](bench)


CREATE, RESTORE, DESTROY, ADOPT = "create-cluster", "restore-cluster", "destroy-cluster", "adopt-cluster"
ON_ANOTHER_CLUSTER = (CREATE, RESTORE, DESTROY)
"""What is not about the lane's own cluster."""
OPERATIONS = (CREATE, RESTORE, DESTROY, ADOPT, *ON_A_CLUSTER)
ELSEWHERE = frozenset({"forced-failover"})
"""Begins where a primary is lost for good: tests/faults/test_losses.py."""


def missing() -> set[str]:
    """Return the operations of the product for which there is no scenario."""
    return {kebab(name) for name in REQUESTS} - set(OPERATIONS) - ELSEWHERE
