"""What operations report to the cluster: facts that cannot be undone, and how each changes the recorded state.

A fact is recorded as soon as it is so, not when the operation ends: an operation that is lost halfway leaves a
record that is true.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from model.apps import App
from model.archive_holes import with_hole
from model.backups import BackupPolicy, BackupRecord, Hole, Repository
from model.base import Record
from model.cluster import (
    FORMER_USERS,
    ClusterPhase,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    Condition,
    Database,
    Durability,
    Endpoint,
    FormerUser,
    Network,
    Node,
    NodeRole,
    Pooler,
    PoolMode,
    Tls,
    User,
)
from model.plans import Plan
from model.storage import AutoGrow, Storage


class _Fact(Record):
    """What all facts have: ``kind``, by which JSON tells them apart; each one's is its class's name in snake case."""

    kind: str = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        cls.__annotations__["kind"] = Literal[kind]
        cls.kind = kind


class UserIs(_Fact):
    """The user exists, with this role and password version."""

    user: User


class UserGone(_Fact):
    """There is no such user any more."""

    name: str


class DatabaseIs(_Fact):
    """The database exists."""

    database: Database


class DatabaseGone(_Fact):
    """There is no such database any more."""

    name: str


class AppIs(_Fact):
    """The application is attached."""

    app: App


class AppGone(_Fact):
    """No such application is attached any more."""

    name: str


class PlanIs(_Fact):
    """The whole cluster is on this plan."""

    plan: Plan


class StorageIs(_Fact):
    """Each node has so many GB of storage. It never shrinks: less than before changes nothing."""

    storage_gb: int


class AutoGrowIs(_Fact):
    """Whether, and how, the cluster's storage grows by itself."""

    auto_grow: AutoGrow | None


class StorageSeen(_Fact):
    """How much of its storage the cluster uses, and what follows from that."""

    storage: Storage


class PoolModeIs(_Fact):
    """New pooled connections get this mode."""

    pool_mode: PoolMode


class TlsIs(_Fact):
    """Every server of the cluster, and every one that is made, offers TLS so."""

    tls: Tls


class DurabilityIs(_Fact):
    """Commits wait for the replica, or for the primary alone."""

    durability: Durability


class AllowListIs(_Fact):
    """New connections are taken from these networks, from everywhere where there are none."""

    networks: tuple[str, ...]


class RolesAdopted(_Fact):
    """The cluster uses the role system (it was marked ``legacy_roles`` before)."""


class CatalogIs(_Fact):
    """Postgres has these users and databases and no others: those of a cluster that was restored."""

    users: tuple[User, ...]
    databases: tuple[Database, ...]
    legacy_roles: bool = False


class BackupsKept(_Fact):
    """The cluster is being destroyed; its backups stay until then. None: they go with it after all."""

    until: datetime | None


class NetworkIs(_Fact):
    """The cluster's network exists."""

    network: Network


class EndpointIs(_Fact):
    """The endpoint serves at these addresses."""

    endpoint: Endpoint


class NodeIs(_Fact):
    """A node is in this state (its role included)."""

    node: Node


class PrimaryIs(_Fact):
    """*name* takes writes, on *timeline*; every other node is a replica and not known to be in sync.

    *since* is a moment before which it was not on record as the primary, so that no backup of it had ended: what
    another one had not archived may be missing in the archive since then.
    """

    name: str
    timeline: int | None = None
    since: datetime | None = None


class InSync(_Fact):
    """Whether the replica *name* holds every acknowledged commit. ``False`` is recorded before the primary is told."""

    name: str
    value: bool


class PoolersAre(_Fact):
    """These, and no others, are the cluster's poolers, draining ones included."""

    poolers: tuple[Pooler, ...]


class BackupPolicyIs(_Fact):
    """Backups are made and kept so from now on."""

    policy: BackupPolicy


class RepositoryIs(_Fact):
    """The cluster is backed up there from now on; of backups elsewhere nothing is on record any more."""

    repository: Repository


class BackupRecordIs(_Fact):
    """This is known of the cluster's backups."""

    record: BackupRecord


class WalLost(_Fact):
    """The archive has this hole, for ever."""

    hole: Hole


class ArchiveClosed(_Fact):
    """It was seen what the archive lacks of what former primaries wrote: nothing, or holes that are on record."""


class AbsencesPlanned(_Fact):
    """These nodes, and no others, are stopped and started on purpose now. Forgotten when the turn ends."""

    names: tuple[str, ...] = ()


class PhaseIs(_Fact):
    """The cluster's phase; used where the end of the operation alone does not tell it (destroying, destroyed)."""

    phase: ClusterPhase


class ConditionIs(_Fact):
    """A condition holds (or, with ``status`` false, is removed)."""

    condition: Condition


Fact = Annotated[
    UserIs
    | UserGone
    | DatabaseIs
    | DatabaseGone
    | AppIs
    | AppGone
    | PlanIs
    | PoolModeIs
    | TlsIs
    | AllowListIs
    | DurabilityIs
    | StorageIs
    | AutoGrowIs
    | StorageSeen
    | RolesAdopted
    | CatalogIs
    | BackupsKept
    | NetworkIs
    | EndpointIs
    | NodeIs
    | PrimaryIs
    | InSync
    | PoolersAre
    | BackupPolicyIs
    | RepositoryIs
    | BackupRecordIs
    | WalLost
    | ArchiveClosed
    | AbsencesPlanned
    | PhaseIs
    | ConditionIs,
    Field(discriminator="kind"),
]


_Named = TypeVar("_Named", User, Database, Node, App)


def apply(state: ClusterState, facts: Iterable[Fact]) -> ClusterState:
    """Return *state* as it is after *facts*. Applying the same facts twice changes nothing more."""
    spec, status = state.spec, state.status
    for fact in facts:
        spec = _apply_to_spec(spec, fact)
        status = _apply_to_status(status, fact)
    return ClusterState(spec=spec, status=status)


def _apply_to_spec(spec: ClusterSpec, fact: Fact) -> ClusterSpec:
    match fact:
        case UserIs(user=user):
            return spec.model_copy(update={"users": _put(spec.users, user), "former_users": _others(spec, user)})
        case UserGone(name=name):
            return spec.model_copy(update={"users": _drop(spec.users, name), "former_users": _former(spec, name)})
        case DatabaseIs(database=database):
            return spec.model_copy(update={"databases": _put(spec.databases, database)})
        case DatabaseGone(name=name):
            return spec.model_copy(update={"databases": _drop(spec.databases, name)})
        case AppIs(app=app):
            return spec.model_copy(update={"apps": _put(spec.apps, app)})
        case AppGone(name=name):
            return spec.model_copy(update={"apps": _drop(spec.apps, name)})
        case PlanIs(plan=plan):
            return spec.model_copy(update={"plan": plan})
        case PoolModeIs(pool_mode=pool_mode):
            return spec.model_copy(update={"pool_mode": pool_mode})
        case TlsIs(tls=tls):
            return spec.model_copy(update={"tls": tls})
        case AllowListIs(networks=networks):
            return spec.model_copy(update={"allow_list": networks})
        case DurabilityIs(durability=durability):
            return spec.model_copy(update={"durability": durability})
        case BackupPolicyIs(policy=policy) if spec.backups is not None:
            return spec.model_copy(update={"backups": spec.backups.model_copy(update={"policy": policy})})
        case RepositoryIs(repository=repository) if spec.backups is not None:
            return spec.model_copy(update={"backups": spec.backups.model_copy(update={"repository": repository})})
        case CatalogIs(users=users, databases=databases, legacy_roles=legacy):
            return spec.model_copy(
                update={"users": users, "databases": databases, "legacy_roles": legacy, "former_users": ()}
            )
        case StorageIs(storage_gb=storage_gb):
            return spec.model_copy(update={"storage_gb": max(spec.storage_gb, storage_gb)})
        case AutoGrowIs(auto_grow=auto_grow):
            return spec.model_copy(update={"auto_grow": auto_grow})
        case RolesAdopted():
            return spec.model_copy(update={"legacy_roles": False})
        case _:
            return spec


def _apply_to_status(status: ClusterStatus, fact: Fact) -> ClusterStatus:
    match fact:
        case NetworkIs(network=network):
            return status.model_copy(update={"network": network})
        case EndpointIs(endpoint=endpoint):
            return status.model_copy(update={"endpoint": endpoint})
        case NodeIs(node=node):
            return status.model_copy(update={"nodes": _put(status.nodes, node)})
        case PrimaryIs(name=name, timeline=timeline, since=since):
            nodes = _with_primary(status.nodes, name, timeline)
            return status.model_copy(update={"nodes": nodes, "backups": _after_takeover(status, name, since)})
        case ArchiveClosed():
            return status.model_copy(update={"backups": status.backups.model_copy(update={"unclosed_since": None})})
        case InSync(name=name, value=value):
            nodes = tuple(n.model_copy(update={"in_sync": value}) if n.name == name else n for n in status.nodes)
            return status.model_copy(update={"nodes": nodes})
        case PoolersAre(poolers=poolers):
            return status.model_copy(update={"poolers": poolers})
        case TlsIs(tls=tls):
            poolers = tuple(pooler.model_copy(update={"tls": tls}) for pooler in status.poolers)
            return status.model_copy(update={"poolers": poolers})
        case RepositoryIs():
            return status.model_copy(update={"backups": BackupRecord(running=status.backups.running)})
        case BackupRecordIs(record=record):
            return status.model_copy(update={"backups": record})
        case WalLost(hole=hole):
            holes = with_hole(status.backups.holes, hole)
            return status.model_copy(update={"backups": status.backups.model_copy(update={"holes": holes})})
        case BackupsKept(until=until):
            return status.model_copy(update={"backups_kept_until": until})
        case AbsencesPlanned(names=names):
            return status.model_copy(update={"absences": names})
        case StorageSeen(storage=storage):
            return status.model_copy(update={"storage": storage})
        case PhaseIs(phase=phase):
            return status.model_copy(update={"phase": phase})
        case ConditionIs(condition=condition):
            kept = tuple(c for c in status.conditions if c.type != condition.type)
            return status.model_copy(update={"conditions": (*kept, condition) if condition.status else kept})
        case _:
            return status


def _put(items: tuple[_Named, ...], item: _Named) -> tuple[_Named, ...]:
    if any(old.name == item.name for old in items):
        return tuple(item if old.name == item.name else old for old in items)
    return (*items, item)


def _drop(items: tuple[_Named, ...], name: str) -> tuple[_Named, ...]:
    return tuple(item for item in items if item.name != name)


def _others(spec: ClusterSpec, user: User) -> tuple[FormerUser, ...]:
    """Return the deleted users without one of whom *user* tells all there is to know."""
    known = user.password_version
    return tuple(each for each in spec.former_users if each.name != user.name or each.password_version > known)


def _former(spec: ClusterSpec, name: str) -> tuple[FormerUser, ...]:
    """Return the deleted users once *name*, if there is one, is among them; the latest is the last."""
    if spec.user(name) is None:
        return spec.former_users
    others = tuple(former for former in spec.former_users if former.name != name)
    # What the record knew of a former one of that name counts as well: a password that is not known has version 0.
    former = FormerUser(name=name, password_version=spec.next_password_version(name) - 1)
    return (*others, former)[-FORMER_USERS:]


def _after_takeover(status: ClusterStatus, name: str, since: datetime | None) -> BackupRecord:
    """Return what is known of backups once *name* is the primary: it may not be the one that it was."""
    before, backups = status.primary, status.backups
    if since is None or before is None or before.name == name or backups.unclosed_since is not None:
        return backups
    return backups.model_copy(update={"unclosed_since": since})


def _with_primary(nodes: tuple[Node, ...], name: str, timeline: int | None) -> tuple[Node, ...]:
    def placed(node: Node) -> Node:
        if node.name == name:
            return node.model_copy(update={"role": NodeRole.PRIMARY, "timeline": timeline, "in_sync": False})
        return node.model_copy(update={"role": NodeRole.REPLICA, "in_sync": False})

    return tuple(placed(node) for node in nodes)
