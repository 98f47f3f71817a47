"""The files of a node, rendered from its spec; they go onto its volume before it starts."""

import ipaddress
from collections.abc import Mapping

from activities.engine.docker_types import File
from activities.nodes.archiving import ARCHIVE_SETTINGS
from model.addresses import endpoint_address, node_address
from model.cluster import Network, NodeRole, Tls
from model.effects import Bootstrap, NodeSpec, Rejoin
from model.names import NODES, PGDATA, POOLER_USER, POSTGRES_PORT, REPLICATOR, SUPERUSER, VOLUME_PATH
from model.secrets import derive_password
from model.tuning import postgres_settings

CONF_DIR = f"{VOLUME_PATH}/conf"
COMPLETE_FILE = f"{VOLUME_PATH}/data.complete"
REWINDING_FILE = f"{VOLUME_PATH}/data.rewinding"
"""Instead of the former while pg_rewind is at work, or was cut short."""
FORMER_DATA = f"{VOLUME_PATH}/data.former"
"""What a fresh copy took the place of; kept until that was in sync."""
UNARCHIVED_WAL = f"{VOLUME_PATH}/wal.unarchived"
"""Second names of the segments that a former primary had not archived."""
STANDBY_SIGNAL = f"{PGDATA}/standby.signal"
AUTO_CONF = f"{PGDATA}/postgresql.auto.conf"
PGPASS = f"{CONF_DIR}/pgpass"
REJOIN_FILE = f"{CONF_DIR}/rejoin"
"""Asks for one rejoin. The container's command alone must not: the node may be the primary when it starts next."""
REWIND_LOG = f"{CONF_DIR}/rewind.log"
TLS_CONF = f"{CONF_DIR}/tls.conf"
"""Settings of TLS; not there on a node that offers none (activities/nodes/tls.py)."""
RECYCLING_CONF = f"{CONF_DIR}/recycling.conf"
"""Has Postgres recycle no WAL; there while segments are kept in :data:`UNARCHIVED_WAL` (images/entrypoints/node)."""
_INCLUDE_RECYCLING = "include_if_exists = 'recycling.conf'\n"
INCLUDE_TLS = "include_if_exists = 'tls.conf'\n"
RENDERING = 1
"""Raise it when the same spec is to become another container or other files that need a restart."""


def node_files(
    spec: NodeSpec, master_key: bytes, bootstrap: Bootstrap, *, how: Rejoin = Rejoin.REWIND, copy_bytes: int = 0
) -> dict[str, File]:
    """Return path and content of every configuration file of a node.

    For a rejoin: *how*, and how much room a copy of the primary needs, 0 if that is not known.
    """
    texts = {
        f"{CONF_DIR}/postgresql.conf": postgresql_conf(spec),
        f"{CONF_DIR}/pg_hba.conf": pg_hba(spec.network, backups=spec.repository is not None, tls=spec.tls),
        PGPASS: pgpass(derive_password(master_key, spec.cluster_id, REPLICATOR)),
    }
    if bootstrap is Bootstrap.INIT:
        texts[f"{CONF_DIR}/bootstrap-password"] = derive_password(master_key, spec.cluster_id, SUPERUSER) + "\n"
    if bootstrap is Bootstrap.REJOIN:
        texts[REJOIN_FILE] = f"{how} {copy_bytes}\n"
    return {path: File.private(text) for path, text in texts.items()}


def standby_files() -> dict[str, File]:
    """Return the files that make a finished data directory a standby.

    ``postgresql.auto.conf`` is emptied: a standby never has synchronous_standby_names set, or promoting it would make
    its first commits wait for a standby that is not there.
    """
    return {STANDBY_SIGNAL: File.private(""), AUTO_CONF: File.private("")}


def postgresql_conf(spec: NodeSpec) -> str:
    """Return postgresql.conf: the plan's settings, and whom to follow for a replica."""
    settings: dict[str, str] = {
        "listen_addresses": "*",
        "port": str(POSTGRES_PORT),
        "cluster_name": f"{spec.cluster_name}-{spec.name}",
        **postgres_settings(spec.resources, spec.wal_mb),
    }
    if spec.repository is not None:
        settings |= ARCHIVE_SETTINGS
    if spec.role is NodeRole.REPLICA:
        settings["primary_conninfo"] = primary_conninfo(spec)
    lines = (f"{name} = {_quoted(value)}\n" for name, value in settings.items())
    return "".join(lines) + _INCLUDE_RECYCLING + INCLUDE_TLS


def primary_conninfo(spec: NodeSpec) -> str:
    """Return how a replica reaches its primary. The password is in the passfile, and so in no view and no log."""
    parts: Mapping[str, str] = {
        "host": spec.primary_address or "",
        "port": str(POSTGRES_PORT),
        "user": REPLICATOR,
        "passfile": PGPASS,
        # synchronous_standby_names tells standbys by this.
        "application_name": spec.name,
        # A primary that is gone is given up in seconds; the receiver then tries again each 50 ms.
        "connect_timeout": "3",
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "3",
    }
    if spec.tls is not Tls.OFF:
        # The primary proves by its half of SCRAM that it is at this end of the encryption.
        parts = {**parts, "sslmode": "require", "channel_binding": "require", "sslcert": _NO_CERTIFICATE}
    return " ".join(f"{name}={value}" for name, value in parts.items())


def pg_hba(network: Network, *, backups: bool = False, tls: Tls = Tls.OFF) -> str:
    """Return pg_hba.conf: SCRAM for everybody, and the platform's roles only from where they belong.

    The worker reaches nodes from the network's gateway. What comes through the direct endpoint carries the endpoint's
    address, so nobody is the superuser that way. For *backups* pgBackRest comes over the unix socket on the volume, as
    the operating system's ``postgres``: only who has the volume gets there. Where *tls* is required, what comes through
    the endpoint is encrypted or refused; the poolers' connections too, which carry the same address.
    """
    nodes = [node_address(network, node) for node in NODES]
    lines = [
        *([_NO_PLAIN.format(endpoint_address(network))] if tls is Tls.REQUIRED else []),
        _line("all", SUPERUSER, network.gateway),
        _line("all", SUPERUSER, None),
        *(_line(database, REPLICATOR, address) for address in nodes for database in ("replication", "all")),
        _line("all", REPLICATOR, None),
        _line("replication", REPLICATOR, None),
        _line("all", POOLER_USER, endpoint_address(network)),
        _line("all", POOLER_USER, None),
        "host    replication     all              all                 reject",
        "host    all             all              all                 scram-sha-256",
        *([f"local   {'postgres':<15} {SUPERUSER:<16}                     peer"] if backups else []),
        "local   all             all                                  scram-sha-256",
    ]
    return "\n".join(lines) + "\n"


_NO_CERTIFICATE = f"{CONF_DIR}/client.crt"
"""There is none. Where libpq looks by itself is root's home in a container made before there was TLS: it may not."""
_NO_PLAIN = "hostnossl all          all              {}/32        reject"


def _line(database: str, user: str, address: str | None) -> str:
    where = "all" if address is None else f"{ipaddress.IPv4Address(address)}/32"
    method = "reject" if address is None else "scram-sha-256"
    return f"host    {database:<15} {user:<16} {where:<19} {method}"


def pgpass(password: str) -> str:
    """Return the passfile of the replication role, for whichever node is the primary."""
    return f"*:*:*:{REPLICATOR}:{password}\n"


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
