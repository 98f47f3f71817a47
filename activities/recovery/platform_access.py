"""Effect that lets the platform into a cluster whose record was lost: with the key that it has, or with a new one.

It also sees that nobody else is at work there: two control planes would fail over against each other.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg
from psycopg.sql import SQL, Composed, Literal
from temporalio import activity

from activities.engine.docker_engine import DockerEngine
from activities.heartbeat import heartbeating
from activities.nodes.container import STOP_TIMEOUT_S
from activities.nodes.local_superuser import LocalSession, local_superuser
from activities.nodes.probe import NodeProbe
from activities.postgres.sql import APPLICATION_NAME, SqlSessions
from activities.recovery.key_renewal import KeyRenewal
from model import effects
from model.adoption import Access, EnsureAccessInput, KeyFit
from model.cluster import ClusterState, Node, NodePhase
from model.effects import Target
from model.errors import NeedsOperator, NotYet, Refused

ANSWER_S = 600.0
"""How long the primary may take to answer: after a crash it replays WAL."""
LOOK_FOR_S = 2.0
"""How long it is looked for the probes of another watch, which come each 0.5 s (activities/watching/node_watch.py)."""
_POLL_S = 0.1
_LOOKING = f"{APPLICATION_NAME}-look"
"""What sessions call themselves that only look: they are no sign of another control plane."""

_STRANGERS = SQL(
    "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE application_name = {} AND client_addr IS NOT NULL"
    " AND state_change > pg_catalog.now() - {} * interval '1 s'"
)


class PlatformAccessActivities:
    """The effect ``ensure_access``."""

    def __init__(self, docker: DockerEngine, sql: SqlSessions, master_key: bytes) -> None:
        """Work through *docker* and *sql*; passwords are derived from *master_key*."""
        self._docker = docker
        self._sql = sql
        self._renewal = KeyRenewal(docker, sql, master_key)
        self._probe = NodeProbe(docker, sql)

    @activity.defn(name=effects.ENSURE_ACCESS.name)
    async def ensure_access(self, arg: EnsureAccessInput) -> Access:
        """Start the primary if it does not run, and see that the platform can log in to it.

        With ``new_key``, and where a former try was cut off, the platform's roles get passwords of this key.

        Raises:
            Refused: the key does not fit, or another control plane is at work on the cluster. Nothing was changed.
            NotYet: the primary does not answer.
        """
        primary = _primary(arg.state)
        async with heartbeating(), self._started(arg, primary):
            fit = await self._await_fit(arg.state, primary)
            await self._check(arg, primary, fit)
            if fit is KeyFit.DOES_NOT_FIT:
                await self._renewal.take_superuser(arg.state, primary)
            renewed = not await self._renewal.is_complete(arg.state, primary)
            if renewed:
                await self._renewal.run(arg.state, primary)
        return Access(renewed=renewed)

    async def look(self, state: ClusterState) -> KeyFit:
        """Tell whether the key fits, without waiting. Raises :class:`Refused` when others work on the cluster."""
        for node in state.status.nodes:
            if node.phase is not NodePhase.RUNNING:
                continue
            fit = await self._fit(Target.of(state.spec.id, node))
            if fit is KeyFit.FITS:
                await self._refuse_strangers(state, node)
            if fit is not KeyFit.UNKNOWN:
                return fit
        return KeyFit.UNKNOWN

    # --- may we? ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _started(self, arg: EnsureAccessInput, primary: Node) -> AsyncGenerator[None]:
        """Have the primary run. One that was started in vain is stopped again.

        Another control plane may have stopped it, to switch over: started by us it would be a second primary. That
        one probes the replica meanwhile.
        """
        found = await self._docker.inspect(primary.container)
        if found is None or found.running:
            yield
            return
        replica = arg.state.status.replica
        if replica is not None and replica.phase is NodePhase.RUNNING:
            await self._check(arg, replica, await self._fit(Target.of(arg.state.spec.id, replica)))
        await self._docker.start(primary.container)
        try:
            yield
        except Refused:
            await self._docker.stop(primary.container, timeout_s=STOP_TIMEOUT_S)
            raise

    async def _check(self, arg: EnsureAccessInput, node: Node, fit: KeyFit) -> None:
        """See that the cluster may be taken over, as far as *node* tells. Raises :class:`Refused`."""
        if fit is KeyFit.DOES_NOT_FIT and not arg.new_key:
            raise does_not_fit(arg.state)
        if fit is KeyFit.FITS:
            await self._refuse_strangers(arg.state, node)
        elif fit is KeyFit.DOES_NOT_FIT:
            async with local_superuser(self._docker, node.container) as session:
                await _refuse_if_probed(arg.state, lambda seconds: _count_locally(session, seconds))

    async def _refuse_strangers(self, state: ClusterState, node: Node) -> None:
        async def count(seconds: float) -> int:
            row = await (await connection.execute(_strangers(seconds))).fetchone()
            return int(row[0]) if row else 0

        async with await self._sql.open(Target.of(state.spec.id, node), application_name=_LOOKING) as connection:
            await _refuse_if_probed(state, count)

    async def _await_fit(self, state: ClusterState, primary: Node) -> KeyFit:
        deadline = time.monotonic() + ANSWER_S
        while (fit := await self._fit(Target.of(state.spec.id, primary))) is KeyFit.UNKNOWN:
            if time.monotonic() > deadline:
                raise NotYet(f"Postgres in {primary.container} does not answer after {ANSWER_S:g} s.")
            await asyncio.sleep(_POLL_S)
            await self._probe.check_runs(primary.container)
        return fit

    async def _fit(self, target: Target) -> KeyFit:
        try:
            async with await self._sql.open(target, application_name=_LOOKING) as connection:
                await connection.execute("SELECT 1")
        except psycopg.Error as error:
            # libpq gives no code for what happens while it connects.
            wrong = "password authentication failed" in str(error)
            return KeyFit.DOES_NOT_FIT if wrong else KeyFit.UNKNOWN
        return KeyFit.FITS


def does_not_fit(state: ClusterState) -> Refused:
    """Return the error of a key from which the cluster's passwords do not come."""
    return Refused(
        f"The master key of this stack does not fit cluster {state.spec.name} ({state.spec.id}).",
        remedy="Put master.key back from your copy of it and restart the stack. If it is lost, adopt the cluster with "
        "--new-key: users keep the passwords that they have, which nobody can show any more.",
    )


def another_at_work(state: ClusterState) -> Refused:
    """Return the error of a cluster that another control plane watches."""
    return Refused(
        f"Another control plane is at work on cluster {state.spec.name} ({state.spec.id}).",
        remedy="Stop that stack first: two of them would fail over against each other.",
    )


async def _refuse_if_probed(state: ClusterState, count: Callable[[float], Awaitable[int]]) -> None:
    """A control plane that lives probes each node twice a second, and shows by that.

    *count* tells how many sessions of a platform did something in the last so many seconds. It is asked again and
    again, of the time since we began: a probe's session is gone for a moment whenever it makes way for a new one.
    """
    begun, passed = time.monotonic(), 0.0
    while passed < LOOK_FOR_S:
        await asyncio.sleep(_POLL_S)
        passed = time.monotonic() - begun
        if await count(passed):
            raise another_at_work(state)


async def _count_locally(session: LocalSession, seconds: float) -> int:
    return int((await session.run(_strangers(seconds)))[0])


def _strangers(seconds: float) -> Composed:
    return _STRANGERS.format(Literal(APPLICATION_NAME), Literal(seconds))


def _primary(state: ClusterState) -> Node:
    if state.status.primary is None:
        raise NeedsOperator(f"Cluster {state.spec.name} has no primary.")
    return state.status.primary
