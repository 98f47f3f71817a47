"""Processes that must not outlive who started them, and are recognised after their pid was given away."""

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from model.base import Record

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded before any fork: loading is not safe between fork and exec
_START_TIME_FIELD = 19  # proc(5): field 22 of stat, counted after the command's closing parenthesis


class ProcessId(Record):
    """A process for good: its pid and when it started, because a pid alone is given to another one later."""

    pid: int
    started: int
    """In clock ticks since the machine's start."""

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the identity of the process that has *pid* now, or None if there is none."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if stat[0] == "Z" else cls(pid=pid, started=int(stat[_START_TIME_FIELD]))

    def is_alive(self) -> bool:
        """Tell whether this very process still runs."""
        return type(self).of(self.pid) == self

    def send(self, sent: signal.Signals) -> None:
        """Send a signal if this very process still runs."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sent)


def end(process: ProcessId, *, grace_seconds: float) -> None:
    """End *process*: SIGTERM, and SIGKILL if it is there after *grace_seconds*. Returns when it is gone."""
    process.send(signal.SIGTERM)
    if not _gone_within(process, grace_seconds):
        process.send(signal.SIGKILL)
        _gone_within(process, grace_seconds)


def _gone_within(process: ProcessId, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process.is_alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


async def spawn(command: list[str], *, log: Path, env: Mapping[str, str], cwd: Path) -> asyncio.subprocess.Process:
    """Start *command* with its output appended to *log*; the kernel ends it when this process dies, however it dies."""
    parent = os.getpid()

    def follow_parent() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(env),
            cwd=cwd,
            preexec_fn=follow_parent,
            # Ctrl-C on the terminal reaches the supervisor only, which stops its parts in order.
            process_group=0,
        )
