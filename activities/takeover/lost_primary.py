"""What a failover that gives commits up has to know: that the primary is lost, and what the standby has."""

from datetime import datetime
from typing import LiteralString

import psycopg
from temporalio import activity

from activities.engine.docker_engine import DockerEngine
from activities.heartbeat import heartbeating
from activities.nodes.control_file import ControlFile
from activities.nodes.state import read_state
from activities.postgres.sql import SqlSessions, bounded, outcome_of
from model import effects
from model.effects import LostPrimary, PositionInput, RequireLostInput, StandbyPosition, Target
from model.errors import MpgError, NotYet, Refused, ReplicaBehind
from model.pg_control import format_lsn
from model.probing import SPEAKS, Outcome

ASK_TIMEOUT_S = 5
_SERVES: LiteralString = "SELECT NOT pg_is_in_recovery() FROM pg_control_checkpoint()"
"""Fails where the data directory is gone, which a node that answers from memory would not tell."""
_POSITION: LiteralString = """
SELECT CASE WHEN pg_is_in_recovery()
            THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
            ELSE pg_current_wal_lsn()
       END::text,
       pg_last_xact_replay_timestamp()
"""


class LostPrimaryActivities:
    """The effects ``require_lost`` and ``read_position``."""

    def __init__(self, docker: DockerEngine, sql: SqlSessions) -> None:
        """Look through *docker* and *sql*."""
        self._docker = docker
        self._sql = sql

    @activity.defn(name=effects.REQUIRE_LOST.name)
    async def require_lost(self, arg: RequireLostInput) -> LostPrimary:
        """Return what is left of a primary that does not serve.

        Raises:
            Refused: it serves, or Postgres itself said that it does not yet, or lets nobody in now.
            NotYet: our own side failed, so nothing is known of it.
        """
        async with heartbeating():
            if await self._serves(arg.node.name, Target.of(arg.cluster_id, arg.node)):
                raise Refused(
                    f"Node {arg.node.name} answers and takes writes: it is not lost, and nothing was changed.",
                    remedy="Ask for any other operation, and the cluster puts itself back in service.",
                )
            try:
                control = await ControlFile(self._docker, arg.cluster_id, arg.node.name, None).read()
            except (MpgError, ValueError):
                return LostPrimary()
            return LostPrimary(checkpoint=format_lsn(control.checkpoint), timeline=control.timeline)

    @activity.defn(name=effects.READ_POSITION.name)
    async def read_position(self, arg: PositionInput) -> StandbyPosition:
        """Return up to where a standby has WAL. Raises :class:`ReplicaBehind` when it does not answer."""
        target = Target.of(arg.cluster_id, arg.node)
        async with heartbeating():
            try:
                async with self._sql.use(target) as connection:
                    state = await read_state(connection)
                    row = await (await connection.execute(_POSITION)).fetchone()
            except psycopg.Error as error:
                raise ReplicaBehind(f"Node {arg.node.name} does not answer: {error}; nothing was promoted.") from error
        assert row is not None
        lsn, last_commit_at = row
        assert last_commit_at is None or isinstance(last_commit_at, datetime)
        return StandbyPosition(lsn=lsn, timeline=state.timeline, last_commit_at=last_commit_at)

    async def _serves(self, name: str, target: Target) -> bool:
        try:
            connection = await self._sql.open(target, timeout_s=ASK_TIMEOUT_S)
            async with connection, bounded(connection, ASK_TIMEOUT_S):
                row = await (await connection.execute(_SERVES)).fetchone()
        except (psycopg.Error, OSError) as error:
            outcome = outcome_of(error)
            if outcome is Outcome.OUR_SIDE:
                raise NotYet(f"Whether node {name} is lost could not be seen: {error}.") from error
            if outcome in SPEAKS:
                raise Refused(
                    f"Node {name} is not known to be lost, and nothing was changed. It says: {error}.",
                    remedy="Wait until it serves. To give it up all the same, end its container with 'docker kill'.",
                ) from error
            return False
        return bool(row and row[0])
