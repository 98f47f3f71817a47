"""Who uses a database through the poolers, which Postgres can't tell: it sees their server connections only."""

import psycopg
from psycopg.sql import SQL, Identifier

from activities.routing.pooler_console import Console
from model.cluster import Endpoint, Pooler


class _ReleasingConsole(Console):
    """A console that can also let go of server connections."""

    async def reconnect(self, database: str) -> None:
        """Close the idle server connections to *database*; those in use follow when their client is done."""
        try:
            await self._connection.execute(SQL("RECONNECT {}").format(Identifier(database)))
        except psycopg.Error as error:
            # It learns of a database from the first client that asks for it.
            if "no such database" not in str(error):
                raise


class PooledSessions:
    """Asks the poolers' admin consoles."""

    def __init__(self, master_key: bytes) -> None:
        """Log in to consoles with the password derived from *master_key*."""
        self._master_key = master_key

    async def release_database(
        self, cluster_id: str, endpoint: Endpoint, poolers: tuple[Pooler, ...], database: str
    ) -> int:
        """Return how many clients are connected to *database*; when none is, close the server connections kept for it.

        Raises ``psycopg.Error`` when a console does not answer.
        """
        clients = 0
        for pooler in poolers:
            console = await _ReleasingConsole.open(
                endpoint.address, pooler.port, master_key=self._master_key, cluster_id=cluster_id
            )
            try:
                here = sum(client.database == database for client in await console.show_clients())
                if not here:
                    await console.reconnect(database)
                clients += here
            finally:
                await console.close()
        return clients
