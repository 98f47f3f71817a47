"""How Patroni, HAProxy and PgBouncer are set, and their files.

Patroni's settings, their defaults and least values: patroni.readthedocs.io, "Dynamic Configuration Settings".
HAProxy's checks are those of the template in Patroni's repository (extras/confd/templates/haproxy.tmpl). Its retries
are not: HAProxy 3.0.11 never ends a connection that it makes, or waits to make again, at the moment when the server is
marked down, and its client hangs until it gives up. Without retries few connections are in that state, but some are.
"""

import json
from collections.abc import Mapping
from typing import Any

from model.base import Record
from model.names import PGDATA, POSTGRES_PORT

REST_PORT, ETCD_PORT, POOLER_PORT, HAPROXY_PORT = 8008, 2379, 6432, 5000
USER = DATABASE = "bench"
SUPERUSER, REPLICATOR = "postgres", "replicator"
_PG_BIN = "/usr/lib/postgresql/17/bin"


class Setting(Record):
    """One way to set the whole of it. Seconds, except *check*, which is HAProxy's ``default-server`` line."""

    name: str
    ttl: int = 30
    loop_wait: int = 10
    retry_timeout: int = 10
    check: str = "inter 3s fall 3 rise 2"
    server_login_retry: int = 15


_LEAST = Setting(name="ttl 20, loop 1", ttl=20, loop_wait=1, retry_timeout=9)
# Patroni asks for loop_wait + 2 × retry_timeout ≤ ttl.
SETTINGS = (
    Setting(name="defaults"),
    _LEAST,
    _LEAST.model_copy(
        update={
            "name": f"{_LEAST.name}, checks 0.3 s × 1, login retry 1",
            "check": "inter 300ms fall 1 rise 1",
            "server_login_retry": 1,
        }
    ),
)


def patroni_json(node: str, address: str, etcd: str, setting: Setting, passwords: Mapping[str, str]) -> str:
    """Return the configuration of the agent of *node*; JSON is YAML. *passwords* are by user."""
    config: dict[str, Any] = {
        "scope": "bench",
        "name": node,
        "restapi": {"listen": f"0.0.0.0:{REST_PORT}", "connect_address": f"{address}:{REST_PORT}"},
        "etcd3": {"hosts": [f"{etcd}:{ETCD_PORT}"]},
        "bootstrap": {
            "dcs": {
                "ttl": setting.ttl,
                "loop_wait": setting.loop_wait,
                "retry_timeout": setting.retry_timeout,
                "synchronous_mode": True,
                "postgresql": {"use_pg_rewind": True},
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
        },
        "postgresql": {
            "listen": f"0.0.0.0:{POSTGRES_PORT}",
            "connect_address": f"{address}:{POSTGRES_PORT}",
            "data_dir": PGDATA,
            "bin_dir": _PG_BIN,
            "pgpass": "/tmp/pgpass",
            "authentication": {
                role: {"username": user, "password": passwords[user]}
                for role, user in (("superuser", SUPERUSER), ("replication", REPLICATOR))
            },
            "parameters": {"unix_socket_directories": "/run/postgresql"},
            "pg_hba": [
                "local all all trust",
                "host all all 0.0.0.0/0 scram-sha-256",
                f"host replication {REPLICATOR} 0.0.0.0/0 scram-sha-256",
            ],
        },
    }
    return json.dumps(config, indent=1)


def pgbouncer_ini(setting: Setting) -> str:
    """Return the configuration of the pooler on a node, which leads to the Postgres beside it."""
    return f"""[databases]
{DATABASE} = host=127.0.0.1 port={POSTGRES_PORT}
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = {POOLER_PORT}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/userlist.txt
pool_mode = transaction
server_login_retry = {setting.server_login_retry}
"""


def haproxy_cfg(addresses: Mapping[str, str], setting: Setting) -> str:
    """Return the configuration of HAProxy, which leads to the pooler of the node that is Patroni's primary."""
    servers = "".join(
        f"    server {node} {address}:{POOLER_PORT} maxconn 100 check port {REST_PORT}\n"
        for node, address in addresses.items()
    )
    return f"""global
    maxconn 100
defaults
    mode tcp
    retries 0
    timeout client 30m
    timeout connect 4s
    timeout server 30m
    timeout check 5s
listen primary
    bind *:{HAPROXY_PORT}
    option httpchk HEAD /primary
    http-check expect status 200
    default-server {setting.check} on-marked-down shutdown-sessions
{servers}"""
