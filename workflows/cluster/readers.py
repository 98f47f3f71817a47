"""Following those who read a cluster's backups, so that what they read stays; who has ended reads no more."""

import asyncio
from collections.abc import Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.backups import Reading
    from model.errors import MpgError
    from model.readers import reading_begun, reading_over
    from workflows.call import call

Readers = tuple[Reading, ...]


class ReaderBook:
    """Readers are on a record that somebody else holds: each is followed until its workflow has ended, in any way."""

    def __init__(self, read: Callable[[], Readers], write: Callable[[Readers], None]) -> None:
        """Begin with what *read* returns; changes are told to *write*."""
        self._read = read
        self._write = write
        self._following: dict[str, asyncio.Task[None]] = {}

    def begin(self, reading: Reading) -> None:
        """Put *reading* on record. Told again, it has chosen its backup."""
        self._write(reading_begun(self._read(), reading))
        self.follow()

    def follow(self) -> None:
        """See that everybody on record is followed."""
        for reading in self._read():
            if reading.operation_id not in self._following:
                self._following[reading.operation_id] = asyncio.create_task(self._until_over(reading))

    def stop(self) -> None:
        """Follow nobody any more: the workflow's run ends."""
        for task in self._following.values():
            task.cancel()

    async def _until_over(self, reading: Reading) -> None:
        arg = effects.AwaitOperationInput(operation_id=reading.operation_id, run_id=reading.run_id)
        try:
            await call(effects.AWAIT_OPERATION_END, arg, summary=f"follow {reading.operation_id}, which reads backups")
        except MpgError as error:
            # Rather a backup that stays too long than one that goes too early: the next reader has it tried again.
            workflow.logger.error("a reader is not followed", extra={"error": str(error)})
        else:
            self._write(reading_over(self._read(), reading.operation_id))
        finally:
            self._following.pop(reading.operation_id, None)
