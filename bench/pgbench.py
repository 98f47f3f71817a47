"""Load from pgbench, and what its per-transaction log says about each client's waits."""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg

from model.base import Record

SCALE = 10
"""pgbench's scale factor: ten branches, so that eight clients seldom wait for each other's row."""
_GRACE_S = 60
_FAILED = re.compile(r"number of failed transactions: (\d+)")
_ABORTED = re.compile(r"client \d+ aborted")
_LATENCY = re.compile(r"latency average = ([\d.]+) ms")
_TPS = re.compile(r"tps = ([\d.]+)")


class Finished(NamedTuple):
    """A line of pgbench's log: a transaction, when it ended (Unix time) and how long it took."""

    client: int
    ended_s: float
    took_ms: float


class LoadResult(Record):
    """What one load saw. ``lost`` counts acknowledged transactions whose row is not in the table."""

    transactions: int
    failed: int
    lost: int
    longest_wait_ms: float
    tps: float


class Load:
    """One pgbench under way: TPC-B over ``clients`` connections for ``seconds``."""

    def __init__(self, uri: str, *, clients: int, seconds: float, protocol: str = "simple") -> None:
        """Use pgbench of this machine against *uri*; *protocol* is ``simple`` or ``prepared``."""
        self._uri = uri
        self._clients, self._seconds, self._protocol = clients, seconds, protocol
        self._logs = Path(tempfile.mkdtemp(prefix="mpgb-log-"))
        self._process: asyncio.subprocess.Process | None = None
        self._rows = 0
        self._finished: list[Finished] = []

    async def start(self) -> None:
        """Start it and return after a second of it."""
        self._rows = await history_rows(self._uri)
        self._process = await asyncio.create_subprocess_exec(
            *command(), "--no-vacuum", "--log", f"--log-prefix={self._logs}/log", f"--client={self._clients}",
            f"--jobs={min(self._clients, 2)}", f"--time={round(self._seconds)}", f"--protocol={self._protocol}",
            self._uri,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        await asyncio.sleep(1)

    async def finish(self, *, since_s: float) -> LoadResult:
        """Wait for its end and return what clients saw after *since_s* (Unix time)."""
        assert self._process is not None
        async with asyncio.timeout(self._seconds + _GRACE_S):
            said = (await self._process.communicate())[0].decode(errors="replace")
        lines = (line for file in self._logs.glob("log*") for line in file.read_text().splitlines())
        finished = self._finished = parse_log(lines)
        counted = _FAILED.search(said)
        return LoadResult(
            transactions=len(finished),
            failed=len(_ABORTED.findall(said)) + (int(counted[1]) if counted else 0),
            lost=max(0, len(finished) - (await history_rows(self._uri) - self._rows)),
            longest_wait_ms=longest_wait(finished, since_s),
            tps=float(found[1]) if (found := _TPS.search(said)) else 0,
        )

    def rate(self, since_s: float, until_s: float) -> float:
        """Return the transactions a second that ended between two moments (Unix time), once it has finished."""
        ended = (each.ended_s for each in self._finished)
        return sum(since_s <= each < until_s for each in ended) / (until_s - since_s)

    async def stop(self) -> None:
        """End it, if it has not ended, and remove its logs."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
        shutil.rmtree(self._logs, ignore_errors=True)


@asynccontextmanager
async def under_load(uri: str, *, clients: int, seconds: float, protocol: str = "simple") -> AsyncGenerator[Load]:
    """Lend a :class:`Load` that has started; it ends with the block at the latest."""
    load = Load(uri, clients=clients, seconds=seconds, protocol=protocol)
    try:
        await load.start()
        yield load
    finally:
        await load.stop()


def command() -> list[str]:
    """Return pgbench's command. Raises ``FileNotFoundError`` when this machine has none."""
    found = shutil.which("pgbench")
    if found is None:
        raise FileNotFoundError("There is no pgbench on this machine; on Debian: apt-get install postgresql-contrib.")
    return [found]


def parse_log(lines: Iterable[str]) -> list[Finished]:
    """Return the transactions of a per-transaction log (pgbench manual, "Per-Transaction Logging")."""
    finished: list[Finished] = []
    for line in lines:
        words = line.split()
        if len(words) >= 6 and words[2].isdigit():  # "failed" and "skipped" stand in place of a latency
            finished.append(Finished(int(words[0]), int(words[4]) + int(words[5]) / 1e6, int(words[2]) / 1000))
    return finished


def longest_wait(finished: Iterable[Finished], since_s: float) -> float:
    """Return the longest transaction that ended after *since_s*, in milliseconds; 0 when there is none."""
    return max((each.took_ms for each in finished if each.ended_s >= since_s), default=0.0)


async def prepare(uri: str, scale: int = SCALE) -> None:
    """Make pgbench's tables."""
    process = await asyncio.create_subprocess_exec(
        *command(), "--initialize", "--quiet", f"--scale={scale}", uri,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said = (await process.communicate())[0].decode(errors="replace")
    if process.returncode:
        raise RuntimeError(f"pgbench could not make its tables: {said.strip().splitlines()[-1]}")


async def select_only(uri: str, *, clients: int, seconds: float) -> tuple[float, float]:
    """Return average latency in ms and transactions a second of ``pgbench -S``."""
    return await run_select_only([*command()], uri, clients=clients, seconds=seconds)


async def run_select_only(prefix: list[str], uri: str, *, clients: int, seconds: float) -> tuple[float, float]:
    """As :func:`select_only`, with *prefix* as the command."""
    process = await asyncio.create_subprocess_exec(
        *prefix, "--select-only", "--no-vacuum", f"--client={clients}", f"--jobs={min(clients, 2)}",
        f"--time={round(seconds)}", uri, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env=os.environ,
    )  # fmt: skip
    async with asyncio.timeout(seconds + _GRACE_S):
        said = (await process.communicate())[0].decode(errors="replace")
    latency, tps = _LATENCY.search(said), _TPS.search(said)
    if process.returncode or not latency or not tps:
        raise RuntimeError(f"pgbench failed: {said.strip().splitlines()[-1]}")
    return float(latency[1]), float(tps[1])


async def history_rows(uri: str) -> int:
    """Return how many transactions of pgbench are in the database."""
    async with await psycopg.AsyncConnection.connect(uri, prepare_threshold=None) as connection:
        row = await (await connection.execute("SELECT count(*) FROM pgbench_history")).fetchone()
    return int(row[0]) if row else 0
