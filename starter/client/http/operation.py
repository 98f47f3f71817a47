"""One operation, as the API shows it."""

import asyncio
import time

from model.errors import MpgError, StackDown, from_type
from model.operations import OperationOutcome, OperationResult, Progress
from starter.client.http.wire import Wire, operation_path, parsed
from starter.client.operation import PATIENCE_S
from starter.client.shapes import OperationShape

_FIRST_POLL_S = 0.05
_LONGEST_POLL_S = 1.0


class HttpOperation:
    """A handle on one operation; holding it keeps nothing alive, dropping it stops nothing."""

    def __init__(self, wire: Wire, operation_id: str) -> None:
        """Name the operation *operation_id*; nothing is asked yet."""
        self.id = operation_id
        self._wire = wire

    async def result(self, *, patience_s: float = PATIENCE_S) -> OperationResult:
        """Wait, however long, until the operation ended, and return what it did.

        An API that stops answering is given *patience_s* seconds to come back, each time. Raises the error with which
        the operation failed, :class:`~model.errors.Cancelled` when somebody cancelled it,
        :class:`~model.errors.NotFound` when there is no such operation, and :class:`~model.errors.StackDown`.
        """
        silent_since: float | None = None
        pause = _FIRST_POLL_S
        while True:
            try:
                answer = await self._answer()
                silent_since = None
            except StackDown:
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since > patience_s:
                    raise
            else:
                if answer.get("result") is not None:
                    return parsed(OperationResult, answer["result"])
                if answer.get("error_type") is not None:
                    raise _failure(answer)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_S)

    async def progress(self) -> Progress:
        """Return how far the operation is; works also after it ended. Raises NotFound, StackDown."""
        shape = await self.describe()
        return Progress(**shape.model_dump(include=set(Progress.model_fields)))

    async def describe(self) -> OperationShape:
        """Return everything that is known about the operation. Raises NotFound, StackDown."""
        return parsed(OperationShape, (await self._answer())["data"])

    async def cancel(self) -> None:
        """Ask the operation to stop and undo what it did; returns before it has.

        Raises :class:`~model.errors.NotFound`, and :class:`~model.errors.Refused` when it has ended already.
        """
        await self._wire.call("DELETE", operation_path(self.id))

    async def _answer(self) -> dict[str, object]:
        return await self._wire.call("GET", operation_path(self.id))


def _failure(answer: dict[str, object]) -> MpgError:
    shape = parsed(OperationShape, answer["data"])
    if shape.status is OperationOutcome.CANCELLED:
        return from_type("Cancelled", f"Operation {shape.id} was cancelled.")
    return from_type(str(answer["error_type"]), shape.error or f"Operation {shape.id} failed.")
