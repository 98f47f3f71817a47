"""From PAUSE to RESUME: the old primary ends cleanly, the replica has all of it and is promoted, clients go on.

One activity, because between these steps nobody may wait for a task queue. It may be run again from any point: it
looks how far the last run got. Until the promotion was asked for, a failure puts everything back and clients go on
with the old primary; after it there is only forward. Figures and what is not promised: docs/operations/switchover.md.
"""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Any, TypeVar

import psycopg
import structlog
from temporalio import activity

from activities.heartbeat import heartbeating
from activities.nodes.archiving import hold_archiver, release_archiver
from activities.nodes.control_file import ControlFile, locate
from activities.nodes.process import NodeProcess, open_process
from activities.postgres.sql import Connection
from activities.routing.pooler_pause import longest_transaction, open_transactions_end
from activities.takeover.handover import POLL_S, Clients, Handover, no_answer, until_ended
from activities.takeover_lock import TakeoverLocks
from model import effects
from model.effects import SwitchoverInput, SwitchoverReport, Target
from model.errors import NeedsOperator, NotYet, ReplicaBehind

log = structlog.get_logger()
T = TypeVar("T")

MOST_LAG_BYTES = 64 * 2**20
"""Above this a replica first catches up: what it lacks is replayed while clients wait."""
STREAMS_BOUND_S = 5.0
"""For a target that does not stream to do so, before anything is touched: its receiver tries again each 50 ms."""
STILL_STREAMS_BOUND_S = 0.5
STREAMS_POLL_S = 0.02
ANSWER_S = 2
"""For the target to take a connection, before anything is touched; it has just been seen in sync."""
READS_POLL_S = 0.02
SHUTDOWN_BOUND_S = 20.0
"""For the fast shutdown: it is short after two checkpoints; a slow archiver makes it longer."""
REPLAY_BOUND_S = 5.0
"""For the replica to replay the last WAL. Usually 2 ms."""
RESTART_BOUND_S = 60.0
SERVED_BOUND_S = 1.0
"""For the clients that were held to get a server connection each, and again to end a first transaction on it."""


class Stage(StrEnum):
    """How far a switchover got, read off the nodes."""

    READY = "ready"
    """The old primary runs and the target follows."""
    FENCED = "fenced"
    """The old primary ended cleanly, the target follows."""
    LOST = "lost"
    """The old primary ended, but not cleanly."""
    PROMOTED = "promoted"
    """The target takes writes."""


class SwitchoverActivities:
    """The effect ``switch_primary``."""

    def __init__(self, clients: Clients, locks: TakeoverLocks) -> None:
        """Work through *clients*, one takeover of a cluster at a time by *locks*."""
        self._clients = clients
        self._locks = locks

    @activity.defn(name=effects.SWITCH_PRIMARY.name)
    async def switch_primary(self, arg: SwitchoverInput) -> SwitchoverReport:
        """Make ``arg.target`` the primary.

        Raises:
            LongTransaction: a transaction outlived the bound on the pause; nothing was changed.
            ReplicaBehind: the target could not have taken over; nothing was changed.
            NotYet: a pooler does not answer, or another try has not ended; the next finds out how far they got.
            NeedsOperator: neither node can be brought back by itself.
        """
        async with heartbeating(), self._locks.held(arg.cluster_id), AsyncExitStack() as stack:
            await self._require_answer(arg)
            try:
                switchover = await Switchover.opened(stack, arg, self._clients)
            except psycopg.OperationalError as error:
                await self._require_answer(arg)
                raise NotYet(f"The poolers do not answer: {error}.") from error
            return await _to_its_end(switchover)

    async def _require_answer(self, arg: SwitchoverInput) -> None:
        """See, with little patience, that the target answers: nobody watches it now, and commits may wait for it."""
        node = arg.status.node(arg.target)
        target = Target(cluster_id=arg.cluster_id, address=node.address if node else "")
        try:
            await (await self._clients.sql.open(target, timeout_s=ANSWER_S)).close()
        except psycopg.OperationalError as error:
            raise no_answer(arg.target, error) from error


async def _to_its_end(switchover: "Switchover") -> SwitchoverReport:
    """Run it; a cancellation (the worker stops) ends it early only while nothing is fenced."""
    task = asyncio.create_task(switchover.run())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if switchover.can_turn_back:
            task.cancel()
        await until_ended(task)
        raise


class Switchover(Handover[SwitchoverInput]):
    """One run of a switchover."""

    can_turn_back = True
    """Whether a cancellation may still end it: not once promotion was asked for."""
    control: ControlFile

    async def run(self) -> SwitchoverReport:
        """Go from wherever the nodes are to the end."""
        self.control = await locate(self.docker, self.arg.cluster_id, self.old.name)
        if self.pause.unreached:
            raise NotYet(f"The consoles of {' and '.join(self.pause.unreached)} do not answer.")
        stage = await self._stage()
        log.info("switchover begins", stage=stage, primary=self.old.name, target=self.new.name)
        if stage is Stage.LOST:
            await self._back()
            raise ReplicaBehind("The primary did not end cleanly; it was started again.", remedy="Try again.")
        if stage is Stage.READY:
            await self._fence_and_promote()
        else:
            await self.write_pooler_files(self.new.address)
            if stage is Stage.FENCED:
                await self._reversibly(self._replay())
                await self._promote()
        await self.route_to_new()
        with self.watch.step("serve"):
            # What follows starts containers. Clients come first: each needs a new server process, and its first
            # transaction takes longest.
            await self.pause.served(SERVED_BOUND_S)
            await open_transactions_end(self.replica, self.endpoint.address, SERVED_BOUND_S)
        log.info("switchover ends", primary=self.new.name, paused_ms=self.pause.held_ms, steps_ms=self.watch.steps_ms)
        return SwitchoverReport(
            timeline=await self.timeline(), paused_ms=self.pause.held_ms, steps_ms=self.watch.steps_ms
        )

    async def _stage(self) -> Stage:
        if not await self.in_recovery():
            self.can_turn_back = False
            return Stage.PROMOTED
        container = await self.docker.inspect(self.old.container)
        if container is not None and container.running:
            return Stage.READY
        return Stage.FENCED if (await self.control.read()).shut_down else Stage.LOST

    # --- forward --------------------------------------------------------------------------------------------------

    async def _fence_and_promote(self) -> None:
        container = await self.docker.inspect(self.old.container)
        assert container is not None
        async with open_process(self.docker, container) as process:
            # A connection of its own: putting everything back has to find the kept one free.
            async with await self.sql.open(self.target_of(self.old)) as primary:
                await self.pause.end()  # a run before this one may have left it paused
                await self._require_streaming(primary, STREAMS_BOUND_S)
                await self._move_reads(primary)
                await self._prepare(primary)
                await self._reversibly(self._hold(primary))
            await self._reversibly(self._fence(process))
        await self._promote()

    async def _move_reads(self, primary: Connection) -> None:
        """End the read-only sessions on the old primary, each when it is idle: new ones are routed to the replica.

        They began while no replica was in sync. What outlives the bound ends with the old primary.
        """
        await self.route(direct=self.old.address, read_only=self.new.address)
        ports = await self.read_only_ports(self.old)
        deadline = time.monotonic() + effects.READS_END_S
        while ports and time.monotonic() < deadline:
            found = await primary.execute(
                "SELECT CASE state WHEN 'idle' THEN pg_terminate_backend(pid) END FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND client_addr = %s::inet AND client_port = ANY(%s)",
                (self.endpoint.address, ports),
            )
            if not found.rowcount:
                return
            await asyncio.sleep(READS_POLL_S)

    async def _prepare(self, primary: Connection) -> None:
        """Everything that can be done while clients work."""
        await self._require_streaming(primary, STILL_STREAMS_BOUND_S)  # reads may have taken their time
        with self.watch.step("checkpoint"):
            # The second is short and leaves next to nothing for the one that the shutdown makes.
            await primary.execute("CHECKPOINT")
            await primary.execute("CHECKPOINT")
        # A promoted node that waited for a standby that is not there would take no write.
        await self.replica.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await self.replica.execute("SELECT pg_reload_conf()")

    async def _require_streaming(self, primary: Connection, bound_s: float) -> None:
        """See that the target streams within *bound_s*: a try before this one may just have started the primary."""
        deadline = time.monotonic() + bound_s
        while True:
            row = await self._streaming(primary)
            if row is not None:
                break
            if time.monotonic() > deadline:
                raise ReplicaBehind(
                    f"Replica {self.new.name} does not stream from {self.old.name}; nothing was changed.",
                    remedy="Wait until 'mpg status' shows it in sync.",
                )
            await asyncio.sleep(STREAMS_POLL_S)
        if row[0] is not None and row[0] > MOST_LAG_BYTES:
            raise ReplicaBehind(
                f"Replica {self.new.name} is {row[0] // 2**20} MB behind; nothing was changed.",
                remedy="Try again when it has caught up.",
            )

    async def _streaming(self, primary: Connection) -> tuple[Any, ...] | None:
        """Return by how many bytes the target's replay is behind, if that is known; None when it does not stream."""
        cursor = await primary.execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint FROM pg_stat_replication"
            " WHERE application_name = %s AND state = 'streaming'",
            (self.new.name,),
        )
        return await cursor.fetchone()

    async def _hold(self, primary: Connection) -> None:
        """Hold pooled clients, and refuse new direct connections until the new primary is there."""
        with self.watch.step("archiver"):
            await hold_archiver(primary)
        await self.write_pooler_files(self.new.address)  # not loaded before the promotion
        await self.rules_ready()
        with self.watch.step("pause"):
            quiet, _ = await asyncio.gather(
                self.pause.begin(self.arg.max_pause_s), self.route(direct=None, read_only=self.new.address)
            )
        if not quiet:
            raise await longest_transaction(primary, self.endpoint.address, self.arg.max_pause_s)

    async def _fence(self, process: NodeProcess) -> None:
        """End the old primary, with proof, and wait until the replica has replayed all that it wrote."""
        with self.watch.step("shutdown"):
            await process.interrupt()
            await self._await_end(process)
        await self._replay()

    async def _await_end(self, process: NodeProcess) -> None:
        """Return at the first proof of the end: the process is gone, or its control file says "shut down".

        Either will do. The file says so once the last checkpoint is written, which is after every session ended; the
        process then still takes 20 to 40 ms to give its memory back. Raises ``TimeoutError``.
        """
        gone = asyncio.create_task(process.wait_end(SHUTDOWN_BOUND_S))
        try:
            while not gone.done() and not (self.control.at_hand and (await self.control.read()).shut_down):
                await asyncio.wait([gone], timeout=POLL_S if self.control.at_hand else None)
            if gone.done():
                gone.result()
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    async def _replay(self) -> None:
        with self.watch.step("replay"):
            ended = await self.control.read()
            if not ended.shut_down:
                raise ReplicaBehind(f"Node {self.old.name} did not end cleanly ({ended.state.name.lower()}).")
            # Replayed *past* the place at which the shutdown checkpoint's record begins: the record is replayed.
            lacks = f"Replica {self.new.name} lacks the last WAL of {self.old.name}; nothing was changed."
            await self.replayed_past(ended.checkpoint, REPLAY_BOUND_S, ReplicaBehind(lacks))

    async def _promote(self) -> None:
        # A promotion that was asked for may happen at any time: from here on there is only forward.
        self.can_turn_back = False
        await self.promote()

    # --- back -----------------------------------------------------------------------------------------------------

    async def _reversibly(self, step: Coroutine[Any, Any, T]) -> T:
        """Run *step*; when it fails or is cancelled put everything back, whatever happens meanwhile."""
        try:
            return await step
        except BaseException as error:
            log.warning("switchover turns back", error=str(error) or type(error).__name__)
            back = asyncio.create_task(self._back())
            await until_ended(back)
            back.result()
            raise

    async def _back(self) -> None:
        """The old primary runs and takes writes, and clients go on with it."""
        await self._start_old()
        await self.write_pooler_files(self.old.address)
        await self.pause.reload()
        await self.pause.end()
        await self.route(direct=self.old.address, read_only=self.new.address)
        async with self.sql.use(self.target_of(self.old)) as primary:
            await release_archiver(primary)

    async def _start_old(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RESTART_BOUND_S
        while True:
            # Each time: a shutdown that took longer than its bound may still be on its way.
            await self.docker.start(self.old.container)
            try:
                async with self.sql.use(self.target_of(self.old)):
                    return
            except psycopg.OperationalError as error:
                if loop.time() > deadline:
                    raise NeedsOperator(
                        f"Node {self.old.name} was stopped for a switchover and does not come back: {error}.",
                        remedy=f"See 'docker logs {self.old.container}'.",
                    ) from error
            await asyncio.sleep(0.02)
