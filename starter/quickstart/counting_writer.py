"""A client that writes numbered rows one after the other and remembers which of them were acknowledged.

What it measures is what an application would see of a change: errors, the longest wait for one row, and afterwards
whether every row that the database acknowledged is there.
"""

import asyncio
import time
from types import TracebackType
from typing import Self

import psycopg

from model.base import Record

TABLE = "counting_writer"
CREATE_TABLE = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    run text NOT NULL, n bigint NOT NULL, written_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (run, n)
)"""
_INSERT = f"INSERT INTO {TABLE} (run, n) VALUES (%s, %s)"  # noqa: S608  a constant
_SELECT = f"SELECT n FROM {TABLE} WHERE run = %s"  # noqa: S608
RECONNECT_SECONDS = 0.02
CONNECT_TIMEOUT_SECONDS = 30


class WriterReport(Record):
    """What the writer saw. ``lost`` counts rows that were acknowledged and are not there."""

    acknowledged: int
    errors: int
    longest_wait_ms: float
    lost: int


class CountingWriter:
    """Writes from the beginning to the end of an ``async with``; :meth:`report` afterwards."""

    def __init__(self, uri: str, run: str, *, every_s: float = 0) -> None:
        """Write rows marked *run* through *uri*, pausing *every_s* seconds after each.

        The table must be there: :data:`CREATE_TABLE`.
        """
        self._uri = uri
        self._run = run
        self._every_s = every_s
        self._acknowledged: list[int] = []
        self._errors = 0
        self._longest = 0.0
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._write())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._task is not None:
            await self._task

    @property
    def acknowledged(self) -> int:
        """How many rows were acknowledged so far."""
        return len(self._acknowledged)

    async def report(self) -> WriterReport:
        """Look every acknowledged row up and return what was seen."""
        there = await self._found()
        return WriterReport(
            acknowledged=len(self._acknowledged),
            errors=self._errors,
            longest_wait_ms=round(self._longest * 1000, 1),
            lost=len(set(self._acknowledged) - there),
        )

    async def _found(self) -> set[int]:
        async with await self._connect() as connection:
            cursor = await connection.execute(_SELECT, [self._run])
            return {row[0] for row in await cursor.fetchall()}

    async def _write(self) -> None:
        number = 0
        waiting_since: float | None = None
        while not self._stop.is_set():
            try:
                async with await self._connect() as connection:
                    while not self._stop.is_set():
                        number += 1
                        # A row that met an error waits from its first attempt, reconnection included.
                        begun = waiting_since or time.perf_counter()
                        waiting_since = begun
                        await connection.execute(_INSERT, [self._run, number])
                        self._acknowledged.append(number)
                        self._longest = max(self._longest, time.perf_counter() - begun)
                        waiting_since = None
                        if self._every_s:
                            await asyncio.sleep(self._every_s)
            except psycopg.Error:
                self._errors += 1
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(
            self._uri, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS, prepare_threshold=None
        )
