"""The embedded stack: start it, stop it, say how it is. Clusters keep running without it.

A supervisor process holds the state directory's lock for as long as the stack is up, keeps Temporal and the workers
running, and records what runs. Everything here works from that lock and that record.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

from model.errors import Refused, StackDown
from model.master_key import renew_master_key
from model.settings import Settings
from starter.stack.part_runner import bound_log, last_line
from starter.stack.process import end
from starter.stack.state import PartStatus, StackState, StackStatus, initial_status, is_held, read_status, stack_lock
from starter.stack.supervisor import HELD_BY_ANOTHER, READY_SECONDS, end_leftovers, supervise

__all__ = [
    "PartStatus",
    "StackState",
    "StackStatus",
    "Started",
    "api_url",
    "renew_key",
    "run_foreground",
    "start_detached",
    "status",
    "stop",
]

STOP_SECONDS = 48
"""How long a supervisor may take to stop its parts: more than they are given one after the other."""
_POLL_SECONDS = 0.05


class Started(NamedTuple):
    """How a request to start ended."""

    status: StackStatus
    already_up: bool
    """Another process had started the stack before."""


async def status(settings: Settings) -> StackStatus:
    """Return how the stack of *settings*' state directory is. The addresses are those it was started with."""
    recorded = read_status(settings)
    if recorded is None:
        return initial_status(settings, StackState.STARTING if is_held(settings) else StackState.DOWN)
    if is_held(settings):
        # A supervisor that has just taken the lock finds the record of one that was killed.
        fresh = recorded.supervisor is not None and recorded.supervisor.is_alive()
        return recorded if fresh else initial_status(settings, StackState.STARTING)
    # Nobody holds the lock: a supervisor that was killed could not record that.
    ended = recorded.state if recorded.state is StackState.FAILED else StackState.DOWN
    left = initial_status(settings, ended)
    alive = tuple(part for part in recorded.parts if part.process and part.process.is_alive())
    return left.model_copy(update={"error": recorded.error, "parts": alive})


def api_url(settings: Settings) -> str:
    """Return where the API answers: as the stack was started, with ``--tls`` or without; else as it would be."""
    recorded = read_status(settings) if is_held(settings) else None
    return (recorded and recorded.api_url) or settings.api_url


def renew_key(settings: Settings) -> None:
    """Have the stack, which is down, serve with another master key than before: see :func:`renew_master_key`.

    Raises:
        Refused: the stack is up, or the key that is there cannot be used.
    """
    with stack_lock(settings) as held:
        if not held:
            raise Refused("The stack is up, with the master key that it has.", remedy="Run 'mpg down' first.")
        renew_master_key(settings.master_key_file)


async def start_detached(settings: Settings) -> Started:
    """Start the stack in the background and return once a worker asks for work; at once if it is up already.

    Raises:
        StackDown: it did not come up; the sentence says why and where the log is.
    """
    if is_held(settings):
        return Started(await _await_ready(settings, None), already_up=True)
    process = _spawn_supervisor(settings)
    ready = await _await_ready(settings, process)
    return Started(ready, already_up=process.poll() == HELD_BY_ANOTHER)


async def run_foreground(settings: Settings, *, on_ready: Callable[[Started], None]) -> bool:
    """Run the stack until SIGINT or SIGTERM, and return False; at once True if another process has it up already.

    Args:
        settings: which state directory, which ports.
        on_ready: called once, when the stack is ready or was found up.

    Raises:
        MpgError: it did not come up.
    """
    with stack_lock(settings) as held:
        if held:
            await supervise(settings, lambda ready: on_ready(Started(ready, already_up=False)))
            return False
    on_ready(Started(await _await_ready(settings, None), already_up=True))
    return True


async def stop(settings: Settings) -> bool:
    """Stop the stack and return when nothing of it runs; tell whether anything did."""
    found = await status(settings)
    if found.supervisor:
        await asyncio.to_thread(end, found.supervisor, grace_seconds=STOP_SECONDS)
    running = bool(found.supervisor or found.parts)
    with stack_lock(settings) as held:
        if held:
            await asyncio.to_thread(end_leftovers, settings)
    return running


def _spawn_supervisor(settings: Settings) -> subprocess.Popen[bytes]:
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.logs_dir.mkdir(exist_ok=True)
    log = settings.logs_dir / "supervisor.log"
    bound_log(log)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "starter.stack.supervisor"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=settings.child_environment(os.environ),
            cwd=settings.home,
            start_new_session=True,  # it outlives the terminal and is not reached by its Ctrl-C
        )


async def _await_ready(settings: Settings, process: subprocess.Popen[bytes] | None) -> StackStatus:
    """Return the status once the stack is up, whoever started it."""
    async with asyncio.timeout(READY_SECONDS + STOP_SECONDS):
        while True:
            if process and process.poll() == HELD_BY_ANOTHER:
                process = None
            gone = process.poll() is not None if process else not is_held(settings)
            found = await status(settings)
            if found.state is StackState.UP:
                return found
            if gone:
                raise _did_not_start(settings, found)
            await asyncio.sleep(_POLL_SECONDS)


def _did_not_start(settings: Settings, found: StackStatus) -> StackDown:
    if found.state is StackState.FAILED:
        return StackDown(found.error)
    log = settings.logs_dir / "supervisor.log"
    return StackDown(f"The stack stopped while it was starting: {last_line(log)}", remedy=f"See {log}.")
