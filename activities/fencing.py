"""Keeping the steps of an operation that has ended away from its cluster.

A workflow that was terminated leaves activities behind: one that goes on until its next heartbeat, one that a worker is
about to begin. Settling the cluster beside them would be undone by them. So each step of an operation holds a shared
lock on its cluster's file while it runs, and settling first writes down which operations have ended and then waits for
the exclusive lock: what runs is waited for, what begins later is refused.

What needs no turn holds none: a backup may take hours, and settling would wait for it.

The locks are the kernel's (flock), so that they hold between the worker processes of a host and end with them.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from model.base import Record
from model.effects import cluster_of
from model.errors import NotYet, Refused
from model.operations import OPERATIONS, WITHOUT_TURN

WAIT_S = 600.0
"""How long settling waits for a step of an ended operation. A step is told of the end with its next heartbeat."""
POLL_S = 0.01
KEPT = 200
"""How many ended operations are remembered per cluster: more than can have a step under way."""


class OperationFences:
    """The locks of this host's clusters, files in a directory that its worker processes share."""

    def __init__(self, directory: Path) -> None:
        """Keep the files in *directory*, which is made when it is needed."""
        self._directory = directory

    @asynccontextmanager
    async def step(self, cluster_id: str, operation_id: str) -> AsyncGenerator[None]:
        """Hold the lock of a step. Raises :class:`Refused` when the operation has ended and its cluster settles."""
        async with self._locked(cluster_id, fcntl.LOCK_SH):
            if operation_id in self._ended(cluster_id):
                raise Refused(f"Operation {operation_id} has ended; its steps begin no more.")
            yield

    async def close_off(self, cluster_id: str, ended: Sequence[str]) -> None:
        """Return when no step of the operations *ended* runs, and none will. Raises :class:`NotYet`."""
        if not ended:
            return
        known = self._ended(cluster_id)
        self._write(cluster_id, [*known, *(each for each in ended if each not in known)][-KEPT:])
        async with self._locked(cluster_id, fcntl.LOCK_EX):
            pass

    @asynccontextmanager
    async def _locked(self, cluster_id: str, how: int) -> AsyncGenerator[None]:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self._file(cluster_id, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + WAIT_S
            while not try_lock(file, how):
                if time.monotonic() > deadline:
                    raise NotYet(f"A step of an operation that has ended still runs after {WAIT_S:g} s.")
                await asyncio.sleep(POLL_S)
            yield
        finally:
            os.close(file)

    def _ended(self, cluster_id: str) -> list[str]:
        with suppress(FileNotFoundError):
            return self._file(cluster_id, "ended").read_text().splitlines()
        return []

    def _write(self, cluster_id: str, ended: Sequence[str]) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._file(cluster_id, "draft")
        draft.write_text("".join(f"{each}\n" for each in ended))
        draft.replace(self._file(cluster_id, "ended"))

    def _file(self, cluster_id: str, suffix: str) -> Path:
        return self._directory / f"{cluster_id}.{suffix}"


def try_lock(file: int, how: int) -> bool:
    """Take the lock *how* (``fcntl.LOCK_SH`` or ``LOCK_EX``) on an open file; tell whether nobody was in the way."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class FencedActivities(Interceptor):
    """Has every activity of an operation run as a step."""

    def __init__(self, fences: OperationFences) -> None:
        """Use *fences*."""
        self._fences = fences

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Put the lock around what comes *next*."""
        return _Fenced(next, self._fences)


class _Fenced(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, fences: OperationFences) -> None:
        super().__init__(following)
        self._fences = fences

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        arg = input.args[0] if input.args else None
        cluster_id = cluster_of(arg) if isinstance(arg, Record) else None
        if cluster_id is None or info.workflow_id is None or info.workflow_type not in OPERATIONS - WITHOUT_TURN:
            return await super().execute_activity(input)
        async with self._fences.step(cluster_id, info.workflow_id):
            return await super().execute_activity(input)
