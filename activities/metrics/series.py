"""The series of a cluster: each with its type and what it is. docs/metrics.md has their labels and sources."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

LABEL_CLUSTER, LABEL_ORG = "cluster", "org"


class SeriesType(StrEnum):
    """A type of Prometheus: what only grows until a restart, or what is now."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True)
class Series:
    """A metric. A counter's name ends in ``_total``."""

    name: str
    type: SeriesType
    what: str


class Reading(NamedTuple):
    """The value of a series with these labels, beside the cluster's own."""

    series: Series
    labels: Mapping[str, str]
    value: float


def _counter(name: str, what: str) -> Series:
    return Series(name, SeriesType.COUNTER, what)


def _gauge(name: str, what: str) -> Series:
    return Series(name, SeriesType.GAUGE, what)


CONTAINER_CPU = _counter("mpg_container_cpu_seconds_total", "Processor time of a node or a pooler.")
CONTAINER_CPU_LIMIT = _gauge("mpg_container_cpu_limit_cores", "The most processors that it gets.")
CONTAINER_MEMORY = _gauge("mpg_container_memory_bytes", "Its working set: without cache that is not in use.")
CONTAINER_MEMORY_LIMIT = _gauge("mpg_container_memory_limit_bytes", "The most memory that it gets.")
NODE_UP = _gauge("mpg_node_up", "Whether Postgres on the node answered.")
CONNECTIONS = _gauge("mpg_database_connections", "Sessions of clients, the platform's own among them.")
CONNECTIONS_LIMIT = _gauge("mpg_database_connections_limit", "The most sessions that the node takes.")
ROWS = _counter("mpg_database_rows_total", "Rows inserted, updated, deleted, fetched by indexes, returned by scans.")
TRANSACTIONS = _counter("mpg_database_transactions_total", "Transactions that were committed or rolled back.")
BLOCKS = _counter("mpg_database_blocks_total", "Blocks found in shared buffers, and those that were not.")
DEADLOCKS = _counter("mpg_database_deadlocks_total", "Deadlocks that Postgres ended.")
TEMPORARY_BYTES = _counter("mpg_database_temporary_bytes_total", "Bytes of temporary files that queries wrote.")
STATEMENT_CALLS = _counter("mpg_statement_calls_total", "How often a statement ran, by its id; the 20 slowest in all.")
STATEMENT_SECONDS = _counter("mpg_statement_seconds_total", "How long it ran in all.")
STATEMENT_ROWS = _counter("mpg_statement_rows_total", "Rows that it returned or changed.")
DATABASE_SIZE = _gauge("mpg_database_size_bytes", "Size of a database on the primary.")
STORAGE_USED = _gauge("mpg_storage_used_bytes", "What the node's Postgres has on its volume.")
STORAGE_PROVIDED = _gauge("mpg_storage_provided_bytes", "The storage of the cluster, for each node.")
LAG_BYTES = _gauge("mpg_replication_lag_bytes", "WAL of the primary that the replica has not replayed.")
LAG_SECONDS = _gauge("mpg_replication_lag_seconds", "How far the replica is behind in time.")
POOLER_CLIENTS = _gauge("mpg_pooler_clients", "Clients that are served or idle, and those that wait for a server.")
POOLER_SERVERS = _gauge("mpg_pooler_servers", "The pooler's connections to Postgres, in use and idle.")
POOLER_WAIT = _gauge("mpg_pooler_longest_wait_seconds", "How long the client waits that has waited longest.")
COLLECTION = _gauge("mpg_collection_seconds", "How long the last round of reading these took.")
