"""The invariants of a cluster that nothing runs on: one function, used after every fault.

Everything is asked of what it is about, Postgres, PgBouncer, the Docker engine, Temporal, through the addresses that
clients use, and held against what the cluster's record names.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any, LiteralString

import docker
import psycopg
from docker.errors import APIError
from psycopg import AsyncConnection
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.postgres.sql import SqlSessions
from model.backups import RepositoryKind
from model.cluster import ClusterPhase, ClusterState, ClusterView, Durability, Node, PoolerPhase, Role
from model.effects import Target
from model.errors import MpgError
from model.names import (
    LABEL_CLUSTER,
    POOLER_USER,
    REPLICATOR,
    SUPERUSER,
    backup_container,
    backups_volume,
    cluster_workflow_id,
    name_workflow_id,
    repository_container,
    sockets_volume,
)
from model.secrets import scram_verifier
from model.tuning import connection_limit
from starter.client import MpgClient
from starter.client.connection import EndpointKind, connection, read_master_key
from tests.console_reader import ConsoleReader
from tests.faults.leaks import leaks

CONNECT_TIMEOUT_S = 5
_GROUPS = frozenset(str(role) for role in Role)
_PLATFORM_ROLES = frozenset({SUPERUSER, REPLICATOR, POOLER_USER})
_ROLES: LiteralString = """
SELECT r.rolname::text, r.rolconnlimit, a.rolpassword, r.rolcanlogin,
       r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls,
       ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid)
FROM pg_roles r JOIN pg_authid a ON a.oid = r.oid WHERE left(r.rolname, 3) <> 'pg_'"""
_FOLLOWS: LiteralString = """
SELECT w.status, w.sender_host, w.received_tli, pg_is_in_recovery() FROM (VALUES (1)) AS one
LEFT JOIN pg_stat_wal_receiver w ON true"""
_TIMELINE: LiteralString = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"


@dataclass(frozen=True)
class Eyes:
    """What the checks look through."""

    mpg: MpgClient
    temporal: Client
    engine: docker.DockerClient
    sql: SqlSessions


async def violations(eyes: Eyes, name: str, operations: Iterable[str] = ()) -> list[str]:
    """Return in words what is not as it has to be of the cluster called *name*; empty if it is whole.

    *operations* are ids of workflows that have ended; secrets are looked for in their histories too.
    """
    try:
        view = await eyes.mpg.view(name)
    except MpgError as error:
        return [f"the record does not answer: {error}"]
    if found := _not_at_rest(view):
        return found
    state = view.state
    checks: list[Callable[[Eyes, ClusterState], AsyncIterator[str]]] = [
        _one_writable,
        _other_follows,
        _poolers_serve,
        _addresses_lead_right,
        _nothing_astray,
        _roles_as_recorded,
        _databases_as_recorded,
        _nodes_on_plan,
    ]
    found = [said for part in await asyncio.gather(*(_said(check(eyes, state)) for check in checks)) for said in part]
    return found or await leaks(eyes, state, operations)


async def remains(eyes: Eyes, cluster_id: str, org: str, name: str) -> list[str]:
    """Return in words what there still is of a cluster that is to be gone."""
    found: list[str] = []
    if await _runs(eyes.temporal, cluster_workflow_id(cluster_id)):
        found.append("its workflow runs")
    if await _runs(eyes.temporal, name_workflow_id(org, name)):
        found.append("its name is taken")
    for kind, names in (await asyncio.to_thread(_labelled, eyes.engine, cluster_id)).items():
        found += [f"there is {kind} {each}" for each in names]
    return found


async def _runs(temporal: Client, workflow_id: str) -> bool:
    try:
        description = await temporal.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return description.status is WorkflowExecutionStatus.RUNNING


async def _said(sentences: AsyncIterator[str]) -> list[str]:
    said: list[str] = []
    try:
        async for sentence in sentences:
            said.append(sentence)
    except (psycopg.Error, MpgError, APIError, OSError, TimeoutError) as error:
        said.append(f"{type(error).__name__}: {' '.join(str(error).split())}")
    return said


def _not_at_rest(view: ClusterView) -> list[str]:
    """A finished operation holds no turn, nobody waits, and the cluster says that it is ready."""
    found: list[str] = []
    if view.operation is not None:
        found.append(f"{view.operation.id} has the turn")
    if view.waiting:
        found.append(f"{view.waiting} wait for their turn")
    if view.state.status.phase is not ClusterPhase.READY:
        said = "; ".join(each.message for each in view.state.status.conditions)
        found.append(f"it is {view.state.status.phase}: {said}")
    return found


async def _ask(eyes: Eyes, state: ClusterState, node: Node, query: LiteralString) -> list[tuple[Any, ...]]:
    target = Target.of(state.spec.id, node)
    async with await eyes.sql.open(target, timeout_s=CONNECT_TIMEOUT_S) as session:
        return await (await session.execute(query)).fetchall()


async def _one_writable(eyes: Eyes, state: ClusterState) -> AsyncIterator[str]:
    """One node takes a write, and it is the one that the record names."""
    for node in state.status.nodes:
        target = Target.of(state.spec.id, node)
        async with await eyes.sql.open(target, timeout_s=CONNECT_TIMEOUT_S) as session:
            try:
                async with session.transaction(force_rollback=True):
                    await session.execute("SELECT pg_current_xact_id()")
                    await session.execute("SELECT pg_logical_emit_message(true, 'mpg', 'may I write?')")
                writes = True
            except (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.ObjectNotInPrerequisiteState):
                writes = False
        named = state.status.primary is not None and state.status.primary.name == node.name
        if writes is not named:
            yield f"node {node.name} {'takes writes' if writes else 'takes no write'}, the record says {node.role}"


async def _other_follows(eyes: Eyes, state: ClusterState) -> AsyncIterator[str]:
    """The other node streams from the primary, on its timeline; in sync, commits wait for it and the record says so."""
    primary, replica = state.status.primary, state.status.replica
    if primary is None or replica is None:
        yield "the record names no pair of nodes"
        return
    ((status, sender, timeline, in_recovery),) = await _ask(eyes, state, replica, _FOLLOWS)
    if not in_recovery or status != "streaming" or sender != primary.address:
        yield f"replica {replica.name} does not stream from {primary.name} (receiver {status}, from {sender})"
    ((led),) = await _ask(eyes, state, primary, _TIMELINE)
    if timeline != led[0]:
        yield f"replica {replica.name} is on timeline {timeline}, primary {primary.name} on {led[0]}"
    told = await _ask(eyes, state, primary, "SELECT application_name, state, sync_state FROM pg_stat_replication")
    sync = state.spec.durability is Durability.SYNC
    if told != [(replica.name, "streaming", "sync" if sync else "async")]:
        yield f"primary {primary.name} says of its standbys: {told}"
    if sync and not replica.in_sync:
        yield f"replica {replica.name} is not in sync on record"
    if state.status.absences:
        yield f"absences are on record: {state.status.absences}"


async def _poolers_serve(eyes: Eyes, state: ClusterState) -> AsyncIterator[str]:
    """Both current poolers answer a query in the recorded mode, lead to the primary, and are not paused."""
    primary, endpoint = state.status.primary, state.status.endpoint
    current = state.status.current_poolers
    if len(current) != 2:
        yield f"there are {len(current)} current poolers"
    if primary is None or endpoint is None:
        return
    key = read_master_key(eyes.mpg.settings.master_key_file)
    for pooler in current:
        console = await ConsoleReader.open(endpoint.address, pooler.port, master_key=key, cluster_id=state.spec.id)
        try:
            mode = (await console.show_config())["pool_mode"]
            if not mode == state.spec.pool_mode == pooler.pool_mode:
                yield f"{pooler.name} pools by {mode}, the record says {state.spec.pool_mode}"
            if await console.is_paused():
                yield f"{pooler.name} is paused"
            if not await console.show_hosts() <= {primary.address}:
                yield f"{pooler.name} leads to {await console.show_hosts()}"
        finally:
            await console.close()
    draining = [pooler for pooler in state.status.poolers if pooler.phase is PoolerPhase.DRAINING]
    for pooler in draining:
        console = await ConsoleReader.open(endpoint.address, pooler.port, master_key=key, cluster_id=state.spec.id)
        try:
            if await console.is_paused():
                yield f"{pooler.name}, which drains, is paused"
        finally:
            await console.close()


async def _addresses_lead_right(eyes: Eyes, state: ClusterState) -> AsyncIterator[str]:
    """Each published address leads to the right node, for every user and in every database on record."""
    primary, replica = state.status.primary, state.status.replica
    if primary is None or replica is None:
        return
    right = {EndpointKind.POOLED: primary, EndpointKind.DIRECT: primary, EndpointKind.READ_ONLY: replica}
    pairs = [(user.name, state.spec.databases[0].name) for user in state.spec.users]
    pairs += [(state.spec.users[0].name, database.name) for database in state.spec.databases[1:]]
    for kind, node in right.items():
        for user, database in pairs:
            at = await _server_address(eyes, state, kind, user, database)
            if at != node.address:
                yield f"the {kind} address leads {user} in {database} to {at}, not to {node.name} ({node.address})"


async def _server_address(eyes: Eyes, state: ClusterState, kind: EndpointKind, user: str, database: str) -> str:
    key = read_master_key(eyes.mpg.settings.master_key_file)
    uri = connection(state, master_key=key, user=user, database=database, kind=kind).uri
    async with (
        asyncio.timeout(CONNECT_TIMEOUT_S * 2),
        await AsyncConnection.connect(uri, connect_timeout=CONNECT_TIMEOUT_S, prepare_threshold=None) as session,
    ):
        row = await (await session.execute("SELECT host(inet_server_addr())")).fetchone()
        assert row is not None
        return str(row[0])


async def _nothing_astray(eyes: Eyes, state: ClusterState) -> AsyncIterator[str]:
    """There are exactly the containers, volumes and network that the record names, and the containers run."""
    status, key = state.status, state.spec.id
    endpoint = [status.endpoint.container] if status.endpoint else []
    named = {
        "container": {*endpoint, *(each.container for each in (*status.nodes, *status.poolers))},
        # A node's volume is called like its container.
        "volume": {sockets_volume(key), *(node.container for node in status.nodes), *_repository(state)},
        "network": {status.network.name} if status.network else set[str](),
    }
    there = await asyncio.to_thread(_labelled, eyes.engine, key)
    for kind, names in named.items():
        for name in names - there[kind]:
            yield f"{kind} {name} is on record and is not there"
        for name in there[kind] - names - _short_lived(state, there[kind]):
            yield f"{kind} {name} is there and not on record"
    running = {each.name for each in await asyncio.to_thread(_containers, eyes.engine, key, all_of_them=False)}
    for name in (named["container"] & there["container"]) - running:
        yield f"container {name} does not run"


def _repository(state: ClusterState) -> set[str]:
    backups = state.spec.backups
    on_volume = backups is not None and backups.repository.kind is RepositoryKind.VOLUME
    return {backups_volume(state.spec.id)} if on_volume else set()


def _short_lived(state: ClusterState, there: set[str]) -> set[str]:
    """Return the containers of a backup that is being made, which may be any time: schedules start them."""
    if state.status.backups.running is None:
        return set()
    prefixes = (backup_container(state.spec.id), repository_container(state.spec.id, ""))
    return {name for name in there if name.startswith(prefixes)}


def _labelled(engine: docker.DockerClient, cluster_id: str) -> dict[str, set[str]]:
    labelled = {"label": f"{LABEL_CLUSTER}={cluster_id}"}
    return {
        "container": {str(each.name) for each in _containers(engine, cluster_id, all_of_them=True)},
        "volume": {str(each.name) for each in engine.volumes.list(filters=labelled)},
        "network": {str(each.name) for each in engine.networks.list(filters=labelled)},
    }


def _containers(engine: docker.DockerClient, cluster_id: str, *, all_of_them: bool) -> list[Any]:
    labelled: dict[str, str | list[str] | bool] = {"label": f"{LABEL_CLUSTER}={cluster_id}"}
    return engine.containers.list(all=all_of_them, filters=labelled, ignore_removed=True)


async def _roles_as_recorded(eyes: Eyes, state: ClusterState) -> AsyncIterator[str]:
    """Postgres has the users on record with their role, password and limit, and nobody else."""
    if state.status.primary is None or state.spec.legacy_roles:
        return
    rows = await _ask(eyes, state, state.status.primary, _ROLES)
    there = {row[0]: row[1:] for row in rows}
    users = {user.name: user for user in state.spec.users}
    for name in there.keys() - users.keys() - _GROUPS - _PLATFORM_ROLES:
        yield f"role {name!r} is in Postgres and not on record"
    key = read_master_key(eyes.mpg.settings.master_key_file)
    limit = connection_limit(state.spec.plan)
    for name, user in users.items():
        if name not in there:
            yield f"user {name!r} is on record and not in Postgres"
            continue
        verifier = scram_verifier(key, state.spec.id, name, user.password_version)
        expected = (limit, verifier, True, False, [str(user.role)])
        for what, is_, should in zip(
            ("limit", "password", "login", "attributes", "groups"), there[name], expected, strict=True
        ):
            if is_ != should:
                yield f"user {name!r} has another {what} than on record" + ("" if what == "password" else f": {is_}")


async def _databases_as_recorded(eyes: Eyes, state: ClusterState) -> AsyncIterator[str]:
    """Postgres has the databases on record, open for connections, and no others."""
    if state.status.primary is None:
        return
    query: LiteralString = "SELECT datname::text, datallowconn, datconnlimit FROM pg_database WHERE NOT datistemplate"
    rows = await _ask(eyes, state, state.status.primary, query)
    there = {name: (allowed, limit) for name, allowed, limit in rows if name != "postgres"}
    recorded = {database.name for database in state.spec.databases}
    for name in there.keys() - recorded:
        yield f"database {name!r} is in Postgres and not on record"
    for name in recorded - there.keys():
        yield f"database {name!r} is on record and not in Postgres"
    for name in recorded & there.keys():
        if there[name] != (True, -1):
            yield f"database {name!r} takes no connections"


async def _nodes_on_plan(eyes: Eyes, state: ClusterState) -> AsyncIterator[str]:
    """Both nodes have the cluster's plan, by the engine's word too."""
    for node in state.status.nodes:
        if node.plan != state.spec.plan.name:
            yield f"node {node.name} is on plan {node.plan}, the cluster on {state.spec.plan.name}"
        found = await asyncio.to_thread(eyes.engine.containers.get, node.container)
        if found.attrs["HostConfig"]["Memory"] != node.memory_mb * 2**20:
            yield f"node {node.name} has another memory limit than on record"
