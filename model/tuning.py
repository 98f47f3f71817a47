"""Postgres settings computed from a node's resources.

Sources: the PostgreSQL 17 manual (19.4 Resource Consumption, 28.1 Reliability), and for the fixed values what was
measured for this project (docs/architecture.md).
"""

from collections.abc import Mapping

from model.cluster import Durability
from model.plans import Plan, Resources

MAX_CONNECTIONS = 500
"""Equal on every plan: a standby with fewer than its primary refuses to start. The plan's limit is enforced at the
poolers and by role. 500 cost 20 MB of shared memory over 100."""

EQUAL_ON_ALL_NODES: Mapping[str, str] = {
    "max_connections": str(MAX_CONNECTIONS),
    "max_worker_processes": "16",
    "max_wal_senders": "10",
    "max_prepared_transactions": "0",
    "max_locks_per_transaction": "64",
}
"""Settings that a standby must have at least as high as its primary."""


def postgres_settings(resources: Resources, wal_mb: int | None = None) -> dict[str, str]:
    """Return the settings of a node with *resources* that differ from Postgres's defaults, as text.

    A quarter of the memory is shared buffers and three quarters are what the planner may expect cached; work_mem is
    what is left for 50 busy connections with two sorts each, at least 4 MB. WAL takes no more than *wal_mb*.
    """
    memory, cpus = resources.memory_mb, resources.cpus
    workers = max(2, cpus)
    wal = _MOST_WAL_MB if wal_mb is None else wal_mb
    return {
        **EQUAL_ON_ALL_NODES,
        "shared_buffers": f"{max(128, memory // 4)}MB",
        "effective_cache_size": f"{memory * 3 // 4}MB",
        "work_mem": f"{min(64, max(4, memory * 3 // 4 // 100))}MB",
        "maintenance_work_mem": f"{min(2048, max(64, memory // 16))}MB",
        "wal_buffers": "16MB",
        "min_wal_size": f"{min(256, wal // 4)}MB",
        "max_wal_size": f"{min(wal, max_wal_mb(resources))}MB",
        "max_parallel_workers": str(workers),
        "max_parallel_workers_per_gather": str(max(1, workers // 2)),
        "max_parallel_maintenance_workers": str(max(1, workers // 2)),
        "random_page_cost": "1.1",
        "effective_io_concurrency": "200",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        "autovacuum_naptime": "15s",
        **_REPLICATION,
        "wal_keep_size": f"{min(512, wal)}MB",
        **_OBSERVABILITY,
    }


_MOST_WAL_MB = 16384
_WAL_SHARE = 8


def max_wal_mb(resources: Resources) -> int:
    """Return ``max_wal_size`` of a node with *resources* and storage enough, in MB."""
    return min(_MOST_WAL_MB, max(1024, resources.memory_mb // 2))


def wal_bound_mb(resources: Resources, storage_gb: int) -> int | None:
    """Return what WAL may take of *storage_gb*, in MB: an eighth. None where the plan takes no more than that.

    Else a cluster with little storage would be full of what the platform itself keeps.
    """
    bound = storage_gb * 1024 // _WAL_SHARE
    return bound if bound < max_wal_mb(resources) else None


_REPLICATION: Mapping[str, str] = {
    "wal_level": "replica",
    "hot_standby": "on",
    "wal_log_hints": "on",
    # After a checkpoint each page goes to WAL whole, to the replica and to the archive; a backup begins with one.
    "wal_compression": "lz4",
    "max_replication_slots": "10",
    # At its default of 5 s, a promotion that meets the receiver's exit stalls that long (3 of 6 runs).
    "wal_retrieve_retry_interval": "50ms",
    # A standby whose network went away is noticed in seconds rather than a minute.
    "wal_sender_timeout": "10s",
    "wal_receiver_timeout": "10s",
    "wal_receiver_status_interval": "1s",
    # Who asks to be let in and says no more holds a slot for so long, a superuser's among them. As long as PgBouncer
    # waits for a login (server_connect_timeout).
    "authentication_timeout": "15s",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

_OBSERVABILITY: Mapping[str, str] = {
    "shared_preload_libraries": "pg_stat_statements",
    "compute_query_id": "on",
    "track_io_timing": "on",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_lock_waits": "on",
    "log_temp_files": "10MB",
    "log_autovacuum_min_duration": "10min",
    "log_destination": "stderr",
    "logging_collector": "off",
    "password_encryption": "scram-sha-256",
}


def synchronous_standby_names(durability: Durability, standby: str | None) -> str:
    """Return the setting for a primary: the standby's name in ``sync`` while one is in sync, else empty."""
    if durability is Durability.SYNC and standby is not None:
        return f'FIRST 1 ("{standby}")'
    return ""


def connection_limit(plan: Plan) -> int:
    """Return the limit of connections for each user's role: what the poolers may open, reserve included."""
    return plan.max_database_connections + plan.reserve_pool
