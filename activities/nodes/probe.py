"""Asking nodes, and waiting until they answer."""

import asyncio
import time

import psycopg

from activities.engine.docker_engine import DockerEngine
from activities.nodes.state import NodeState, read_state
from activities.postgres.sql import APPLICATION_NAME, Connection, SqlSessions, outcome_of
from model.addresses import node_address
from model.effects import NodeSpec, Target
from model.errors import HostFull, MpgError, NotYet
from model.names import NODES, REPLICATOR, node_container
from model.probing import Outcome

POLL_S = 0.02
INSPECT_EVERY_S = 0.25
PRIMARY_TIMEOUT_S = 120.0
"""How long a base backup waits until the primary lets it in."""

COPY_WAL_BYTES = 64 * 2**20
"""Room for the WAL that a copy needs beside the databases: what is written while it is made."""
DISK_FULL = "No space left on device"
QUIET_LOOKS = 3
"""Looks in a row, 50 ms apart, without a query: a client that was just connecting shows in the next one."""


class NodeProbe:
    """Looks at nodes through SQL, and at their containers where SQL does not answer."""

    def __init__(self, docker: DockerEngine, sql: SqlSessions) -> None:
        """Ask through *sql* and *docker*."""
        self._docker = docker
        self._sql = sql

    async def look(self, target: Target) -> NodeState | None:
        """Return what the node says of itself, or None when it does not answer."""
        try:
            async with self._sql.use(target) as connection:
                return await read_state(connection)
        except psycopg.Error:
            return None

    async def await_answer(self, target: Target, container: str, timeout_s: float) -> NodeState:
        """Return what the node says of itself as soon as it answers, asking every 20 ms.

        Raises:
            MpgError: the container ended; the sentence has its last lines.
            HostFull: it ended because its disk is full.
            NotYet: no answer within *timeout_s* seconds.
        """
        deadline = time.monotonic() + timeout_s
        inspected = time.monotonic()
        while (state := await self.look(target)) is None:
            if time.monotonic() - inspected > INSPECT_EVERY_S:
                inspected = time.monotonic()
                await self.check_runs(container)
            if time.monotonic() > deadline:
                raise NotYet(f"Postgres in {container} does not answer after {timeout_s:g} s.")
            await asyncio.sleep(POLL_S)
        return state

    async def let_queries_end(self, target: Target, timeout_s: float) -> None:
        """Return when a replica to which no new client is routed answers no query, or after *timeout_s* seconds."""
        deadline = time.monotonic() + timeout_s
        quiet = 0
        while quiet < QUIET_LOOKS and time.monotonic() < deadline:
            try:
                async with self._sql.use(target) as connection:
                    while quiet < QUIET_LOOKS and time.monotonic() < deadline:
                        quiet = 0 if await _has_queries(connection) else quiet + 1
                        await asyncio.sleep(0.05)
            except psycopg.Error as error:
                if outcome_of(error) not in {Outcome.REFUSED, Outcome.OUR_SIDE}:
                    return  # it answers nobody
                await asyncio.sleep(0.05)

    async def await_primary(self, spec: NodeSpec) -> None:
        """Return when the primary of the replica *spec* lets a base backup in.

        Its address is left alone until its container runs: the kernel holds what is sent to an absent neighbour
        for up to a second, and with it the first connection of everyone else.

        Raises:
            NotYet: it did not within two minutes.
            MpgError: its container ended; the sentence has its last lines.
        """
        target = Target(cluster_id=spec.cluster_id, address=spec.primary_address or "")
        container = _container_at(spec, target.address)
        deadline = time.monotonic() + PRIMARY_TIMEOUT_S
        running, inspected = False, time.monotonic()
        while not running or not await self._has_replicator(target):
            if time.monotonic() > deadline:
                raise NotYet(f"The primary at {target.address} did not accept replication in {PRIMARY_TIMEOUT_S:g} s.")
            if not running:
                found = await self._docker.inspect(container)
                running = found is not None and found.running
                if found is not None and found.started_at is not None:
                    await self.check_runs(container)
            elif time.monotonic() - inspected > INSPECT_EVERY_S:
                inspected = time.monotonic()
                await self.check_runs(container)
            await asyncio.sleep(POLL_S)

    async def _has_replicator(self, target: Target) -> bool:
        try:
            async with await self._sql.open(target) as connection:
                return await has_replicator(connection)
        except psycopg.Error:
            return False

    async def copy_bytes(self, spec: NodeSpec) -> int:
        """Return how much room a copy of the primary of *spec* needs; 0 when it does not answer."""
        target = Target(cluster_id=spec.cluster_id, address=spec.primary_address or "")
        try:
            async with self._sql.use(target) as connection:
                cursor = await connection.execute("SELECT sum(pg_database_size(oid))::bigint FROM pg_database")
                row = await cursor.fetchone()
        except psycopg.Error:
            return 0
        return int(row[0]) + COPY_WAL_BYTES if row else 0

    async def check_runs(self, container: str) -> None:
        """See that a node's container runs. Raises :class:`MpgError` with its last lines when it has ended."""
        found = await self._docker.inspect(container)
        if found is None or found.running:
            return
        why = "it ran out of memory" if found.oom_killed else f"exit code {found.exit_code}"
        last = "; ".join((await self._docker.logs(container, lines=5)).splitlines())
        if DISK_FULL in last:
            raise HostFull(
                f"The disk of {container} is full, and Postgres ended: {last}", remedy="Make room on its volume."
            )
        raise MpgError(f"Postgres in {container} ended ({why}): {last}")


async def _has_queries(connection: Connection) -> bool:
    cursor = await connection.execute(
        "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND state <> 'idle'"
        " AND application_name <> %s LIMIT 1",
        [APPLICATION_NAME],
    )
    return await cursor.fetchone() is not None


async def has_replicator(connection: Connection) -> bool:
    """Tell whether the role for replication is there."""
    cursor = await connection.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", [REPLICATOR])
    return await cursor.fetchone() is not None


def _container_at(spec: NodeSpec, address: str) -> str:
    node = next((name for name in NODES if node_address(spec.network, name) == address), "")
    return node_container(spec.cluster_id, node)
