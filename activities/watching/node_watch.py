"""Watching one node: that its process lives, and that it answers."""

import asyncio
import itertools
from dataclasses import dataclass
from typing import LiteralString

import psycopg

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerInfo
from activities.nodes.process import open_process
from activities.postgres.sql import Connection, SqlSessions, bounded
from model.effects import Target

PROBE_EVERY_S = 0.5
PROBE_TIMEOUT_S = 2
SILENT_PROBES = 2
"""Probes in a row without an answer before a node that runs counts as hung: about 5 s in all."""
FRESH_EVERY = 4
"""One probe in so many is made on a new connection: a postmaster can hang while its backends still answer."""
STARTUP_S = 60.0
"""How long a container that just started may take to answer before it counts as hung."""
REAPPEAR_S = 0.25
_PROBE: LiteralString = "SELECT checkpoint_lsn FROM pg_catalog.pg_control_checkpoint()"
"""Reads the control file, by its path: a data directory that was removed answers other queries from memory for long."""
_DAMAGE = (psycopg.errors.UndefinedFile, psycopg.errors.IoError, psycopg.errors.DataCorrupted)


@dataclass(frozen=True)
class NodeLost:
    """A node that was there is not any more. ``how`` is for people."""

    name: str
    how: str


class NodeWatch:
    """Follows one node's container through its lives."""

    def __init__(self, docker: DockerEngine, sql: SqlSessions, name: str, container: str, target: Target) -> None:
        """Watch the node *name* in *container*, asking it at *target*."""
        self._docker = docker
        self._sql = sql
        self._name = name
        self._container = container
        self._target = target
        self._damage = ""
        """What probes said of the node's files since one was answered."""

    async def until_lost(self) -> NodeLost:
        """Return when the node's process has ended or does not answer any more; at once if it does not run."""
        found = await self._docker.inspect(self._container)
        if found is None or not found.running:
            return NodeLost(self._name, "its container does not run")
        ended = asyncio.create_task(self._ended(found))
        silent = asyncio.create_task(self._silent())
        try:
            await asyncio.wait((ended, silent), return_when=asyncio.FIRST_COMPLETED)
            return (ended if ended.done() else silent).result()
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

    async def _ended(self, found: ContainerInfo) -> NodeLost:
        async with open_process(self._docker, found) as process:
            await process.wait_end(None)
        return NodeLost(self._name, "its process ended")

    async def _silent(self) -> NodeLost:
        missed = 0
        started = asyncio.get_running_loop().time()
        answered = False
        connection: Connection | None = None
        try:
            for count in itertools.count():
                if missed >= SILENT_PROBES:
                    break
                if connection is not None and count % FRESH_EVERY == 0:
                    await connection.close()
                    connection = None
                connection = await self._probe(connection)
                answered = answered or connection is not None
                # A node that replays WAL after a crash says so for as long as that takes.
                patience = not answered and asyncio.get_running_loop().time() - started < STARTUP_S
                missed = 0 if connection is not None or patience else missed + 1
                await asyncio.sleep(PROBE_EVERY_S)
        finally:
            if connection is not None:
                await connection.close()
        if self._damage:
            return NodeLost(self._name, f"its data directory is damaged: {self._damage}")
        return NodeLost(self._name, f"it did not answer {SILENT_PROBES} times, {PROBE_TIMEOUT_S} s each")

    async def _answers(self) -> bool:
        connection = await self._probe(None)
        if connection is not None:
            await connection.close()
        return connection is not None

    async def _probe(self, connection: Connection | None) -> Connection | None:
        """Ask through *connection*, or a new one; return the connection that answered, or None."""
        try:
            if connection is None:
                connection = await self._sql.open(self._target, timeout_s=PROBE_TIMEOUT_S)
            async with bounded(connection, PROBE_TIMEOUT_S):
                await connection.execute(_PROBE)
        except psycopg.Error as error:
            if isinstance(error, _DAMAGE):
                self._damage = str(error).strip()
            if connection is not None:
                await connection.close()
            return None
        self._damage = ""
        return connection
