"""Keep one part running: start it, start it again when it ends, stop it when told to."""

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from model.errors import StackDown
from starter.stack.parts import Part
from starter.stack.process import ProcessId, spawn
from starter.stack.state import PartStatus

FIRST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 10.0
STEADY_SECONDS = 5
"""A part that ran this long is given the first backoff again."""
FAILURES_AT_START = 3
"""A part that ends this often before it was ever ready has something wrong that trying again does not cure."""
LOG_BYTES = 10_000_000
"""A log that grew past this is moved to ``….1``; one older is kept."""


class PartRunner:
    """One part and the process that runs it now."""

    def __init__(self, part: Part, *, home: Path, on_change: Callable[[], None]) -> None:
        """Hold *part*, to be run in *home*; *on_change* is called whenever its process changes."""
        self.part = part
        self.ready = False
        """Set once the part has done its work: from then on it is restarted however often it ends."""
        self._home = home
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._restarts = 0
        self._trouble = ""
        self._stopping = False

    @property
    def status(self) -> PartStatus:
        """Return what runs now."""
        process = ProcessId.of(self._process.pid) if self._process else None
        return PartStatus(
            name=self.part.name, process=process, restarts=self._restarts, log=self.part.log, trouble=self._trouble
        )

    async def run(self) -> None:
        """Keep the part running until :meth:`stop`.

        Raises:
            StackDown: it kept ending before it was ever ready, and the stack is not up without it.
        """
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            began = time.monotonic()
            await self._run_once()
            if self._stopping:
                return
            if time.monotonic() - began > STEADY_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            else:
                self._trouble = last_line(self.part.log)
            self._restarts += 1
            self._on_change()
            if self.part.vital and not self.ready and self._restarts >= FAILURES_AT_START:
                raise self._does_not_start()
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)

    async def stop(self) -> None:
        """End the part: SIGTERM, and SIGKILL when its time is over."""
        self._stopping = True
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self.part.stop_seconds)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _run_once(self) -> None:
        if self._stopping:
            return
        bound_log(self.part.log)
        command, env = list(self.part.command), self.part.env
        self._process = await spawn(command, log=self.part.log, env=env, cwd=self._home)
        self._on_change()
        ended = asyncio.ensure_future(self._process.wait())
        await asyncio.wait({ended}, timeout=STEADY_SECONDS)
        if not ended.done() and self._trouble:
            self._trouble = ""
            self._on_change()
        await ended
        self._process = None

    def _does_not_start(self) -> StackDown:
        last = last_line(self.part.log)
        return StackDown(f"The {self.part.name} ends as soon as it starts: {last}", remedy=f"See {self.part.log}.")


def bound_log(log: Path) -> None:
    """Keep *log* from growing without end. Its writer appends, so that emptying it under the writer is safe."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            with log.open("r+b") as file:
                file.truncate(0)


def last_line(log: Path) -> str:
    """Return the last line of *log* that says something, at most 300 characters of it."""
    with contextlib.suppress(OSError):
        lines = [line.strip() for line in log.read_text(errors="replace")[-20_000:].splitlines() if line.strip()]
        if lines:
            return lines[-1][:300].rstrip(".") + "."
    return "it says nothing."
