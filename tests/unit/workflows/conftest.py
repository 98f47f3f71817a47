"""What the tests of workflows' objects share: no server, no activities, and time that passes when a test says so."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.unit.workflows.runtime import Runtime


@pytest.fixture
async def runtime(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runtime]:
    """What stands for Temporal. Tasks that a test leaves behind are ended with it."""
    before = asyncio.all_tasks()
    runtime = Runtime()
    with monkeypatch.context() as patched:
        runtime.stand_in(patched)
        yield runtime
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
