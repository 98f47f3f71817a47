"""The order of undoing, and what becomes of errors and cancellations meanwhile. The saga is plain asyncio."""

import asyncio
import logging

import pytest

from workflows import saga as saga_module
from workflows.saga import Saga, Undo


@pytest.fixture(autouse=True)
def _plain_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saga_module.workflow, "logger", logging.getLogger("saga"))


class Journal:
    """A saga whose undos write down that they ran."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.saga = Saga()

    def undo(self, name: str) -> Undo:
        async def run() -> None:
            self.lines.append(name)

        return run

    def undone(self, name: str, error: BaseException | None) -> None:
        self.lines.append(f"{name}: {error or 'undone'}")


async def test_undos_run_last_first():
    journal = Journal()
    for name in ("network", "node", "poolers"):
        journal.saga.push(name, journal.undo(name))
    assert await journal.saga.unwind(journal.undone)
    assert journal.lines == ["poolers", "poolers: undone", "node", "node: undone", "network", "network: undone"]
    assert not journal.saga


async def test_undo_that_fails_does_not_keep_the_others_from_running():
    journal = Journal()

    async def fails() -> None:
        raise RuntimeError("no")

    journal.saga.push("network", journal.undo("network"))
    journal.saga.push("node", fails)
    assert not await journal.saga.unwind(journal.undone)
    assert journal.lines == ["node: no", "network", "network: undone"]


async def test_what_is_kept_is_not_undone():
    journal = Journal()
    journal.saga.push("network", journal.undo("network"))
    journal.saga.clear()
    assert await journal.saga.unwind(journal.undone)
    assert journal.lines == []


async def test_cancellation_waits_until_everything_is_undone():
    journal, begun, go_on = Journal(), asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        begun.set()
        await go_on.wait()

    journal.saga.push("network", journal.undo("network"))
    journal.saga.push("node", waits)
    unwinding = asyncio.create_task(journal.saga.unwind(journal.undone))
    await begun.wait()
    unwinding.cancel()
    await asyncio.sleep(0)
    assert not unwinding.done()
    go_on.set()
    assert await unwinding
    assert journal.lines == ["node: undone", "network", "network: undone"]
