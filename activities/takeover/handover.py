"""What a switchover and a failover share: one node takes over from the other while the poolers hold their clients."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, LiteralString, Self, TypeVar

import structlog
from psycopg import AsyncConnection
from temporalio import activity
from temporalio.client import Client

from activities.engine.docker_engine import DockerEngine
from activities.nodes.held_replay import end_reads_in_the_way
from activities.nodes.storage import put_read_only
from activities.postgres.sql import Connection, SqlSessions
from activities.routing.pooler_pause import Pause, open_pause
from activities.routing.poolers import write_pooler_files
from activities.routing.rules import Rules, RulesSession, render_rules
from activities.takeover.stopwatch import Stopwatch
from model.cluster import ClusterStatus, Endpoint, Network, Node
from model.effects import HandoverInput, Target
from model.errors import MpgError, NotYet, ReplicaBehind
from model.facts import PrimaryIs
from model.names import READ_ONLY_PORT, cluster_workflow_id, endpoint_container
from model.operations import Commit
from model.pg_control import parse_lsn

log = structlog.get_logger()

PROMOTION_BOUND_S = 60.0
COMMIT_BOUND_S = 5.0
"""For the record of the new primary. Past it clients go on; the workflow makes the record again."""
POLL_S = 0.001
HELD_UP_S = 0.02
"""Replay that takes longer may be held up by reads. It usually takes 2 ms, to which asking would add."""


@dataclass(frozen=True)
class Clients:
    """What a handover works through. ``temporal`` records the new primary before clients go on."""

    docker: DockerEngine
    sql: SqlSessions
    temporal: Client
    master_key: bytes


A = TypeVar("A", bound=HandoverInput)


class Handover(Generic[A]):
    """One run, with everything at hand that it needs while clients wait: nothing is connected meanwhile."""

    def __init__(self, arg: A, clients: Clients) -> None:
        """Hold what is known before anything was opened. :meth:`opened` makes these."""
        self.arg, self.clients, self.docker, self.sql = arg, clients, clients.docker, clients.sql
        self.old, self.new, self.endpoint, self.network = _parties(arg.status, arg.target)
        self.watch = Stopwatch()
        self._began = datetime.now(UTC)
        self.replica: Connection
        self.pause: Pause
        self._opening_rules: asyncio.Task[RulesSession]
        self._recording: asyncio.Task[None] | None = None

    @classmethod
    async def opened(cls, stack: AsyncExitStack, arg: A, clients: Clients) -> Self:
        """Open every connection; they are closed with *stack*."""
        self = cls(arg, clients)
        # Starting a command in a container takes 130 ms, and the rules are needed last.
        self._opening_rules = asyncio.create_task(self._open_rules())
        stack.push_async_callback(self._close_rules)
        # Side by side: after a loss every millisecond here is one that clients wait.
        # Each in a task of its own, which has ended when this returns: a session that is lent to a task which is
        # cancelled is cut, and a takeover goes on to its end.
        opened = await asyncio.gather(
            stack.enter_async_context(
                open_pause(arg.cluster_id, self.endpoint, arg.status.poolers, clients.master_key)
            ),
            stack.enter_async_context(self.sql.use(self.target_of(self.new))),
            return_exceptions=True,  # the other one has to be there for *stack* to close
        )
        pause, replica = opened
        for each in (replica, pause):
            if isinstance(each, BaseException):
                raise each
        assert isinstance(pause, Pause)
        assert isinstance(replica, AsyncConnection)
        self.pause, self.replica = pause, replica
        return self

    async def rules_ready(self) -> None:
        """Return when a change of the rules will take no longer than the change itself."""
        await asyncio.shield(self._opening_rules)

    async def _open_rules(self) -> RulesSession:
        return await RulesSession.open(self.docker, endpoint_container(self.arg.cluster_id))

    async def _close_rules(self) -> None:
        opening = self._opening_rules
        opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled() and opening.exception() is None:
            await opening.result().close()

    def target_of(self, node: Node) -> Target:
        """Return *node* as a target of SQL."""
        return Target.of(self.arg.cluster_id, node)

    async def in_recovery(self) -> bool:
        """Tell whether the node that is to take over is still a standby."""
        row = await (await self.replica.execute("SELECT pg_is_in_recovery()")).fetchone()
        return bool(row and row[0])

    async def timeline(self) -> int:
        """Return the new primary's timeline."""
        # The control file learns it with the first checkpoint, which a promotion does not wait for.
        cursor = await self.replica.execute(
            "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"
        )
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])

    async def replayed_past(self, lsn: int, bound_s: float, otherwise: MpgError) -> None:
        """Wait until the replica has replayed past *lsn*. Raises *otherwise* after *bound_s* seconds."""
        await self.until(
            "SELECT pg_last_wal_replay_lsn()::text",
            lambda seen: seen is not None and parse_lsn(str(seen)) > lsn,
            bound_s,
            otherwise,
            meanwhile=end_reads_in_the_way,
        )

    async def promote(self) -> None:
        """Promote the node, and meanwhile have it recorded. Raises :class:`NotYet`.

        ``pg_promote(wait => true)`` would poll each 100 ms.
        """
        if self.arg.status.storage.read_only:
            # What the old primary had of this is in a file of its own, and this node's was emptied as a standby.
            await put_read_only(self.replica, read_only=True)
        with self.watch.step("promotion"):
            await self.replica.execute("SELECT pg_promote(wait => false)")
            # Now, when there is only forward and the processor is idle: afterwards it would hold up the RESUME.
            self._recording = asyncio.create_task(self._record())
            await self.until(
                "SELECT pg_is_in_recovery()",
                lambda in_recovery: in_recovery is False,
                PROMOTION_BOUND_S,
                NotYet(f"Node {self.new.name} was not promoted within {PROMOTION_BOUND_S:g} s."),
            )

    async def route_to_new(self) -> None:
        """Record the new primary, point the poolers at it, let clients go on, and route direct connections to it.

        The poolers' files have to be written before.
        """
        await self.route_pooled_to_new()
        await self.route(direct=self.new.address, read_only=self.new.address)

    async def route_pooled_to_new(self) -> None:
        """The first part of :meth:`route_to_new`, which needs no endpoint."""
        with self.watch.step("commit and reload"):
            await asyncio.gather(self._recorded(), self.pause.reload())
        with self.watch.step("resume"):
            await self.pause.end()

    async def write_pooler_files(self, primary_address: str, *, some_gone: bool = False) -> None:
        """Write the poolers' configuration with this primary; a reload puts it in force."""
        await write_pooler_files(
            self.docker,
            self.arg.cluster_id,
            self.arg.status.poolers,
            plan=self.arg.plan,
            primary_address=primary_address,
            master_key=self.clients.master_key,
            some_gone=some_gone,
        )

    async def route(self, *, direct: str | None, read_only: str | None) -> None:
        """Lead new direct and read-only connections to these addresses; None refuses them."""
        ports = tuple(pooler.port for pooler in self.arg.status.current_poolers)
        rules = Rules(pooler_ports=ports, direct=direct, read_only=read_only, gateway=self.network.gateway)
        session = await self._opening_rules
        await session.load(render_rules(rules))

    async def read_only_ports(self, node: Node) -> list[int]:
        """Return the client ports that *node* sees of open connections through the read-only address."""
        session = await self._opening_rules
        return await session.ports_at(node.address, READ_ONLY_PORT)

    async def _recorded(self) -> None:
        """Return when the new primary is on record, which it is before anybody writes to it."""
        if self._recording is None:  # an earlier run promoted it
            self._recording = asyncio.create_task(self._record())
        await self._recording

    async def _record(self) -> None:
        """Have the cluster record its new primary; its timeline follows with the report."""
        fact = PrimaryIs(name=self.new.name, since=self._began)
        cluster = self.clients.temporal.get_workflow_handle(cluster_workflow_id(self.arg.cluster_id))
        commit = Commit(operation_id=self.arg.operation_id, facts=(fact,))
        try:
            await asyncio.wait_for(cluster.signal("commit", commit), COMMIT_BOUND_S)
        except Exception as error:
            log.warning("the new primary is not on record yet", error=str(error) or type(error).__name__)

    async def until(
        self,
        query: LiteralString,
        met: Callable[[object], bool],
        bound_s: float,
        otherwise: MpgError,
        *,
        meanwhile: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        """Ask the replica *query* each millisecond until *met*. Raises *otherwise* after *bound_s* seconds.

        Where it is not met soon *meanwhile* is done on the replica, again and again.
        """
        loop = asyncio.get_running_loop()
        deadline, look = loop.time() + bound_s, loop.time() + HELD_UP_S
        while True:
            row = await (await self.replica.execute(query)).fetchone()
            if row is not None and met(row[0]):
                return
            if loop.time() > deadline:
                raise otherwise
            if meanwhile is not None and loop.time() > look:
                await meanwhile(self.replica)
                look = loop.time() + HELD_UP_S
            await asyncio.sleep(POLL_S)


async def until_ended(task: asyncio.Task[Any]) -> None:
    """Wait for the end of *task*, which no cancellation of the caller ends: the next try begins after this one."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])


def _parties(status: ClusterStatus, target: str) -> tuple[Node, Node, Endpoint, Network]:
    """Return the old primary, the new one, the endpoint and the network, or say that one is not on record."""
    new = status.node(target)
    old = next((node for node in status.nodes if node.name != target), None)
    if old is None or new is None or status.endpoint is None or status.network is None:
        raise MpgError("The cluster has no two nodes and an endpoint on record.")
    return old, new, status.endpoint, status.network


def no_answer(target: str, error: Exception) -> MpgError:
    """Return what it means that the target does not answer."""
    return unfit(f"Node {target} does not answer: {error}.")


def unfit(said: str) -> MpgError:
    """Return what it means that the target cannot take over: only a first try knows that nothing was promoted."""
    return ReplicaBehind(said) if is_first_try() else NotYet(said)


def is_first_try() -> bool:
    """Tell whether no other try of this takeover was before this one."""
    return not activity.in_activity() or activity.info().attempt == 1
