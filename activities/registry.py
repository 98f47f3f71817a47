"""Every activity with its clients: what a worker registers on the main queue and on its host's."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from temporalio.client import Client

from activities.backups.archive import ArchiveActivities
from activities.backups.archive_now import FlushActivities
from activities.backups.backup import BackupActivities
from activities.backups.drill import DrillActivities
from activities.backups.left_behind import LeftBehind
from activities.backups.pgbackrest import PgBackRest
from activities.backups.repository import RepositoryActivities
from activities.backups.restore import RestoreActivities
from activities.backups.sampling import SamplingActivities
from activities.engine.cleanup import CleanupActivities
from activities.engine.disk_promises import DiskPromises
from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_events import DockerEvents
from activities.engine.hosts import HostActivities
from activities.fencing import OperationFences
from activities.metrics.board import MetricsBoard
from activities.metrics.cluster_metrics import CALL_TIMEOUT_S, MetricSources
from activities.nodes.lifecycle import NodeActivities
from activities.nodes.replica_data import ReplicaDataActivities
from activities.nodes.replication import ReplicationActivities
from activities.nodes.repository_conf import RepositoryKeys
from activities.nodes.storage import StorageActivities
from activities.operations import OperationActivities
from activities.postgres.catalog import CatalogActivities
from activities.postgres.databases import DatabaseActivities
from activities.postgres.extensions import ExtensionActivities
from activities.postgres.queries import QueryActivities
from activities.postgres.reconcile import ReconcileActivities
from activities.postgres.restored_users import RestoredUserActivities
from activities.postgres.role_system import RoleSystemActivities
from activities.postgres.roles import RoleActivities
from activities.postgres.sql import SqlSessions
from activities.postgres.statement_plans import PlanActivities
from activities.postgres.storage_notes import StorageNoteActivities
from activities.recovery.adoption import AdoptionActivities
from activities.recovery.cluster_recovery import RecoveryActivities
from activities.recovery.key_guard import ClusterKeys
from activities.recovery.platform_access import PlatformAccessActivities
from activities.routing.allow_list import AllowListActivities
from activities.routing.durability_note import DurabilityActivities
from activities.routing.endpoint import EndpointActivities
from activities.routing.pooled_sessions import PooledSessions
from activities.routing.poolers import PoolerActivities
from activities.routing.tls import TlsActivities
from activities.scheduling import ScheduleActivities
from activities.takeover.failover import FailoverActivities
from activities.takeover.handover import Clients
from activities.takeover.lost_primary import LostPrimaryActivities
from activities.takeover.switchover import SwitchoverActivities
from activities.takeover_lock import TakeoverLocks
from activities.watching.backup_watch import BackupBounds
from activities.watching.cluster_watch import WatchActivities
from activities.webhooks.beginning import BeginningActivities
from activities.webhooks.delivery import DeliveryActivities
from activities.webhooks.happenings import HappeningActivities
from model.authority import Authority
from model.effects import EFFECTS, HOST_KINDS
from model.settings import Settings

Method = Callable[..., Any]

COUNTING_THREADS = 8
"""Calls of the Docker engine at once that read metrics."""


@dataclass(frozen=True)
class Activities:
    """The implementations of all effects: ``main`` for decisions' queue, ``host`` for the host's."""

    main: Sequence[Method]
    host: Sequence[Method]
    keys: ClusterKeys | None = None
    """Which clusters they may touch; None: all."""
    left_behind: LeftBehind | None = None
    """Looks after what operations that ended have left on this host; None: nobody does."""


@asynccontextmanager
async def open_activities(
    settings: Settings, client: Client, master_key: bytes, board: MetricsBoard | None = None
) -> AsyncGenerator[Activities, None]:
    """Lend the activities with open clients, which are closed afterwards. Metrics of clusters are shown on *board*."""
    docker = DockerEngine(settings.docker_host, extra_labels=settings.extra_labels)
    events = DockerEvents(settings.docker_host)
    sql = SqlSessions(master_key)
    # With connections and threads of its own, so that nothing that matters waits for it.
    counting = DockerEngine(settings.docker_host, threads=COUNTING_THREADS, timeout_s=CALL_TIMEOUT_S)
    every_s = settings.metrics_seconds
    metrics = MetricSources(counting, sql, master_key, board or MetricsBoard(), every_s)
    clients = Clients(docker, sql, client, master_key)
    fences, takeovers = OperationFences(settings.fences_dir), TakeoverLocks(settings.fences_dir)
    pooled = PooledSessions(master_key)
    reconcile = ReconcileActivities(master_key, pooled)
    access = PlatformAccessActivities(docker, sql, master_key)
    keys = ClusterKeys(docker, master_key)
    repositories = RepositoryKeys.of(settings, master_key)
    pgbackrest = PgBackRest(docker, repositories)
    archive = ArchiveActivities(pgbackrest, sql)
    schedules = ScheduleActivities(client)
    left_behind = LeftBehind(docker, client)
    authority = Authority(settings)
    promises = DiskPromises(client, settings.host_name)
    try:
        arranged = arrange(
            HostActivities(docker, settings, master_key, promises),
            NodeActivities(docker, sql, repositories, authority),
            EndpointActivities(docker, settings),
            PoolerActivities(docker, master_key, settings.pooler_drain_seconds, authority),
            AllowListActivities(docker),
            DurabilityActivities(docker),
            TlsActivities(docker, master_key, authority),
            CleanupActivities(docker, fences),
            RecoveryActivities(docker, sql, repositories, fences, takeovers, authority),
            reconcile,
            SwitchoverActivities(clients, takeovers),
            FailoverActivities(clients, takeovers),
            LostPrimaryActivities(docker, sql),
            WatchActivities(
                clients,
                events,
                promises,
                _bounds(settings),
                authority,
                metrics,
                read_archiving=archive.look,
                begin_backup=schedules.begin_first,
                forget_ended=left_behind.forget,
            ),
            RoleActivities(sql, master_key),
            RoleSystemActivities(sql, master_key),
            DatabaseActivities(sql, pooled),
            ExtensionActivities(sql),
            ReplicationActivities(sql),
            StorageActivities(sql),
            StorageNoteActivities(sql),
            OperationActivities(client),
            HappeningActivities(client),
            BeginningActivities(client),
            DeliveryActivities(client, settings, master_key),
            schedules,
            access,
            AdoptionActivities(docker, client, access, settings, master_key, keys),
            CatalogActivities(sql, master_key),
            QueryActivities(sql),
            PlanActivities(sql),
            ReplicaDataActivities(docker),
            RepositoryActivities(pgbackrest, sql),
            BackupActivities(pgbackrest, cpus=settings.backup_cpus),
            archive,
            FlushActivities(sql),
            RestoreActivities(pgbackrest),
            SamplingActivities(pgbackrest, sql),
            DrillActivities(pgbackrest, memory_mb=settings.drill_memory_mb),
            RestoredUserActivities(sql, master_key),
        )
        yield replace(arranged, keys=keys, left_behind=left_behind)
    finally:
        await events.close()
        await reconcile.close()
        await sql.close()
        await counting.close()
        await docker.close()


def _bounds(settings: Settings) -> BackupBounds:
    return BackupBounds(
        archive_overdue=timedelta(seconds=settings.archive_overdue_seconds),
        backup_overdue_factor=settings.backup_overdue_factor,
        drill_overdue_factor=settings.drill_overdue_factor,
    )


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
