"""A node's postmaster as a process: ended by a signal, its end proven by the kernel.

Docker tells of an exit 60 to 80 ms after it happened, and a signal through its API takes about 20 ms. Where the
engine is on this machine a pidfd does both at once, and can never mean another process that got the same id.
Anywhere else the engine does it.
"""

import asyncio
import contextlib
import math
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import ContainerInfo
from model.errors import NotYet

ENGINE_POLL_S = 0.1
FENCE_BOUND_S = 15.0
"""For the kernel to end a process that was killed. One in uninterruptible sleep, on a dead disk, can take longer."""
LISTENING = "0A"
THAW_AFTER_S = 0.5
"""After a signal that ends a process in milliseconds, unless it is frozen."""


class NodeProcess:
    """The first process of a running container."""

    def __init__(self, docker: DockerEngine, container: ContainerInfo, pidfd: int | None) -> None:
        """Use *pidfd*, or the engine where it is None. :func:`open_process` makes these."""
        self._docker = docker
        self._container = container.name
        self._pid = container.pid
        self._pidfd = pidfd

    def turns(self) -> int | None:
        """Return how often the process has had the processor; None where the engine is not on this machine.

        A process that hangs, stopped, frozen or on a dead disk, has it no more.
        """
        if self._pidfd is None:
            return None
        try:
            status = Path(f"/proc/{self._pid}/status").read_text()
        except OSError:
            return None
        return sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)

    def queue(self, port: int) -> int:
        """Return how many connections to *port* wait to be accepted; 0 where the engine is not on this machine."""
        if self._pidfd is None:
            return 0
        waiting = 0
        with contextlib.suppress(OSError):
            for family in ("tcp", "tcp6"):
                # Of a listening socket the kernel shows its backlog as rx_queue (Linux, net/ipv4/tcp_ipv4.c).
                for line in Path(f"/proc/{self._pid}/net/{family}").read_text().splitlines()[1:]:
                    _, local, _, state, queues, *_ = line.split()
                    if state == LISTENING and local.endswith(f":{port:04X}"):
                        waiting += int(queues.partition(":")[2], 16)
        return waiting

    async def kill(self) -> None:
        """Send SIGKILL, which also ends a process that is stopped or hangs."""
        if self._pidfd is None:
            await self._docker.kill(self._container, "SIGKILL")
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def interrupt(self) -> None:
        """Send SIGINT: Postgres's fast shutdown, which sends all its WAL to the standby and archives it."""
        if self._pidfd is None:
            await self._docker.kill(self._container, "SIGINT")
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGINT)

    async def wait_end(self, timeout_s: float | None) -> None:
        """Return once the process has ended. Raises ``TimeoutError``."""
        if self._pidfd is None:
            await self._wait_through_engine(timeout_s)
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._pidfd, ended.set)
        try:
            await asyncio.wait_for(ended.wait(), timeout_s)
        finally:
            loop.remove_reader(self._pidfd)

    async def _wait_through_engine(self, timeout_s: float | None) -> None:
        deadline = asyncio.get_running_loop().time() + (math.inf if timeout_s is None else timeout_s)
        while (found := await self._docker.inspect(self._container)) is not None and found.running:
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError
            await asyncio.sleep(ENGINE_POLL_S)


@asynccontextmanager
async def open_process(docker: DockerEngine, container: ContainerInfo) -> AsyncGenerator[NodeProcess, None]:
    """Lend the first process of *container*, which runs."""
    pidfd = _open_pidfd(container)
    try:
        yield NodeProcess(docker, container, pidfd)
    finally:
        if pidfd is not None:
            os.close(pidfd)


def _open_pidfd(container: ContainerInfo) -> int | None:
    """Open a pidfd, or return None unless the process is provably the container's and may be signalled."""
    try:
        pidfd = os.pidfd_open(container.pid)
    except (OSError, ValueError):
        return None
    # Read after opening: from here on the id cannot pass to another process unnoticed.
    try:
        groups = Path(f"/proc/{container.pid}/cgroup").read_text()
        signal.pidfd_send_signal(pidfd, 0)
    except OSError:
        groups = ""
    if container.id in groups:
        return pidfd
    os.close(pidfd)
    return None


async def fence(docker: DockerEngine, container: str) -> None:
    """Make it certain that a node accepts no write: kill its process, and see the kernel's proof of its end.

    Only we start nodes, so one that ended stays ended. Raises :class:`NotYet` when the end cannot be proven in time.
    """
    found = await docker.inspect(container)
    if found is None or not found.running:
        return
    async with open_process(docker, found) as process:
        await process.kill()
        try:
            with contextlib.suppress(TimeoutError):
                await process.wait_end(THAW_AFTER_S)
                return
            # A process that Docker has paused ends only once it is thawed where control groups are of version 1.
            # The engine's own kill thaws it after its signal: the first thing that it does is end.
            await docker.kill(container)
            await process.wait_end(FENCE_BOUND_S)
        except TimeoutError:
            raise NotYet(f"The end of {container} is not proven after {FENCE_BOUND_S:g} s.") from None
