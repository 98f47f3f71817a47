"""Keep the stack running. `python -m starter.stack.supervisor` is the process behind `mpg up --detach`."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError

from model.errors import MpgError, Refused, StackDown
from model.master_key import load_or_create_master_key
from model.settings import Settings, load_settings
from starter.leave import leave
from starter.stack import parts, temporal_setup
from starter.stack.part_runner import PartRunner, bound_log
from starter.stack.parts import Part
from starter.stack.process import ProcessId, end
from starter.stack.state import (
    PRODUCTION_FILE,
    StackState,
    StackStatus,
    initial_status,
    is_production,
    read_status,
    stack_lock,
    write_status,
)

READY_SECONDS = 60
"""How long the stack may take from its start until a worker asks for work."""
BESIDE_SECONDS = 20
"""How long the start waits for the API and for Prometheus, without which the stack is up all the same."""
LOG_CHECK_SECONDS = 30
HELD_BY_ANOTHER = 3
"""Exit code of the process when another supervisor has this state directory."""


class Supervisor:
    """The parts of one stack. Its caller holds the stack's lock."""

    def __init__(self, settings: Settings) -> None:
        """Supervise the stack in *settings*; nothing is started yet."""
        self._settings = settings
        self._stop = asyncio.Event()
        self._runners: list[PartRunner] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._own_id = ProcessId.of(os.getpid())
        self._status = initial_status(settings, StackState.STARTING)

    def request_stop(self) -> None:
        """Begin to stop; :meth:`run` returns when every part has ended."""
        self._stop.set()

    async def run(self, on_ready: Callable[[StackStatus], None]) -> None:
        """Start every part, call *on_ready* once, keep them running until :meth:`request_stop`.

        Raises:
            MpgError: the stack did not come up; nothing is left running.
        """
        try:
            self._prepare_home()
            if await self._unless_stopped(self._start()):
                self._note(StackState.UP)
                on_ready(self._status)
                await self._unless_stopped(self._watch_logs())
            self._note(StackState.STOPPING)
            await self._stop_parts()
            self._note(StackState.DOWN)
        except MpgError as error:
            await self._stop_parts()
            self._note(StackState.FAILED, str(error))
            raise
        finally:
            await self._stop_parts()

    def _prepare_home(self) -> None:
        settings = self._settings
        if is_production(settings.home):
            raise Refused(
                "The clusters of this state directory are the production stack's: 'docker compose up' brings that up.",
                remedy=f"To have them here all the same, end that one and remove {settings.home / PRODUCTION_FILE}.",
            )
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.logs_dir.mkdir(exist_ok=True)
        end_leftovers(settings)
        self._note(StackState.STARTING)
        parts.refuse_taken_ports(settings)
        if settings.embedded:
            parts.set_aside_unfinished_db(parts.temporal_db(settings))
        load_or_create_master_key(settings.master_key_file)

    async def _start(self) -> None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._start_in_order()
        except TimeoutError:
            remedy = f"See the logs in {self._settings.logs_dir}."
            raise StackDown(f"The stack was not ready within {READY_SECONDS} s.", remedy=remedy) from None
        except RPCError as error:
            raise StackDown(f"Temporal refused to be set up: {error.message}.", remedy="Check its settings.") from error

    async def _start_in_order(self) -> None:
        if self._settings.embedded:
            self._keep_running(parts.temporal_part(self._settings))
        client = await temporal_setup.await_temporal(self._settings)
        await temporal_setup.prepare(client, self._settings)
        await asyncio.gather(self._start_workers(client), self._start_api(), self._start_prometheus())
        for runner in self._runners:
            runner.ready = True

    async def _start_workers(self, client: Client) -> None:
        since = temporal_setup.now()
        for part in parts.worker_parts(self._settings):
            self._keep_running(part)
        await temporal_setup.await_pollers(client, self._settings, since=since)

    async def _start_api(self) -> None:
        """Start the API, which the stack is up without: clusters and the command line don't need it."""
        if self._settings.api_port:
            await self._start_beside(parts.api_part(self._settings), self._settings.api_port)

    async def _start_prometheus(self) -> None:
        """Start Prometheus, without which metrics are read and not kept."""
        part = parts.prometheus_part(self._settings)
        if part is not None:
            await self._start_beside(part, self._settings.prometheus_port)
        elif self._settings.runs_prometheus:
            warning = "Metrics are not kept: there is no 'prometheus' program. 'mpg doctor --fix' gets it."
            self._status = self._status.model_copy(update={"prometheus_url": None, "warnings": (warning,)})

    async def _start_beside(self, part: Part, port: int) -> None:
        """Start a part that the stack is up without, and give it some time to answer on *port*."""
        # Where another program answers, only the part's own end tells.
        taken = parts.is_taken(port)
        runner = self._keep_running(part)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BESIDE_SECONDS):
                await parts.await_start(port, trouble=lambda: runner.status.trouble, taken=taken)

    def _keep_running(self, part: Part) -> PartRunner:
        runner = PartRunner(part, home=self._settings.home, on_change=self._note)
        self._runners.append(runner)
        self._tasks.append(asyncio.create_task(runner.run()))
        return runner

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run *work* until it is done, a stop is requested or a part gives up; tell whether it got done."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stop.wait())
        try:
            while not task.done() and not stop.done():
                await asyncio.wait([task, stop, *self._tasks], return_when=asyncio.FIRST_COMPLETED, timeout=1)
                for failed in (part for part in self._tasks if part.done()):
                    failed.result()
            if task.done():
                task.result()
            return task.done()
        finally:
            for unfinished in (task, stop):
                unfinished.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)

    async def _watch_logs(self) -> None:
        while True:
            for log in self._settings.logs_dir.glob("*.log"):
                bound_log(log)
            await asyncio.sleep(LOG_CHECK_SECONDS)

    async def _stop_parts(self) -> None:
        # The reverse of the start: each finishes what it has in hand while those that it needs are still there.
        runners, self._runners = self._runners, []
        order = {parts.API: 0, parts.TEMPORAL: 2}
        for turn in range(3):
            await asyncio.gather(*(runner.stop() for runner in runners if order.get(runner.part.name, 1) == turn))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if runners and self._settings.embedded:
            parts.fold_log_into_db(parts.temporal_db(self._settings))

    def _note(self, state: StackState | None = None, error: str = "") -> None:
        running = tuple(runner.status for runner in self._runners)
        supervisor = None if state in (StackState.DOWN, StackState.FAILED) else self._own_id
        changes = {"parts": running, "state": state or self._status.state, "error": error, "supervisor": supervisor}
        self._status = self._status.model_copy(update=changes)
        write_status(self._settings, self._status)


def end_leftovers(settings: Settings) -> None:
    """End what a supervisor that was killed left running, each process recognised by its start time."""
    last = read_status(settings)
    for part in reversed(last.parts if last else ()):
        if part.process:
            end(part.process, grace_seconds=10)


async def supervise(settings: Settings, on_ready: Callable[[StackStatus], None]) -> None:
    """Run the stack until SIGINT or SIGTERM. The caller holds the stack's lock.

    Raises:
        MpgError: it did not come up.
    """
    supervisor = Supervisor(settings)
    loop = asyncio.get_running_loop()
    for stopping in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(stopping, supervisor.request_stop)
    await supervisor.run(on_ready)


def main() -> int:
    """Run the stack of this environment's settings; return the exit code."""
    settings = load_settings()
    with stack_lock(settings) as held:
        if not held:
            return HELD_BY_ANOTHER
        try:
            asyncio.run(supervise(settings, lambda _: None))
        except MpgError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    leave(main())
