"""A PgBouncer's admin console over a persistent connection."""

import asyncio
import contextlib
import time
from typing import Any, LiteralString, Self

import psycopg
from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.rows import DictRow, dict_row

from activities.postgres.sql import cut
from model.base import Record
from model.errors import NotYet
from model.secrets import derive_password

CONSOLE_USER = "mpg_admin"
"""Known to PgBouncer only; there is no such role in Postgres."""
CONSOLE_DATABASE = "pgbouncer"
CONNECT_TIMEOUT_S = 3


class Client(Record):
    """A row of SHOW CLIENTS: a connected client."""

    database: str
    user: str
    state: str
    addr: str
    port: int


class Pool(Record):
    """A row of SHOW POOLS: the clients and servers of one user in one database.

    ``maxwait`` and ``maxwait_us`` say for how long the client at the head of the queue waits, seconds and the rest.
    """

    database: str
    user: str
    cl_active: int
    cl_waiting: int
    sv_active: int
    sv_idle: int
    sv_used: int
    sv_tested: int
    sv_login: int
    maxwait: int
    maxwait_us: int

    @property
    def longest_wait_s(self) -> float:
        """For how long a client waits that has waited longest, in seconds."""
        return self.maxwait + self.maxwait_us / 1e6


class Console:
    """One PgBouncer's console, for one caller at a time. :meth:`open` it, and :meth:`close` it in the end.

    A pause that is to be given up needs nothing else: cancelling :meth:`pause` resumes. Methods raise
    ``psycopg.Error`` when the connection broke or PgBouncer refused.
    """

    def __init__(self, connection: AsyncConnection[DictRow]) -> None:
        """Take over *connection*; callers use :meth:`open`."""
        self._connection = connection

    @classmethod
    async def open(cls, address: str, port: int, *, master_key: bytes, cluster_id: str) -> Self:
        """Connect to the PgBouncer on *port* of the endpoint's *address*. Raises ``psycopg.OperationalError``."""
        connection = await AsyncConnection[DictRow].connect(
            host=address,
            port=port,
            user=CONSOLE_USER,
            password=derive_password(master_key, cluster_id, CONSOLE_USER),
            dbname=CONSOLE_DATABASE,
            connect_timeout=CONNECT_TIMEOUT_S,
            # It never leaves the host: encrypted only where the pooler takes nothing else.
            sslmode="allow",
            autocommit=True,
            # The console speaks the simple query protocol only.
            prepare_threshold=None,
            cursor_factory=AsyncClientCursor[Any],
            row_factory=dict_row,
        )
        return cls(connection)

    @classmethod
    async def wait_until_answers(
        cls, address: str, port: int, *, master_key: bytes, cluster_id: str, timeout_s: float = 10
    ) -> Self:
        """Return the console as soon as it lets us in, asking every 20 ms.

        Raises:
            NotYet: it did not within *timeout_s* seconds.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return await cls.open(address, port, master_key=master_key, cluster_id=cluster_id)
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    said = str(error).strip().splitlines()[-1]
                    raise NotYet(f"PgBouncer on {address}:{port} did not answer in {timeout_s:g} s: {said}.") from None
            await asyncio.sleep(0.02)

    async def pause(self) -> None:
        """Hold every client until :meth:`resume`; return when nothing is in flight.

        That is no transaction, or in session mode no session. Cancelling it un-pauses, and ends this connection.
        Paused already: nothing happens.
        """
        waiting = asyncio.create_task(self._unless("PAUSE", "already suspended/paused"))
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError:
            await self._give_up(waiting)
            raise

    async def resume(self) -> None:
        """Let clients go on. Nothing happens when it is not paused."""
        await self._unless("RESUME", "not paused/suspended")

    async def reload(self) -> None:
        """Read the configuration files again."""
        await self._connection.execute("RELOAD")

    async def is_paused(self) -> bool:
        """Tell whether a pause is under way or complete."""
        return any(row["key"] == "paused" and row["value"] == "yes" for row in await self._rows("SHOW STATE"))

    async def show_clients(self) -> list[Client]:
        """Return the connected clients, consoles left out."""
        clients = [Client.model_validate(row) for row in await self._rows("SHOW CLIENTS")]
        return [client for client in clients if client.database != CONSOLE_DATABASE]

    async def longest_wait_s(self) -> float:
        """Return for how long the client has waited, in seconds, that has waited longest for a server connection."""
        return max((pool.longest_wait_s for pool in await self._pools()), default=0.0)

    async def show_pools(self) -> list[Pool]:
        """Return the pools, the console's left out."""
        return [pool for pool in await self._pools() if pool.database != CONSOLE_DATABASE]

    def abandon(self) -> None:
        """Drop the connection as it is. A pause that was asked for goes on, which giving it up would end."""
        cut(self._connection)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def _give_up(self, waiting: asyncio.Task[None]) -> None:
        """End a PAUSE that waits. A cancel request resumes, a lost connection does not; neither answers the PAUSE."""
        with contextlib.suppress(psycopg.Error):
            await self._connection.cancel_safe(timeout=CONNECT_TIMEOUT_S)
        # Left to itself, psycopg waits 5 s for an answer that PgBouncer never gives. Were the socket closed under it,
        # its number could be a new connection's when psycopg lets go of it.
        cut(self._connection)
        await asyncio.gather(waiting, return_exceptions=True)

    async def _pools(self) -> list[Pool]:
        return [Pool.model_validate(row) for row in await self._rows("SHOW POOLS")]

    async def _rows(self, command: LiteralString) -> list[DictRow]:
        return await (await self._connection.execute(command)).fetchall()

    async def _unless(self, command: LiteralString, done_already: str) -> None:
        try:
            await self._connection.execute(command)
        except psycopg.Error as error:
            if done_already not in str(error):
                raise
