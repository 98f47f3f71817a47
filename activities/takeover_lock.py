"""One takeover of a cluster at a time, whoever asked for it and whichever worker runs it.

Temporal gives a switchover or failover up when its worker was frozen for longer than the heartbeat's timeout, and has
it tried again. The first try goes on when its worker does: beside it, the next one would promote a node while the first
puts the other back. So each holds an exclusive lock of its cluster from before it looks at anything until its very
end, and the next one waits for that end. A try that was given up hears of it with its next heartbeat.

Where the holder's process does not run on, or takes too long, it is ended: by SIGKILL through a pidfd, when the id and
the start time in the lock's file prove that it is the holder. The lock is the kernel's (flock), which frees it only
once nothing of that process runs any more. A process never ends itself: there the first try is a task, which ends.

Steps hold their shared lock (activities/fencing.py) before this one, and nothing that holds this one waits for that.
"""

import asyncio
import fcntl
import os
import signal
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog
from pydantic import ValidationError

from activities.fencing import try_lock
from model.base import Record
from model.errors import NotYet

log = structlog.get_logger()

POLL_S = 0.02
STOPPED_S = 5.0
"""How long the holder's process may be stopped, on top of the heartbeat's timeout: clients are held meanwhile."""
GIVE_BACK_S = 15.0
"""How long one that runs may take to its end: it hears within 2 s that it was given up, and may start a node then."""
ENGINE_S = 3.0
"""What the engine gets to finish what a process that ran had asked of it: the start of a node, for instance."""
WAIT_S = 60.0
"""How long one try waits in all. The next one waits again."""

_STOPPED = frozenset("Tt")
_STATE, _START_TIME = 0, 19
"""proc(5): fields 3 and 22 of stat, counted after the command's closing parenthesis."""


class Holder(Record):
    """Whose lock it is. ``taken`` tells one hold of a process from its next."""

    pid: int
    started: int
    """In clock ticks since the machine's start: a pid alone is given to another process later."""
    taken: str


class TakeoverLocks:
    """The locks of this host's clusters, files in a directory that its worker processes share."""

    def __init__(self, directory: Path) -> None:
        """Keep the files in *directory*, which is made when it is needed."""
        self._directory = directory

    @asynccontextmanager
    async def held(self, cluster_id: str) -> AsyncGenerator[None]:
        """Be the only takeover of the cluster until the block ends. Raises :class:`NotYet` after 60 s."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self._directory / f"{cluster_id}.takeover", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await _Wait(file).until_taken()
            _sign(file)
            try:
                yield
            finally:
                os.ftruncate(file, 0)
        finally:
            os.close(file)


class _Wait:
    """One try's wait for the lock of an open file."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._begun = self._since = self._ran = time.monotonic()
        self._seen: Holder | None = None
        self._ended: Holder | None = None
        self._was_running = False

    async def until_taken(self) -> None:
        while not try_lock(self._file, fcntl.LOCK_EX):
            self._look()
            if time.monotonic() - self._begun > WAIT_S:
                raise NotYet(f"Another try of this takeover has not come to its end in {WAIT_S:g} s.")
            await asyncio.sleep(POLL_S)
        if self._was_running:  # a stopped one has asked for nothing for a while
            await asyncio.sleep(ENGINE_S)

    def _look(self) -> None:
        """See who holds the lock, and whether its process has run within its bounds; if not, end it."""
        now, holder = time.monotonic(), _read(self._file)
        if holder != self._seen:
            self._seen, self._since, self._ran = holder, now, now
        if holder is None or holder.pid == os.getpid() or holder == self._ended:
            return
        if _state(holder) not in _STOPPED:
            self._ran = now
        stopped = now - self._ran > STOPPED_S
        if (stopped or now - self._since > GIVE_BACK_S) and self._end(holder):
            self._ended, self._was_running = holder, not stopped

    def _end(self, holder: Holder) -> bool:
        """Have the kernel end the holder's process, if it still is that; tell whether it was asked to."""
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(holder.pid)
            try:
                # Looked at after opening: from here on the id cannot pass to another process unnoticed.
                if _state(holder) and _read(self._file) == holder:
                    log.warning("a takeover does not come to its end: its worker is ended", pid=holder.pid)
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                    return True
            except PermissionError:
                raise NotYet(f"Process {holder.pid} has this takeover in hand, and is not ours to end.") from None
            finally:
                os.close(pidfd)
        return False


def _myself() -> Holder:
    pid = os.getpid()
    return Holder(pid=pid, started=int(_stat(pid)[_START_TIME]), taken=uuid.uuid4().hex)


def _state(holder: Holder) -> str:
    """Return the state of the holder's process as a letter, empty when that very process is gone."""
    try:
        stat = _stat(holder.pid)
    except OSError:
        return ""
    return stat[_STATE] if int(stat[_START_TIME]) == holder.started else ""


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _sign(file: int) -> None:
    """Write down who holds the lock. Where the disk is full nobody can end this process: the next try waits."""
    myself = _myself().model_dump_json().encode()
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, myself, 0)
    except OSError as error:
        log.warning("who holds a takeover's lock is not written down", error=str(error))


def _read(file: int) -> Holder | None:
    """Return who holds the lock; None while that is just being written."""
    try:
        return Holder.model_validate_json(os.pread(file, 1000, 0))
    except ValidationError:
        return None
