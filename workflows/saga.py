"""What undoes a step: kept as the steps go by, run in reverse when the operation does not complete."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from temporalio import workflow

Undo = Callable[[], Awaitable[object]]


@dataclass
class Saga:
    """A stack of undoing steps. An undo is pushed before its step runs, because a step may fail half done."""

    _undos: list[tuple[str, Undo]] = field(default_factory=list[tuple[str, Undo]])

    def push(self, name: str, undo: Undo) -> None:
        """Remember that *undo* undoes the step called *name*."""
        self._undos.append((name, undo))

    def clear(self) -> None:
        """Forget every undo: what was done stays, whatever comes."""
        self._undos.clear()

    def __bool__(self) -> bool:
        return bool(self._undos)

    async def unwind(self, undone: Callable[[str, BaseException | None], None]) -> bool:
        """Run the undos, last first, each whatever became of the others. Return whether all succeeded.

        *undone* is told of each with the error that it met, if any. A cancellation that arrives meanwhile waits:
        half-undone is the one state nobody asked for.
        """
        task = asyncio.create_task(self._unwind(undone))
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                workflow.logger.info("cancellation waits for compensation")
        return task.result()

    async def _unwind(self, undone: Callable[[str, BaseException | None], None]) -> bool:
        complete = True
        while self._undos:
            name, undo = self._undos.pop()
            try:
                await undo()
            except Exception as error:
                workflow.logger.error("could not undo", extra={"step": name, "error": str(error)})
                undone(name, error)
                complete = False
            else:
                undone(name, None)
        return complete
