"""Giving the platform's roles of a cluster passwords of another master key, without its clients noticing.

Users' verifiers are not touched: they log in with the passwords that they have.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import psycopg
import structlog
from psycopg.sql import SQL

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import File
from activities.nodes.files import PGPASS, pgpass
from activities.nodes.local_superuser import local_superuser
from activities.postgres.sql import SqlSessions
from activities.postgres.statements import KEEP_VERIFIERS_OUT, Script, put_platform_role, script, set_password
from activities.recovery.key_guard import ClusterKeys
from activities.routing.health import start_pooler
from activities.routing.pooler_console import Console
from activities.routing.pooler_files import write_pooler_files
from model.cluster import ClusterState, Node, Pooler
from model.effects import Target
from model.errors import NotYet, Refused
from model.names import POOLER_USER, REPLICATOR, SUPERUSER
from model.secrets import derive_password, scram_verifier

log = structlog.get_logger()

RELOAD_S = 5.0
"""How long a PgBouncer may take to read its files after a signal, before it is started anew."""

_PLATFORM = (REPLICATOR, POOLER_USER)
# A standby that is away must not hold this up: nobody is there to release it.
_ALONE = SQL("SET LOCAL synchronous_commit = local")


class KeyRenewal:
    """The passwords of the platform in clusters. A primary is meant that runs, in a state that has one."""

    def __init__(self, docker: DockerEngine, sql: SqlSessions, master_key: bytes) -> None:
        """Work through *docker* and *sql*; passwords are derived from *master_key*."""
        self._docker = docker
        self._sql = sql
        self._master_key = master_key

    async def is_complete(self, state: ClusterState, primary: Node) -> bool:
        """Tell whether all of the platform's passwords are of this key; the superuser's has to be.

        Raises:
            Refused: the platform's roles are not there.
        """
        async with await self._sql.open(Target.of(state.spec.id, primary)) as connection:
            cursor = await connection.execute(
                "SELECT rolname::text, rolpassword FROM pg_authid WHERE rolname = ANY(%s)", (list(_PLATFORM),)
            )
            found: dict[str, str | None] = dict(await cursor.fetchall())
        if set(found) != set(_PLATFORM):
            raise Refused(
                f"Cluster {state.spec.name} ({state.spec.id}) is not whole: it lacks roles of the platform.",
                remedy="Its creation was cut off. If nothing in it is wanted, remove what carries the label "
                f"mpg.cluster={state.spec.id}.",
            )
        poolers = await asyncio.gather(*(self._lets_us_in(state, pooler) for pooler in state.status.poolers))
        if await ClusterKeys(self._docker, self._master_key).mismatch(state.spec.id) is not None:
            return False
        return all(poolers) and found == {name: self._verifier(state, name) for name in _PLATFORM}

    async def take_superuser(self, state: ClusterState, primary: Node) -> None:
        """Give the superuser the password of this key, from inside the node."""
        verifier = self._verifier(state, SUPERUSER)
        async with local_superuser(self._docker, primary.container) as session:
            await session.run(
                SQL("BEGIN"), _ALONE, KEEP_VERIFIERS_OUT, set_password(SUPERUSER, verifier), SQL("COMMIT")
            )

    async def run(self, state: ClusterState, primary: Node) -> None:
        """Give the roles of replication and of the poolers passwords of this key; the superuser has his.

        The replica's connection stays, and a new one of it is tried each 50 ms. A pooler cannot look a user up between
        its file and the role: for that moment its clients wait.
        """
        replication = File.private(pgpass(derive_password(self._master_key, state.spec.id, REPLICATOR)))
        for node in state.status.nodes:
            if await self._docker.inspect(node.container) is not None:
                await self._docker.put_files(node.container, {PGPASS: replication})
        poolers = state.status.poolers
        async with self._held(poolers):
            await write_pooler_files(
                self._docker,
                state.spec.id,
                poolers,
                plan=state.spec.plan,
                primary_address=primary.address,
                master_key=self._master_key,
            )
            await self._signal(poolers, "SIGHUP")
            await asyncio.gather(*(self._see_read(state, pooler) for pooler in poolers))
            await self._put_roles(state, primary)
        # Last: from here on the cluster is watched, with this key.
        await ClusterKeys(self._docker, self._master_key).give(state.spec.id)

    async def _put_roles(self, state: ClusterState, primary: Node) -> None:
        roles: list[Script] = [put_platform_role(name, self._verifier(state, name), exists=True) for name in _PLATFORM]
        async with await self._sql.open(Target.of(state.spec.id, primary)) as connection, connection.transaction():
            await connection.execute(script(_ALONE, KEEP_VERIFIERS_OUT, *roles))

    def _verifier(self, state: ClusterState, role: str) -> str:
        return scram_verifier(self._master_key, state.spec.id, role)

    # --- poolers ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _held(self, poolers: Sequence[Pooler]) -> AsyncGenerator[None]:
        """Have PgBouncers hold their clients, by signals: their consoles do not let us in yet."""
        await self._signal(poolers, "SIGUSR1")
        try:
            yield
        finally:
            await self._signal(poolers, "SIGUSR2")

    async def _signal(self, poolers: Sequence[Pooler], signal: str) -> None:
        await asyncio.gather(*(self._docker.kill(pooler.container, signal) for pooler in poolers))

    async def _lets_us_in(self, state: ClusterState, pooler: Pooler, timeout_s: float = 0) -> bool:
        """Tell whether a pooler knows our password. One that does not run reads its files when it is started."""
        found = await self._docker.inspect(pooler.container)
        if found is None or not found.running:
            return True
        assert state.status.endpoint is not None, "no cluster is rebuilt without its endpoint"
        try:
            console = await Console.wait_until_answers(
                state.status.endpoint.address,
                pooler.port,
                master_key=self._master_key,
                cluster_id=state.spec.id,
                timeout_s=timeout_s,
            )
        except (NotYet, psycopg.Error):
            return False
        await console.close()
        return True

    async def _see_read(self, state: ClusterState, pooler: Pooler) -> None:
        """Start a pooler anew that did not read its files, or is in the namespace of a former endpoint."""
        if not await self._lets_us_in(state, pooler, RELOAD_S):
            log.warning("starting a pooler anew", cluster=state.spec.id, pooler=pooler.name)
            await start_pooler(self._docker, pooler, again=True)
