"""Watching one node: that its process lives, and that it answers. What its probes mean is in model/probing.py."""

import asyncio
import itertools
from dataclasses import dataclass, replace
from typing import LiteralString

import psycopg
import structlog

from activities.engine.docker_engine import DockerEngine
from activities.nodes.process import NodeProcess, open_process
from activities.postgres.sql import Connection, SqlSessions, bounded, outcome_of
from activities.watching.sync_watch import READ_STANDBY, SyncWatch
from model.cluster import Node, NodeRole
from model.effects import Target
from model.names import POSTGRES_PORT
from model.probing import Judgement, Outcome, Probed

log = structlog.get_logger()

PROBE_EVERY_S = 0.5
PROBE_TIMEOUT_S = 2
"""With two probes that count before a node that runs is lost: about 5 s in all."""
FRESH_EVERY = 4
"""One probe in so many is made on a new connection: a postmaster can hang while its backends still answer."""
REAPPEAR_S = 0.25
SAY_EVERY_S = 60.0
"""How often it is logged that a node still refuses, or starts."""
_PROBE: LiteralString = " ".join(("SELECT", READ_STANDBY, "FROM pg_catalog.pg_control_checkpoint()"))
"""Reads the control file, by its path: a data directory that was removed answers other queries from memory for long."""


@dataclass(frozen=True)
class NodeLost:
    """A node that was there is not any more. ``how`` is for people."""

    name: str
    how: str


class NodeWatch:
    """Follows one node's container through its lives."""

    def __init__(
        self,
        docker: DockerEngine,
        sql: SqlSessions,
        node: Node,
        cluster_id: str,
        sync: SyncWatch,
    ) -> None:
        """Watch *node* of a cluster; tell *sync* what it says of its standby, where it is the primary."""
        self._docker = docker
        self._sql = sql
        self._name = node.name
        self._container = node.container
        self._target = Target.of(cluster_id, node)
        self._sync = sync
        self._standby = node.role is NodeRole.REPLICA
        """On record at first; then as the node said last."""
        self._kept: Connection | None = None
        self._said: dict[Outcome, float] = {}
        """When it was logged last that a probe came to this."""

    async def until_lost(self) -> NodeLost:
        """Return when the node's process has ended or does not answer any more; at once if it does not run."""
        found = await self._docker.inspect(self._container)
        if found is None or not found.running:
            return NodeLost(self._name, "its container does not run")
        async with open_process(self._docker, found) as process:
            ended = asyncio.create_task(process.wait_end(None))
            silent = asyncio.create_task(self._until_silent(process))
            try:
                await asyncio.wait((ended, silent), return_when=asyncio.FIRST_COMPLETED)
                if not ended.done():
                    return NodeLost(self._name, silent.result())
                ended.result()
                return NodeLost(self._name, "its process ended")
            finally:
                for task in (ended, silent):
                    task.cancel()
                await asyncio.gather(ended, silent, return_exceptions=True)

    async def until_back(self) -> None:
        """Return when the node's container runs and Postgres in it answers."""
        while True:
            found = await self._docker.inspect(self._container)
            if found is not None and found.running and await self._answers():
                return
            await asyncio.sleep(REAPPEAR_S)

    async def _until_silent(self, process: NodeProcess) -> str:
        """Return how the node is lost although its process lives."""
        judgement = Judgement(began=_now())
        again = False
        try:
            for count in itertools.count():
                new = again or self._kept is None or count % FRESH_EVERY == 0
                probe = await (self._probe_anew(process) if new else self._probe_kept())
                judgement = judgement.after(replace(probe, standby=self._standby), _now())
                if judgement.lost:
                    break
                again = new and judgement.misses > 0
                self._tell(probe)
                await asyncio.sleep(PROBE_EVERY_S)
        finally:
            await self._keep(None)
        return judgement.lost

    async def _answers(self) -> bool:
        try:
            async with await self._sql.open(self._target, timeout_s=PROBE_TIMEOUT_S) as connection:
                return (await self._ask(connection)).outcome is Outcome.ANSWERED
        except (psycopg.Error, OSError):
            return False

    async def _probe_kept(self) -> Probed:
        assert self._kept is not None
        begun = _now()
        probe = await self._ask(self._kept)
        if self._kept.closed and probe.outcome in {Outcome.SILENT, Outcome.CLOSED}:
            # Its end alone says nothing; that it had to be cut does.
            in_time = _now() - begun < PROBE_TIMEOUT_S
            probe = replace(probe, outcome=Outcome.CUT if in_time else Outcome.SILENT)
        if self._kept.closed:
            await self._keep(None)
        return probe

    async def _probe_anew(self, process: NodeProcess) -> Probed:
        """Ask over a new connection, which takes the place of the kept one once it has answered."""
        turns = process.turns()
        try:
            connection = await self._sql.open(self._target, timeout_s=PROBE_TIMEOUT_S)
        except (psycopg.Error, OSError) as error:
            probe = Probed(outcome_of(error), _words(error))
        else:
            try:
                probe = await self._ask(connection)
                if probe.outcome is Outcome.ANSWERED:
                    await self._keep(connection)
            finally:
                if self._kept is not connection:
                    await connection.close()
        if probe.outcome is Outcome.ENDING:
            # A session that is kept would go on to answer, and with it a shutdown that waits for sessions never ends.
            await self._keep(None)
        if probe.outcome is not Outcome.SILENT:
            return probe
        # Our own, which was given up, stays in the queue until it is taken: others have to be there too.
        queued = turns is not None and process.turns() != turns and process.queue(POSTGRES_PORT) > 1
        return replace(probe, queued=queued)

    async def _ask(self, connection: Connection) -> Probed:
        try:
            async with bounded(connection, PROBE_TIMEOUT_S):
                row = await (await connection.execute(_PROBE)).fetchone()
        except (psycopg.Error, OSError) as error:
            return Probed(outcome_of(error), _words(error))
        assert row is not None, "of one control file"
        written, waits_for, seen = row
        self._standby = written is None
        if not self._standby:
            self._sync.primary = self._name
            self._sync.look(written, waits_for, seen, _now())
        return Probed(Outcome.ANSWERED)

    async def _keep(self, connection: Connection | None) -> None:
        former, self._kept = self._kept, connection
        if former is not None:
            await former.close()

    def _tell(self, probe: Probed) -> None:
        now = _now()
        if probe.outcome is Outcome.ANSWERED or now - self._said.get(probe.outcome, -SAY_EVERY_S) < SAY_EVERY_S:
            return
        self._said[probe.outcome] = now
        cluster = self._target.cluster_id
        log.warning("a probe was not answered", cluster=cluster, node=self._name, what=probe.outcome, why=probe.why)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _words(error: Exception) -> str:
    return " ".join(str(error).split())
