"""The primary is lost: fence it with proof, promote the replica once it has replayed all it received, route on.

Clients are held from the first moment, so that they wait rather than fail. The activity may be run again from any
point. What no fence can prove is written in docs/operations/failover.md.
"""

import asyncio
import time
from contextlib import AsyncExitStack

import psycopg
import structlog
from temporalio import activity

from activities.heartbeat import heartbeating
from activities.nodes.held_replay import end_reads_in_the_way
from activities.nodes.process import fence
from activities.postgres.sql import outcome_of
from activities.routing.health import broken_way_in
from activities.takeover.handover import Clients, Handover, no_answer, unfit, until_ended
from activities.takeover_lock import TakeoverLocks
from model import effects
from model.cluster import PoolerPhase
from model.effects import FailoverInput, FailoverReport
from model.errors import MpgError, NotYet
from model.probing import Outcome

log = structlog.get_logger()

REPLAY_BOUND_S = 300.0
SPEAKS_BOUND_S = 10.0
"""How long the target may say that it starts or lets nobody in. After that the lost primary is started in place."""
SPEAKS_POLL_S = 0.1
ROUTE_BOUND_S = 5.0
"""For the rules: a command in an endpoint that just ends can be without an answer for a minute."""

_SAYS_NO_NOW = frozenset({Outcome.REFUSED, Outcome.STARTING})


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
            deadline = time.monotonic() + SPEAKS_BOUND_S
            while True:
                async with AsyncExitStack() as stack:
                    try:
                        failover = await Failover.opened(stack, arg, self._clients)
                    except psycopg.OperationalError as error:
                        require_refusal(arg.target, error, in_time=time.monotonic() < deadline)
                    else:
                        return await _to_its_end(failover)
                await asyncio.sleep(SPEAKS_POLL_S)


def require_refusal(target: str, error: psycopg.OperationalError, *, in_time: bool) -> None:
    """Return where the target only said that it starts or lets nobody in now: it lives, and is asked again *in_time*.

    Raises:
        NotYet: our own side failed, which says nothing of the target.
        ReplicaBehind: it does not answer, or says so for too long.
    """
    outcome = outcome_of(error)
    if outcome is Outcome.OUR_SIDE:
        raise NotYet(f"Node {target} could not be asked: {error}.") from error
    if outcome not in _SAYS_NO_NOW or not in_time:
        raise no_answer(target, error) from error
    log.warning("the node that is to take over does not let us in yet", target=target, what=outcome, why=str(error))


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
        """Wait until the replica has replayed all that it received: the acknowledged commits among it."""
        await self.until(
            "SELECT coalesce(pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn(), true)",
            lambda done: done is True,
            REPLAY_BOUND_S,
            NotYet(f"Replica {self.new.name} did not replay all it received within {REPLAY_BOUND_S:g} s."),
            meanwhile=end_reads_in_the_way,
        )
