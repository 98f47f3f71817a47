"""Every activity with its clients: what a worker registers on the main queue and on its host's."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client

from activities.access import AccessActivities
from activities.adoption import AdoptionActivities
from activities.catalog import CatalogActivities
from activities.cleanup import CleanupActivities
from activities.containers import NodeActivities
from activities.databases import DatabaseActivities
from activities.docker_engine import DockerEngine
from activities.docker_events import DockerEvents
from activities.endpoint import EndpointActivities
from activities.extensions import ExtensionActivities
from activities.failover import FailoverActivities
from activities.fencing import OperationFences
from activities.handover import Clients
from activities.hosts import HostActivities
from activities.loss import LossActivities
from activities.observe import ObserveActivities
from activities.operations import OperationActivities
from activities.pgbouncer import PoolerActivities
from activities.reconcile import ReconcileActivities
from activities.replication import ReplicationActivities
from activities.role_system import RoleSystemActivities
from activities.roles import RoleActivities
from activities.sql import SqlSessions
from activities.switchover import SwitchoverActivities
from activities.watch import WatchActivities
from model.effects import EFFECTS, HOST_KINDS
from model.settings import Settings

Method = Callable[..., Any]


@dataclass(frozen=True)
class Activities:
    """The implementations of all effects: ``main`` for decisions' queue, ``host`` for the host's."""

    main: Sequence[Method]
    host: Sequence[Method]


@asynccontextmanager
async def open_activities(settings: Settings, client: Client, master_key: bytes) -> AsyncGenerator[Activities, None]:
    """Lend the activities with open clients, which are closed afterwards."""
    docker = DockerEngine(settings.docker_host, extra_labels=settings.extra_labels)
    events = DockerEvents(settings.docker_host)
    sql = SqlSessions(master_key)
    clients = Clients(docker, sql, client, master_key)
    fences = OperationFences(settings.fences_dir)
    reconcile = ReconcileActivities(master_key)
    access = AccessActivities(docker, sql, master_key)
    try:
        yield arrange(
            HostActivities(docker, settings),
            NodeActivities(docker, sql, master_key),
            EndpointActivities(docker, settings),
            PoolerActivities(docker, master_key, settings.pooler_drain_seconds),
            CleanupActivities(docker, fences),
            ObserveActivities(docker, sql, master_key, fences),
            reconcile,
            SwitchoverActivities(clients),
            FailoverActivities(clients),
            LossActivities(docker, sql),
            WatchActivities(clients, events),
            RoleActivities(sql, master_key),
            RoleSystemActivities(sql, master_key),
            DatabaseActivities(sql, master_key),
            ExtensionActivities(sql),
            ReplicationActivities(sql),
            OperationActivities(client),
            access,
            AdoptionActivities(docker, client, access, settings, master_key),
            CatalogActivities(sql, master_key),
        )
    finally:
        await events.close()
        await reconcile.close()
        await sql.close()
        await docker.close()


def arrange(*objects: object) -> Activities:
    """Return the methods of *objects* that implement effects; a method has its effect's name.

    Raises ``LookupError`` when an effect has no implementation, or two.
    """
    queues: dict[bool, list[Method]] = {True: [], False: []}
    for effect in EFFECTS:
        found: list[Method] = [getattr(each, effect.name) for each in objects if hasattr(each, effect.name)]
        if len(found) != 1:
            raise LookupError(f"Effect {effect.name} has {len(found)} implementations; it needs one.")
        queues[effect.kind in HOST_KINDS].append(found[0])
    return Activities(main=queues[False], host=queues[True])
