"""Waiting for an operation: its steps as they happen, on a terminal with a bar, elsewhere as lines."""

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Protocol

from model.errors import MpgError
from model.operations import OperationResult, Progress, RestoreClusterRequest, Step, StepStatus
from starter.cli.errors import say

if TYPE_CHECKING:
    from starter.client.operation import Operation

POLL_SECONDS = 0.2
"""A query leaves nothing in the operation's history, and is answered in about 6 ms."""
NOTE_SECONDS = 1.0
"""Between two looks at how far a restore is: each is a call to Temporal."""
PATIENCE_SECONDS = 0.4
"""An operation that ends within this shows nothing: most changes of users and databases do."""


class Display(Protocol):
    """Shows an operation's progress."""

    def update(self, progress: Progress) -> None:
        """Show what is new."""
        ...

    def note(self, detail: str) -> None:
        """Show how far the step that runs is."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


async def wait(operation: "Operation", *, indent: str = "") -> OperationResult:
    """Show *operation*'s steps until it ended and return its result; *indent* goes before each line.

    Raises the error with which it failed. When the wait is interrupted, says how to look at the operation again.
    """
    task = asyncio.create_task(operation.result())
    display: Display | None = None
    try:
        done, _ = await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
        if not done:
            display = make_display(operation.id, indent)
            await _follow(operation, task, display)
        return await task
    except asyncio.CancelledError:
        say(f"Stopped waiting; the operation goes on. See it with: mpg operations show {operation.id} --watch")
        raise
    finally:
        task.cancel()
        if display:
            display.close()


async def _follow(operation: "Operation", task: "asyncio.Task[OperationResult]", display: Display) -> None:
    noted = 0.0
    while True:
        try:
            display.update(await operation.progress())
            if isinstance(operation.request, RestoreClusterRequest) and time.monotonic() - noted >= NOTE_SECONDS:
                noted = time.monotonic()
                if detail := await operation.detail():
                    display.note(detail)
        except MpgError:
            # The result tells; until then a query that failed is a worker that is starting again.
            await asyncio.sleep(POLL_SECONDS)
        if task.done():
            return
        await asyncio.wait({task}, timeout=POLL_SECONDS)


def make_display(operation_id: str, indent: str = "") -> Display:
    """Return the display that fits stderr."""
    return Bar(operation_id, indent) if sys.stderr.isatty() else Lines(indent)


class Lines:
    """A line when a step starts and one when it ends, with its seconds."""

    def __init__(self, indent: str = "") -> None:
        """Begin with nothing said."""
        self._indent = indent
        self._said: dict[tuple[int, str], StepStatus] = {}
        self._noted = ""

    def update(self, progress: Progress) -> None:
        """Say what changed since the last call."""
        for index, step in enumerate(progress.steps):
            key = (index, step.name)
            if step.status is StepStatus.PENDING or self._said.get(key) is step.status:
                continue
            self._said[key] = step.status
            say(self._indent + line_of(step))

    def note(self, detail: str) -> None:
        """Say it, unless it was said already."""
        if detail != self._noted:
            self._noted = detail
            say(f"{self._indent}  {detail}")

    def close(self) -> None:
        """Nothing to tidy."""


class Bar:
    """The steps that ended above, a bar with the running one below."""

    def __init__(self, operation_id: str, indent: str = "") -> None:
        """Show the operation's id until the first step is known."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        from starter.cli.output import console

        self._indent = indent
        columns = (
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=console(stderr=True), transient=True)
        self._task = self._bar.add_task(operation_id, total=None)
        self._said: dict[int, StepStatus] = {}
        self._phase, self._detail = "", ("", "")
        self._bar.start()

    def update(self, progress: Progress) -> None:
        """Move the bar; print the steps that ended since."""
        for index, step in enumerate(progress.steps):
            ended = step.status not in {StepStatus.PENDING, StepStatus.RUNNING}
            if ended and self._said.get(index) is not step.status:
                self._said[index] = step.status
                self._bar.console.print(self._indent + line_of(step))
        ended = sum(step.status is StepStatus.DONE for step in progress.steps)
        total = len(progress.steps) or None
        self._phase = progress.phase
        phase, detail = self._detail
        shown = f"{phase}: {detail}" if phase == progress.phase and detail else progress.phase
        self._bar.update(self._task, description=shown, completed=ended, total=total)

    def note(self, detail: str) -> None:
        """Show it beside the bar, with the step that it is of."""
        self._detail = (self._phase, detail)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()


_MARKS = {
    StepStatus.PENDING: "·",
    StepStatus.RUNNING: "…",
    StepStatus.DONE: "✓",
    StepStatus.UNDONE: "↩",
    StepStatus.FAILED: "✗",
}


def line_of(step: Step) -> str:
    """Return a step as a line: mark, name, how it ended and how long it took."""
    seconds = "" if step.seconds is None else f" ({step.seconds:.1f} s)"
    ending = {StepStatus.UNDONE: ", undone", StepStatus.FAILED: ", failed"}.get(step.status, "")
    return f"{_MARKS[step.status]} {step.name}{ending}{seconds}"
