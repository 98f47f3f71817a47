"""PgBouncer's configuration and limits, rendered from the plan. Settings and their defaults: PgBouncer 1.24 manual."""

import asyncio
from collections.abc import Sequence

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import POOLER_DIR, File
from activities.routing.pooler_console import CONSOLE_USER
from model.authority import Authority
from model.base import Record
from model.cluster import Pooler, PoolerPhase, PoolMode, Tls
from model.errors import NotFound
from model.names import PLATFORM_SCHEMA, POOLER_USER, POSTGRES_PORT
from model.plans import Plan
from model.secrets import derive_password

CONFIG_DIR = POOLER_DIR
KEY_FILE = f"{CONFIG_DIR}/server.key"
CERTIFICATE_FILE = f"{CONFIG_DIR}/server.crt"
SOCKETS_PATH = "/run/mpg"
QUERY_WAIT_S = 120
"""How long a client waits for a server connection before it is turned away. Well over the longest pause of a
switchover, which clients sit out here."""


class PoolerLimits(Record):
    """What one PgBouncer may open. Together, those of a generation stay within the plan."""

    clients: int
    """Clients it accepts; each PgBouncer accepts as many as the plan says."""
    pool: int
    """Server connections for one user in one database."""
    reserve: int
    """More of them when a client has waited for long."""
    servers: int
    """Server connections to one database, and of one user: ``pool`` and ``reserve`` together."""


def pooler_limits(plan: Plan, index: int, count: int) -> PoolerLimits:
    """Return the limits of the PgBouncer *index* (from 0) of a generation of *count*.

    PgBouncer counts servers by database and by user, not over all: a cluster with several busy databases *and* several
    busy users is bounded by its roles' connection limits. While a former generation drains, its sessions come on top.
    """
    pool = max(1, _share(plan.max_database_connections, index, count))
    reserve = _share(plan.reserve_pool, index, count)
    return PoolerLimits(clients=plan.max_client_connections, pool=pool, reserve=reserve, servers=pool + reserve)


def limits_by_pooler(plan: Plan, poolers: Sequence[Pooler]) -> dict[str, PoolerLimits]:
    """Return each pooler's limits by its name; the plan is divided within a generation."""
    limits: dict[str, PoolerLimits] = {}
    for pooler in poolers:
        siblings = sorted(each.peer_id for each in poolers if each.generation == pooler.generation)
        limits[pooler.name] = pooler_limits(plan, siblings.index(pooler.peer_id), len(siblings))
    return limits


def pooler_files(
    cluster_id: str,
    pooler: Pooler,
    peers: Sequence[Pooler],
    limits: PoolerLimits,
    primary_address: str,
    master_key: bytes,
) -> dict[str, File]:
    """Return path and content of the configuration of one PgBouncer."""
    texts = {
        f"{CONFIG_DIR}/pgbouncer.ini": pgbouncer_ini(pooler, peers, limits, primary_address),
        f"{CONFIG_DIR}/userlist.txt": userlist(cluster_id, master_key),
    }
    return {path: File.private(text) for path, text in texts.items()}


async def renew_pooler(
    docker: DockerEngine, pooler: Pooler, cluster_name: str, authority: Authority, *, reload: bool = False
) -> bool:
    """Give a pooler a key and a certificate where it has none or another is due, and tell whether it was.

    In force after a reload, for new connections. Raises :class:`NotFound` where its container is gone.
    """
    found = await docker.get_file(pooler.container, CERTIFICATE_FILE)
    if not authority.is_due(found):
        return False
    issued = authority.issue(cluster_name)
    texts = {KEY_FILE: issued.key, CERTIFICATE_FILE: issued.certificate}
    await docker.put_files(pooler.container, {path: File.private(text) for path, text in texts.items()})
    if reload:
        await docker.kill(pooler.container, "SIGHUP")
    return True


def userlist(cluster_id: str, master_key: bytes) -> str:
    """Return the users that PgBouncer knows itself: its way to look others up, and its console's."""
    lines = (f'"{user}" "{derive_password(master_key, cluster_id, user)}"\n' for user in (POOLER_USER, CONSOLE_USER))
    return "".join(lines)


def pgbouncer_ini(pooler: Pooler, peers: Sequence[Pooler], limits: PoolerLimits, primary_address: str) -> str:
    """Return pgbouncer.ini. *peers* are all living PgBouncers of the cluster, this one included."""
    # A cancel request is a new connection and reaches any PgBouncer, which passes it on to the one it is meant for.
    sockets = {str(peer.peer_id): f"host={SOCKETS_PATH} port={peer.port}" for peer in peers}
    sections = {
        "databases": {"*": f"host={primary_address} port={POSTGRES_PORT} auth_user={POOLER_USER}"},
        "peers": sockets,
        "pgbouncer": _settings(pooler, limits),
    }
    return "\n".join(_section(name, entries) for name, entries in sections.items())


async def write_pooler_files(
    docker: DockerEngine,
    cluster_id: str,
    poolers: Sequence[Pooler],
    *,
    plan: Plan,
    primary_address: str,
    master_key: bytes,
    some_gone: bool = False,
) -> None:
    """Write the configuration of *poolers*, all living ones of the cluster, into their containers.

    It is in force after a reload. A draining pooler may be gone already; with *some_gone* any of them may.

    Raises:
        NotFound: another's container is gone.
    """
    limits = limits_by_pooler(plan, poolers)

    async def write(pooler: Pooler) -> None:
        files = pooler_files(cluster_id, pooler, poolers, limits[pooler.name], primary_address, master_key)
        try:
            await docker.put_files(pooler.container, files)
        except NotFound:
            if pooler.phase is not PoolerPhase.DRAINING and not some_gone:
                raise

    await asyncio.gather(*(write(pooler) for pooler in poolers))


def _share(total: int, index: int, count: int) -> int:
    """Return the part of *index* (from 0) when *total* is divided by *count*: the first ones get what is left over."""
    return total // count + (1 if index < total % count else 0)


def _section(name: str, entries: dict[str, str]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())


def _settings(pooler: Pooler, limits: PoolerLimits) -> dict[str, str]:
    transaction = pooler.pool_mode is PoolMode.TRANSACTION
    return {
        "listen_addr": "0.0.0.0",  # noqa: S104  inside the endpoint's namespace, behind its rules
        "listen_port": str(pooler.port),
        "listen_backlog": "512",
        "unix_socket_dir": SOCKETS_PATH,
        "unix_socket_mode": "0700",
        "peer_id": str(pooler.peer_id),
        "pool_mode": pooler.pool_mode.value,
        # Named prepared statements of the protocol go on working although each transaction may get another server.
        "max_prepared_statements": "200" if transaction else "0",
        "max_client_conn": str(limits.clients),
        "default_pool_size": str(limits.pool),
        "reserve_pool_size": str(limits.reserve),
        "reserve_pool_timeout": "1",
        "max_db_connections": str(limits.servers),
        "max_user_connections": str(limits.servers),
        "query_wait_timeout": str(QUERY_WAIT_S),
        **_tls(pooler.tls),
        **_AUTHENTICATION,
        **_SERVERS,
        **_LOGGING,
    }


def _tls(tls: Tls) -> dict[str, str]:
    """Return the settings of TLS to clients and to nodes.

    What goes to a node does not leave the host, and each handshake would add to what clients wait for after a
    switchover. Where TLS is required nodes take nothing else from this address.
    """
    if tls is Tls.OFF:
        return {}
    required = tls is Tls.REQUIRED
    return {
        "client_tls_sslmode": "require" if required else "allow",
        "client_tls_key_file": KEY_FILE,
        "client_tls_cert_file": CERTIFICATE_FILE,
        # No certificate is verified by these. Without them each RELOAD reads the bundle of the system: 30 ms in the
        # pause of a switchover, against 0.6 (measured with PgBouncer 1.24).
        "client_tls_ca_file": CERTIFICATE_FILE,
        "server_tls_ca_file": CERTIFICATE_FILE,
        "server_tls_sslmode": "require" if required else "disable",
    }


_AUTHENTICATION = {
    "auth_type": "scram-sha-256",
    "auth_file": f"{CONFIG_DIR}/userlist.txt",
    "auth_query": f"SELECT * FROM {PLATFORM_SCHEMA}.user_lookup($1)",  # noqa: S608  a constant, and PgBouncer's
    "admin_users": CONSOLE_USER,
    # JDBC sends it at each start. `options` is not ignored: a setting lost in silence is worse than an error.
    "ignore_startup_parameters": "extra_float_digits",
}

_SERVERS = {
    # After a server refused a login (one that starts or stops does) clients get that error until the next attempt.
    "server_login_retry": "0.2",
    "server_connect_timeout": "3",
    "server_check_delay": "10",
    "tcp_keepalive": "1",
    "tcp_keepidle": "15",
    "tcp_keepintvl": "5",
    "tcp_keepcnt": "3",
}

_LOGGING = {
    "log_connections": "0",
    "log_disconnections": "0",
    "log_pooler_errors": "1",
    "log_stats": "0",
    "stats_period": "60",
}
