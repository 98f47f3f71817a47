"""Admin connections to nodes: one persistent connection per node, made again when it broke."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from model.effects import Target
from model.names import POSTGRES_PORT, SUPERUSER
from model.secrets import derive_password

CONNECT_TIMEOUT_S = 5
APPLICATION_NAME = "mpg"

Connection = AsyncConnection[TupleRow]


class SqlSessions:
    """Gives out autocommit connections as the platform's superuser.

    The connection to a node's ``postgres`` database is kept and used by one caller at a time: a new one costs a
    process in Postgres and a SCRAM exchange, about 10 ms. Connections to other databases are made for one use.
    """

    def __init__(self, master_key: bytes) -> None:
        """Derive passwords from *master_key*."""
        self._master_key = master_key
        self._kept: dict[str, Connection] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def open(self, target: Target, dbname: str = "postgres") -> Connection:
        """Return a new connection that the caller closes. Raises ``psycopg.OperationalError``."""
        return await psycopg.AsyncConnection.connect(
            host=target.address,
            port=POSTGRES_PORT,
            user=SUPERUSER,
            password=derive_password(self._master_key, target.cluster_id, SUPERUSER),
            dbname=dbname,
            application_name=APPLICATION_NAME,
            connect_timeout=CONNECT_TIMEOUT_S,
            # Users own schemas in their databases: nothing of theirs may be found by an unqualified name.
            options="-c search_path=pg_catalog",
            autocommit=True,
        )

    @asynccontextmanager
    async def use(self, target: Target, dbname: str = "postgres") -> AsyncGenerator[Connection]:
        """Lend a connection: the kept one for ``postgres``, a fresh one for other databases.

        Raises ``psycopg.OperationalError`` when the node does not answer. A kept connection that broke meanwhile is
        replaced before it is lent.
        """
        if dbname != "postgres":
            async with await self.open(target, dbname) as connection:
                yield connection
            return
        key = f"{target.cluster_id}@{target.address}"
        async with self._locks.setdefault(key, asyncio.Lock()):
            connection = await self._living(key, target)
            try:
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
