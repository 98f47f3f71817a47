"""Clients in a process of their own, so that they take no time from who measures, nor it from them.

The process is a module of the bench. It reads its orders as one line, says ``ready`` when it has begun, goes on until
its input ends, and then prints a report.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from bench.workspace import REPOSITORY
from model.base import Record

_READY_S = 60


class ClientProcess:
    """The process, from who measures. Made by :func:`client_process`."""

    def __init__(self, module: str, process: asyncio.subprocess.Process) -> None:
        """Talk to *process*, which runs *module*."""
        self._module = module
        self._process = process

    async def begin(self, orders: Record) -> None:
        """Give it its *orders* and return when it has begun. Raises ``RuntimeError`` when it does not."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(orders.model_dump_json().encode() + b"\n")
        if await asyncio.wait_for(self._process.stdout.readline(), _READY_S) != b"ready\n":
            raise RuntimeError(f"{self._module} did not begin; what it said is above.")

    async def finish(self, bound_s: float) -> bytes:
        """Have it stop and return its report.

        Raises:
            RuntimeError: it ended without one.
            TimeoutError: it did not end within *bound_s* seconds.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        async with asyncio.timeout(bound_s):
            said = await self._process.stdout.read()
            await self._process.wait()
        if not said:
            raise RuntimeError(f"{self._module} ended without a report; what it said is above.")
        return said


@asynccontextmanager
async def client_process(module: str, orders: Record) -> AsyncGenerator[ClientProcess]:
    """Lend the process of *module*, begun; it ends with the block at the latest."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, cwd=REPOSITORY, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        lent = ClientProcess(module, process)
        await lent.begin(orders)
        yield lent
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
