"""Connections to nodes: one persistent admin connection per node, made again when it broke, and users' for one use."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from activities.postgres.traced_cursor import TracedCursor
from model.cluster import User
from model.effects import Target
from model.names import POSTGRES_PORT, SUPERUSER
from model.probing import Outcome, classify
from model.secrets import derive_password

CONNECT_TIMEOUT_S = 5
ALIVE_TIMEOUT_S = 2.0
"""For a kept connection to show that its node still answers."""
CANCEL_PATIENCE_S = 2.0
APPLICATION_NAME = "mpg"

_WRITES = " -c default_transaction_read_only=off"

Connection = AsyncConnection[TupleRow]


class SqlSessions:
    """Gives out autocommit connections as the platform's superuser.

    The connection to a node's ``postgres`` database is kept and used by one caller at a time: a new one costs a
    process in Postgres and a SCRAM exchange, about 10 ms. Connections to other databases are made for one use.
    """

    def __init__(self, master_key: bytes, *, local_commits: bool = False) -> None:
        """Derive passwords from *master_key*.

        With *local_commits* a commit waits for the node's own disk only: for work that must not hang where a
        synchronous standby is away.
        """
        self._master_key = master_key
        self._options = "-c search_path=pg_catalog" + (" -c synchronous_commit=local" if local_commits else "")
        self._kept: dict[str, Connection] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def open(
        self,
        target: Target,
        dbname: str = "postgres",
        *,
        timeout_s: int = CONNECT_TIMEOUT_S,
        application_name: str = APPLICATION_NAME,
        as_clients: bool = False,
    ) -> Connection:
        """Return a new connection that the caller closes. Raises ``psycopg.OperationalError``.

        It writes to a cluster that is read-only because its storage is full; *as_clients* it is read-only as theirs.
        """
        return await psycopg.AsyncConnection.connect(
            host=target.address,
            port=POSTGRES_PORT,
            user=SUPERUSER,
            password=derive_password(self._master_key, target.cluster_id, SUPERUSER),
            dbname=dbname,
            application_name=application_name,
            connect_timeout=timeout_s,
            # From the host over its own bridge: nothing leaves it.
            sslmode="disable",
            # Users own schemas in their databases: nothing of theirs may be found by an unqualified name.
            options=self._options + ("" if as_clients else _WRITES),
            autocommit=True,
            cursor_factory=TracedCursor,
        )

    async def open_as(self, target: Target, dbname: str, user: User, *, options: str) -> Connection:
        """Return a new connection as a *user* of the cluster, with what it set for itself, that the caller closes.

        It begins transactions by itself. *options* are settings, which go over the user's own. Raises
        ``psycopg.OperationalError``.
        """
        return await psycopg.AsyncConnection.connect(
            host=target.address,
            port=POSTGRES_PORT,
            user=user.name,
            password=derive_password(self._master_key, target.cluster_id, user.name, user.password_version),
            dbname=dbname,
            application_name=APPLICATION_NAME,
            client_encoding="UTF8",
            connect_timeout=CONNECT_TIMEOUT_S,
            sslmode="disable",
            options=options,
            cursor_factory=TracedCursor,
        )

    @asynccontextmanager
    async def use(self, target: Target, dbname: str = "postgres", *, fresh: bool = False) -> AsyncGenerator[Connection]:
        """Lend a connection: the kept one for ``postgres``, a fresh one for other databases, or where it must not wait.

        Who has the kept one may wait in a commit for a standby that is away.

        Raises ``psycopg.OperationalError`` when the node does not answer. A kept connection that broke meanwhile is
        replaced before it is lent.
        """
        if fresh or dbname != "postgres":
            async with await self.open(target, dbname) as connection, _cut_if_cancelled(connection):
                yield connection
            return
        key = f"{target.cluster_id}@{target.address}"
        async with self._locks.setdefault(key, asyncio.Lock()):
            connection = await self._living(key, target)
            try:
                async with _cut_if_cancelled(connection):
                    yield connection
            except BaseException:
                # Whatever state the caller left it in, nobody else meets it.
                self._kept.pop(key, None)
                await connection.close()
                raise

    async def _living(self, key: str, target: Target) -> Connection:
        kept = self._kept.get(key)
        if kept is not None:
            try:
                async with bounded(kept, ALIVE_TIMEOUT_S):
                    await kept.execute("SELECT 1")
            except psycopg.Error:
                await kept.close()
                del self._kept[key]
            else:
                return kept
        connection = await self.open(target)
        self._kept[key] = connection
        return connection

    async def close(self) -> None:
        """Close every kept connection."""
        for connection in self._kept.values():
            await connection.close()
        self._kept.clear()


def outcome_of(error: psycopg.Error | OSError) -> Outcome:
    """Return what an error means that came of asking a node."""
    return classify(str(error), error.sqlstate if isinstance(error, psycopg.Error) else None)


@asynccontextmanager
async def bounded(connection: Connection, seconds: float) -> AsyncGenerator[None, None]:
    """Cut *connection* when the block takes longer than *seconds*; what waits on it raises ``OperationalError``.

    Cancelling is no bound: psycopg then asks the server to cancel and waits for its answer, and a server that hangs
    never gives one.
    """
    timer = asyncio.get_running_loop().call_later(seconds, cut, connection)
    try:
        yield
    finally:
        timer.cancel()


@asynccontextmanager
async def _cut_if_cancelled(connection: Connection) -> AsyncGenerator[None, None]:
    """Cut *connection* when this task was cancelled and still waits on it :data:`CANCEL_PATIENCE_S` later."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    cancelled_before = task.cancelling() if task else 0

    def look(seen: bool) -> None:
        nonlocal timer
        cancelling = task is not None and task.cancelling() > cancelled_before
        if cancelling and seen:
            cut(connection)
        else:
            timer = loop.call_later(CANCEL_PATIENCE_S, look, cancelling)

    timer = loop.call_later(CANCEL_PATIENCE_S, look, False)
    try:
        yield
    finally:
        timer.cancel()


def cut(connection: AsyncConnection[Any]) -> None:
    """Shut the socket down under libpq, which then sees the end of the stream."""
    if connection.closed:
        return
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as raw:
        try:
            raw.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other side was faster
