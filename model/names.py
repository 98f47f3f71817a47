"""Names: which ones people may choose, and what we call things in Docker, Temporal and Postgres."""

import hashlib
import re
from typing import Annotated

from pydantic import AfterValidator

MAIN_QUEUE = "mpg"
"""Task queue of decisions and SQL work."""

DEFAULT_ORG = "personal"
DEFAULT_HOST = "local"
DEFAULT_USER = "fly-user"
DEFAULT_DATABASE = "fly-db"
POSTGIS = "postgis"
"""The extension that a creation installs in the default database when it was asked for."""

SUPERUSER = "postgres"
REPLICATOR = "mpg_replicator"
POOLER_USER = "mpg_pooler"
"""The role with which PgBouncer looks users up (auth_user); it may call one function and nothing else."""
PLATFORM_ROLES = (SUPERUSER, REPLICATOR, POOLER_USER)
PLATFORM_SCHEMA = "mpg"
"""Schema of the platform's own functions in every database."""

NODES = ("a", "b")
POSTGRES_PORT = 5432
POOLED_PORT = 6432
DIRECT_PORT = 5432
READ_ONLY_PORT = 5433
FIRST_POOLER_PORT = 6441
LAST_POOLER_PORT = 6499

LABEL_MANAGED = "mpg.managed"
LABEL_CLUSTER = "mpg.cluster"
LABEL_KIND = "mpg.kind"
LABEL_NAME = "mpg.name"
LABEL_STATE = "mpg.state"
"""A JSON document from which the cluster's state can be rebuilt."""
LABEL_SPEC = "mpg.spec"
"""Digest of what the container was made from: a different one means that it has to be made again."""

VOLUME_PATH = "/var/lib/postgresql"
"""Where a node's container sees its volume."""
PGDATA = f"{VOLUME_PATH}/data"
SOCKET_DIR = f"{VOLUME_PATH}/run"
"""On the volume: a container beside the node's reaches its Postgres there."""
REPOSITORY_PATH = "/var/lib/pgbackrest"
"""Where containers see the volume of a cluster's backups."""
POSTGRES_ID = 5432
"""Numeric user and group of ``postgres`` in the image (images/Dockerfile): those of all that is on a volume."""

MOST_NAME_LETTERS = 48
_CLUSTER_NAME = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
_CLUSTER_ID = re.compile(r"[a-z0-9]{16}")
_HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_IDENTIFIER_BYTES = 63  # NAMEDATALEN - 1: Postgres silently cuts what is longer
_RESERVED_USERS = frozenset(
    {
        "postgres", "pgbouncer", "public", "none", "current_user", "current_role", "session_user", "user",
        "schema_admin", "writer", "reader", REPLICATOR, POOLER_USER,
    }
)  # fmt: skip
_RESERVED_PREFIXES = ("pg_", "mpg_")
_RESERVED_DATABASES = frozenset({"postgres", "template0", "template1", "pgbouncer"})


def check_cluster_name(name: str) -> str:
    """Return *name* if a cluster may be called so: 1 to 48 of a–z, 0–9 and inner hyphens, a letter first.

    Raises ``ValueError`` with one sentence otherwise.
    """
    if len(name) > MOST_NAME_LETTERS or not _CLUSTER_NAME.fullmatch(name):
        raise ValueError(
            f"Cluster name {name!r} is not allowed: use 1 to 48 lowercase letters, digits and inner hyphens, "
            "beginning with a letter."
        )
    return name


def is_cluster_id(value: str) -> bool:
    """Tell whether *value* has the form of a cluster's id, which a name may have as well."""
    return _CLUSTER_ID.fullmatch(value) is not None


def check_cluster_id(value: str) -> str:
    """Return *value* if it is 16 of a–z and 0–9. Raises ``ValueError`` otherwise."""
    if not is_cluster_id(value):
        raise ValueError(f"Cluster id {value!r} is not one: an id is 16 lowercase letters and digits.")
    return value


def check_org(value: str) -> str:
    """Return *value* if an organization may be called so (same rule as a cluster). Raises ``ValueError``."""
    if len(value) > 48 or not _CLUSTER_NAME.fullmatch(value):
        raise ValueError(
            f"Organization {value!r} is not allowed: use 1 to 48 lowercase letters, digits and inner hyphens."
        )
    return value


def check_host_name(value: str) -> str:
    """Return *value* if a host may be called so: a DNS label in lowercase. Raises ``ValueError`` otherwise."""
    if not _HOST_NAME.fullmatch(value):
        raise ValueError(f"Host {value!r} is not one: use 1 to 63 lowercase letters, digits and inner hyphens.")
    return value


def check_app_name(value: str) -> str:
    """Return *value* if an application may be called so: a DNS label in lowercase. Raises ``ValueError`` otherwise."""
    if not _HOST_NAME.fullmatch(value):
        raise ValueError(
            f"Application name {value!r} is not allowed: use 1 to 63 lowercase letters, digits and inner hyphens."
        )
    return value


def check_request_id(value: str) -> str:
    """Return *value* if it can end a workflow id. Raises ``ValueError`` otherwise."""
    if not _REQUEST_ID.fullmatch(value):
        raise ValueError(f"Request id {value!r} is not allowed: use 1 to 64 letters, digits and . _ : -")
    return value


def _check_identifier(kind: str, name: str) -> str:
    if not name:
        raise ValueError(f"A {kind} name must not be empty.")
    if len(name.encode()) > _IDENTIFIER_BYTES:
        raise ValueError(
            f"{kind.capitalize()} name {name[:20]!r}… is too long: {len(name.encode())} bytes, "
            f"Postgres allows {_IDENTIFIER_BYTES}."
        )
    if not name.isprintable() or any(c.isspace() for c in name):
        raise ValueError(f"{kind.capitalize()} name {name!r} is not allowed: no spaces or control characters.")
    if any(c in "'\\/:@%#?&;" for c in name):
        raise ValueError(f"{kind.capitalize()} name {name!r} is not allowed: none of ' \\ / : @ % # ? & ; in it.")
    if name.startswith(_RESERVED_PREFIXES):
        raise ValueError(f"{kind.capitalize()} name {name!r} is reserved: names that begin with pg_ or mpg_ are.")
    return name


def check_username(name: str) -> str:
    """Return *name* if a user may be called so.

    Any printable identifier of at most 63 bytes that Postgres can quote (``a"b``, ``a-b``, ``ä`` are fine), except
    reserved ones and characters that cannot stand in a connection string. Raises ``ValueError`` with one sentence.
    """
    _check_identifier("user", name)
    if name in _RESERVED_USERS:
        raise ValueError(f"User name {name!r} is reserved.")
    return name


def is_reserved_username(name: str) -> bool:
    """Tell whether *name* is kept for the platform or means something to Postgres."""
    return name in _RESERVED_USERS or name.startswith(_RESERVED_PREFIXES)


def check_database_name(name: str) -> str:
    """Return *name* if a database may be called so; the rule of users, with other reserved names.

    Raises ``ValueError`` with one sentence.
    """
    _check_identifier("database", name)
    if name in _RESERVED_DATABASES:
        raise ValueError(f"Database name {name!r} is reserved.")
    return name


def check_schema_name(name: str) -> str:
    """Return *name* if a schema may be called so. Raises ``ValueError`` with one sentence."""
    _check_identifier("schema", name)
    if name in {"information_schema", PLATFORM_SCHEMA}:
        raise ValueError(f"Schema name {name!r} is reserved.")
    return name


def request_id_in(org: str, key: str) -> str:
    """Return the request id for which an Idempotency-Key stands in *org*.

    Ids of operations do not name the organization. So outside the default one the key is mixed with it: nobody finds
    out which keys another organization used.
    """
    return key if org == DEFAULT_ORG else hashlib.sha256(f"{org}/{key}".encode()).hexdigest()[:32]


ClusterName = Annotated[str, AfterValidator(check_cluster_name)]
ClusterId = Annotated[str, AfterValidator(check_cluster_id)]
OrgName = Annotated[str, AfterValidator(check_org)]
HostName = Annotated[str, AfterValidator(check_host_name)]
Username = Annotated[str, AfterValidator(check_username)]
DatabaseName = Annotated[str, AfterValidator(check_database_name)]
SchemaName = Annotated[str, AfterValidator(check_schema_name)]


def host_queue(host: str) -> str:
    """Task queue of the worker that owns *host*'s Docker engine."""
    return f"host/{host}"


def cluster_workflow_id(cluster_id: str) -> str:
    """Workflow id of a cluster's own long-lived workflow."""
    return f"{_CLUSTER_WORKFLOW}{cluster_id}"


def cluster_of_workflow(workflow_id: str) -> str | None:
    """Return the id of the cluster whose own workflow has this id; None for any other workflow."""
    return workflow_id.removeprefix(_CLUSTER_WORKFLOW) if workflow_id.startswith(_CLUSTER_WORKFLOW) else None


_CLUSTER_WORKFLOW = "cluster/"


def name_workflow_id(org: str, name: str) -> str:
    """Workflow id of the claim on a cluster's name: Temporal runs at most one, so a name has one owner."""
    return f"cluster-name/{org}/{name}"


def operation_workflow_id(operation: str, cluster_name: str, request_id: str) -> str:
    """Workflow id of one operation, such as ``change-plan/orders/5f3c…``. *operation* is its workflow type."""
    return f"{kebab(operation)}/{cluster_name}/{request_id}"


def kebab(camel: str) -> str:
    """``ChangePlan`` → ``change-plan``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", camel).lower()


def network(cluster_id: str) -> str:
    """Docker network of a cluster."""
    return f"mpg-{cluster_id}"


def node_container(cluster_id: str, node: str) -> str:
    """Container of a Postgres node."""
    return f"mpg-{cluster_id}-{node}"


def node_volume(cluster_id: str, node: str) -> str:
    """Volume of a Postgres node's data and configuration."""
    return f"mpg-{cluster_id}-{node}"


def endpoint_container(cluster_id: str) -> str:
    """Container that owns the addresses clients use."""
    return f"mpg-{cluster_id}-endpoint"


def pooler_container(cluster_id: str, pooler: str) -> str:
    """Container of a PgBouncer; *pooler* is its name, such as ``pooler-3-1`` (generation 3, first)."""
    return f"mpg-{cluster_id}-{pooler}"


def pooler_name(generation: int, index: int) -> str:
    """Name of the *index*-th PgBouncer (from 1) of a generation."""
    return f"pooler-{generation}-{index}"


def pooler_label(name: str) -> str:
    """Return what metrics call the pooler of that *name*: ``3-1``."""
    return name.removeprefix("pooler-")


def sockets_volume(cluster_id: str) -> str:
    """Volume in which a cluster's PgBouncers keep their unix sockets, so that peers find each other."""
    return f"mpg-{cluster_id}-sockets"


def backups_volume(cluster_id: str) -> str:
    """Volume of a cluster's backups and archive, where they are not in a store elsewhere."""
    return f"mpg-{cluster_id}-backups"


def backup_container(cluster_id: str) -> str:
    """Container that makes a backup. There is one at a time: its name is the lock."""
    return f"mpg-{cluster_id}-backup"


def backup_helper_container(cluster_id: str) -> str:
    """Container through which a backup that is read from the replica reaches the primary."""
    return f"mpg-{cluster_id}-backup-primary"


def restore_container(cluster_id: str) -> str:
    """Container that fills the volume of a new cluster's first node from another cluster's backups."""
    return f"mpg-{cluster_id}-restore"


def drill_container(cluster_id: str) -> str:
    """Container in which a backup is restored to see that it can be, and its volume. There is one at a time."""
    return f"mpg-{cluster_id}-drill"


def kept_workflow_id(cluster_id: str) -> str:
    """Workflow id of what is kept of a destroyed cluster: its record, and the end of its backups."""
    return f"kept-backups/{cluster_id}"


def repository_container(cluster_id: str, task: str) -> str:
    """Container that works on a repository, or reads it, for a moment."""
    return f"mpg-{cluster_id}-repository-{task}"


def webhooks_workflow_id(org: str) -> str:
    """Workflow id of an organization's webhooks."""
    return f"webhooks/{org}"


def deliveries_of(org: str, webhook_id: str) -> str:
    """How the workflow ids of all deliveries to a webhook begin."""
    return f"webhook-delivery/{org}/{webhook_id}/"


def delivery_workflow_id(org: str, webhook_id: str, message_id: str) -> str:
    """Workflow id of one delivery: Temporal's uniqueness sees to it that each message is sent for once."""
    return f"{deliveries_of(org, webhook_id)}{message_id}"
