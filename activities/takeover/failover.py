"""The primary is lost: fence it with proof, promote the replica once it has replayed all it received, route on.

Clients are held from the first moment, so that they wait rather than fail. The activity may be run again from any
point. What no fence can prove is written in docs/operations/failover.md.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import LiteralString

import psycopg
import structlog
from temporalio import activity

from activities.heartbeat import heartbeating
from activities.nodes.held_replay import end_reads_in_the_way
from activities.nodes.process import fence
from activities.postgres.sql import outcome_of
from activities.routing.health import broken_way_in
from activities.takeover.handover import Clients, Handover, is_first_try, no_answer, unfit, until_ended
from activities.takeover_lock import TakeoverLocks
from model import effects
from model.cluster import PoolerPhase
from model.effects import FailoverInput, FailoverReport
from model.errors import MpgError, NotYet
from model.probing import Outcome

log = structlog.get_logger()

AT_THE_END_S = 0.05
"""For how long a replica has to wait for WAL that nobody sends any more, before it counts as having replayed all: it
may just have been told of the last of it."""
_REPLAYED, _WAITS = "replayed", "waits"
_REPLAY: LiteralString = """
SELECT CASE WHEN coalesce(pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn(), true) THEN 'replayed'
            WHEN EXISTS (SELECT FROM pg_stat_get_wal_receiver() WHERE status = 'streaming') THEN 'receives'
            ELSE (SELECT CASE WHEN wait_event IN ('RecoveryWalStream', 'RecoveryRetrieveRetryInterval') THEN 'waits' END
                  FROM pg_stat_activity WHERE backend_type = 'startup') END"""
"""Whether the replica has replayed all; else whether it waits for more WAL, of which it has no whole record left."""
REPLAY_BOUND_S = 300.0
LONG_S, SHORT_S = 10.0, 0.5
"""How long the target may start, or let nobody in: in the first try, after which the lost primary is started in place,
and in later ones, after which the operation has 20 tries in all."""
LET_IN_POLL_S = 0.1
LET_IN_ANSWER_S = 2
ROUTE_BOUND_S = 5.0
"""For the rules: a command in an endpoint that just ends can be without an answer for a minute."""

_SAYS_NOTHING_AGAINST = frozenset({Outcome.REFUSED, Outcome.STARTING, Outcome.OUR_SIDE})


class FailoverActivities:
    """The effect ``fail_over``."""

    def __init__(self, clients: Clients, locks: TakeoverLocks) -> None:
        """Work through *clients*, one takeover of a cluster at a time by *locks*."""
        self._clients = clients
        self._locks = locks

    @activity.defn(name=effects.FAIL_OVER.name)
    async def fail_over(self, arg: FailoverInput) -> FailoverReport:
        """Fence the other node and make ``arg.target`` the primary.

        Raises:
            NotYet: the lost primary's end could not be proven, the target did not come that far, our own side failed,
                or another try has not ended; clients go on waiting for the next, which finds out how far this one got.
            ReplicaBehind: the target does not answer, has said for 10 s that it starts or lets nobody in, or its disk
                is full; nothing was promoted.
        """
        async with heartbeating(), self._locks.held(arg.cluster_id):
            async with AsyncExitStack() as stack:
                try:
                    failover = await Failover.opened(stack, arg, self._clients)
                except psycopg.OperationalError as error:
                    refused = error
                else:
                    return await _to_its_end(failover)
            await self._until_let_in(Failover(arg, self._clients), refused)
            async with AsyncExitStack() as stack:
                try:
                    failover = await Failover.opened(stack, arg, self._clients)
                except psycopg.OperationalError as error:
                    raise no_answer(arg.target, error) from error
                return await _to_its_end(failover)

    async def _until_let_in(self, failover: "Failover", error: psycopg.OperationalError) -> None:
        """Return when the target takes a connection, where it starts or refuses: then it lives. See :meth:`fail_over`.

        The lost primary is fenced before the target is waited for. It may come to, and nobody would look again at
        what it then acknowledges alone.
        """
        target = failover.target_of(failover.new)
        patience = Patience(failover.new.name, time.monotonic() + (LONG_S if is_first_try() else SHORT_S))
        fenced = False
        while True:
            patience.after(error, time.monotonic())
            if not fenced and outcome_of(error) is not Outcome.OUR_SIDE:
                await fence(self._clients.docker, failover.old.container)
                fenced = True
            await asyncio.sleep(LET_IN_POLL_S)
            try:
                await (await self._clients.sql.open(target, timeout_s=LET_IN_ANSWER_S)).close()
            except psycopg.OperationalError as again:
                error = again
            else:
                return


@dataclass
class Patience:
    """With the target, until ``deadline`` (monotonic, in seconds). In a crash restart one login may just be cut."""

    target: str
    deadline: float
    _silent: bool = True

    def after(self, error: psycopg.OperationalError, now: float) -> None:
        """Return if the target is to be asked again, of which asking came to *error*.

        Raises:
            ReplicaBehind: it is silent, at once or twice in a row; or it says for too long that it starts or refuses.
            NotYet: our own side fails for too long, which says nothing of the target.
        """
        outcome = outcome_of(error)
        silent = outcome not in _SAYS_NOTHING_AGAINST
        if silent and self._silent:
            raise no_answer(self.target, error) from error
        self._silent = silent
        if now > self.deadline and outcome is Outcome.OUR_SIDE:
            raise NotYet(f"Node {self.target} could not be asked: {error}.") from error
        if now > self.deadline:
            raise no_answer(self.target, error) from error
        log.warning("the node that is to take over is asked again", target=self.target, what=outcome, why=str(error))


async def _to_its_end(failover: "Failover") -> FailoverReport:
    task = asyncio.create_task(failover.run())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # Half a failover is no cluster: the worker may stop, but not between fence and repoint.
        await until_ended(task)
        raise


class Failover(Handover[FailoverInput]):
    """One run of a failover."""

    async def run(self) -> FailoverReport:
        """Go from wherever the nodes are to the end."""
        log.warning("failover begins", lost=self.old.name, target=self.new.name)
        try:
            await self._take_over()
            await self.route_pooled_to_new()
            whole = await self._route_direct()
        except BaseException:
            # Nobody may be held for longer than somebody works on it.
            await self.pause.end()
            raise
        # pg_rewind compares with the last checkpoint: without one on the new timeline it sees nothing to do.
        await self.replica.execute("CHECKPOINT")
        log.warning("failover ends", primary=self.new.name, held_ms=self.pause.held_ms, steps_ms=self.watch.steps_ms)
        return FailoverReport(
            timeline=await self.timeline(),
            held_ms=self.pause.held_ms,
            steps_ms=self.watch.steps_ms,
            way_in_whole=whole,
        )

    async def _route_direct(self) -> bool:
        """Lead direct connections on, if the endpoint is there; tell whether it and every pooler are."""
        try:
            async with asyncio.timeout(ROUTE_BOUND_S):
                await self.route(direct=self.new.address, read_only=self.new.address)
        except (MpgError, TimeoutError) as error:
            log.warning("the endpoint was lost too", error=str(error) or type(error).__name__)
            return False
        poolers = tuple(each for each in self.arg.status.poolers if each.phase is not PoolerPhase.STOPPED)
        return await broken_way_in(self.docker, self.endpoint, poolers) is None

    async def _take_over(self) -> None:
        if not await self.in_recovery():
            await self.write_pooler_files(self.new.address, some_gone=True)
            return
        with self.watch.step("pause"):
            await self.pause.begin(0)
        writing = asyncio.create_task(self.write_pooler_files(self.new.address, some_gone=True))
        with self.watch.step("fence"):
            await fence(self.docker, self.old.container)
        try:
            await self.replica.execute("ALTER SYSTEM RESET synchronous_standby_names")
        except psycopg.errors.DiskFull as error:
            raise unfit(f"The disk of node {self.new.name} is full: {error}.") from error
        with self.watch.step("replay"):
            await self._replay_received()
        await self.promote()
        with self.watch.step("poolers' files"):
            await writing

    async def _replay_received(self) -> None:
        """Wait until the replica has replayed all that it received: the acknowledged commits among it.

        What it received may end within a record, which a primary that was killed had not written out whole. Nothing in
        it was acknowledged, and nobody will ever replay it.
        """
        at_the_end_since: float | None = None

        def done(seen: object) -> bool:
            nonlocal at_the_end_since
            if seen != _WAITS:
                at_the_end_since = None
                return seen == _REPLAYED
            now = asyncio.get_running_loop().time()
            at_the_end_since = at_the_end_since or now
            return now - at_the_end_since > AT_THE_END_S

        await self.until(
            _REPLAY,
            done,
            REPLAY_BOUND_S,
            NotYet(f"Replica {self.new.name} did not replay all it received within {REPLAY_BOUND_S:g} s."),
            meanwhile=end_reads_in_the_way,
        )
