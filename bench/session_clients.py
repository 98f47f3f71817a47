"""Clients that write through poolers in session mode and connect again when their session is cut.

pgbench gives a client up at its first error, so these are ours. ``python -m bench.session_clients URI CLIENTS
SECONDS`` prints what they met as JSON; a process of its own, so that it takes no time from who measures.
"""

import asyncio
import sys
import time

import psycopg

from model.base import Record

_RETRY_S = 0.002
_GAP_MS = 20


class SessionsResult(Record):
    """What all clients met: commits they heard of, errors, and gaps.

    A gap is from one commit of a client to its next, if over 20 ms: when it ended (Unix time), and its milliseconds.
    """

    commits: int
    errors: int
    gaps: tuple[tuple[float, float], ...]


class Met:
    """What the clients have met so far."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.commits = self.errors = 0
        self.gaps: list[tuple[float, float]] = []
        self._last: dict[int, float] = {}

    def commit(self, client: int) -> None:
        """A commit of *client* was acknowledged now."""
        now = time.time()
        self.commits += 1
        gap_ms = (now - self._last.get(client, now)) * 1000
        if gap_ms > _GAP_MS:
            self.gaps.append((now, gap_ms))
        self._last[client] = now


async def _client(uri: str, number: int, until: float, met: Met) -> None:
    """Commit one transaction after the other; a gap counts from the last commit before the session was cut."""
    while time.time() < until:
        try:
            async with await psycopg.AsyncConnection.connect(uri, connect_timeout=10) as connection:
                while time.time() < until:
                    await _transaction(connection, number)
                    met.commit(number)
        except psycopg.Error:
            met.errors += 1
            await asyncio.sleep(_RETRY_S)


async def _transaction(connection: psycopg.AsyncConnection, number: int) -> None:
    await connection.execute("UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = %s", (number + 1,))
    await connection.execute(
        "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (%s, 1, 1, 1, now())", (number,)
    )
    await connection.commit()


async def main() -> None:
    """Run the clients and print the result."""
    uri, clients, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    met, until = Met(), time.time() + seconds
    await asyncio.gather(*(_client(uri, number, until, met) for number in range(clients)))
    print(SessionsResult(commits=met.commits, errors=met.errors, gaps=tuple(met.gaps)).model_dump_json())


if __name__ == "__main__":
    asyncio.run(main())
