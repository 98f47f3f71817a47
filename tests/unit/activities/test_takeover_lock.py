import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from activities import takeover_lock
from activities.fencing import OperationFences
from activities.takeover_lock import TakeoverLocks
from model.errors import NotYet

CLUSTER, OTHER = "c" * 16, "d" * 16
SWITCHOVER, FAILOVER = "switchover/shop/1", "failover/shop/2"
BOUND_S = 20.0
"""For what takes milliseconds, on a machine that has other things to do."""

_HOLDER = """
import asyncio, pathlib, sys
from activities.takeover_lock import TakeoverLocks

async def main():
    async with TakeoverLocks(pathlib.Path(sys.argv[1])).held(sys.argv[2]):
        print("holding", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


@asynccontextmanager
async def holder(directory: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Lend another process that holds the lock until it is told a line."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _HOLDER, str(directory), CLUSTER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"holding\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def waiting(directory: Path, cluster_id: str = CLUSTER) -> "asyncio.Task[None]":
    """Begin to wait for the lock, and give it back at once."""

    async def take() -> None:
        async with TakeoverLocks(directory).held(cluster_id):
            pass

    return asyncio.create_task(take())


async def still_waits(task: "asyncio.Task[None]", seconds: float = 0.3) -> bool:
    await asyncio.wait([task], timeout=seconds)
    return not task.done()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover_lock, "STOPPED_S", 0.1)
    monkeypatch.setattr(takeover_lock, "GIVE_BACK_S", 0.1)
    monkeypatch.setattr(takeover_lock, "ENGINE_S", 0.0)


@pytest.mark.usefixtures("impatient")
async def test_next_try_in_the_same_process_waits_for_the_end_of_the_first_however_long(tmp_path: Path) -> None:
    async with TakeoverLocks(tmp_path / "fences").held(CLUSTER):
        second = waiting(tmp_path / "fences")
        assert await still_waits(second, 1.0)
        await asyncio.wait_for(waiting(tmp_path / "fences", OTHER), BOUND_S)
    await asyncio.wait_for(second, BOUND_S)


async def test_try_that_is_given_up_while_it_waits_leaves_nothing_behind(tmp_path: Path) -> None:
    async with TakeoverLocks(tmp_path).held(CLUSTER):
        second = waiting(tmp_path)
        assert await still_waits(second, 0.1)
        second.cancel()
        await asyncio.wait([second])
    await asyncio.wait_for(waiting(tmp_path), BOUND_S)


async def test_wait_is_bounded_and_may_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover_lock, "WAIT_S", 0.1)
    async with TakeoverLocks(tmp_path).held(CLUSTER):
        with pytest.raises(NotYet, match=r"has not come to its end in 0\.1 s"):
            await asyncio.wait_for(waiting(tmp_path), BOUND_S)


async def test_process_that_is_stopped_and_goes_on_in_time_is_waited_for(tmp_path: Path) -> None:
    async with holder(tmp_path) as first:
        os.kill(first.pid, signal.SIGSTOP)
        second = waiting(tmp_path)
        assert await still_waits(second)
        os.kill(first.pid, signal.SIGCONT)
        assert await still_waits(second)
        assert first.stdin is not None
        first.stdin.write(b"\n")
        await asyncio.wait_for(second, BOUND_S)
        assert await asyncio.wait_for(first.wait(), BOUND_S) == 0


async def test_process_that_stays_stopped_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover_lock, "STOPPED_S", 0.1)
    monkeypatch.setattr(takeover_lock, "ENGINE_S", 0.0)
    async with holder(tmp_path) as first:
        os.kill(first.pid, signal.SIGSTOP)
        await asyncio.wait_for(waiting(tmp_path), takeover_lock.GIVE_BACK_S)
        assert await first.wait() == -signal.SIGKILL


async def test_process_that_runs_is_ended_after_its_bound_and_the_engine_gets_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover_lock, "GIVE_BACK_S", 0.3)
    monkeypatch.setattr(takeover_lock, "ENGINE_S", 0.5)
    async with holder(tmp_path) as first:
        begun = time.monotonic()
        await asyncio.wait_for(waiting(tmp_path), BOUND_S)
        assert time.monotonic() - begun > 0.3 + 0.5
        assert await first.wait() == -signal.SIGKILL


@pytest.mark.usefixtures("impatient")
async def test_process_that_only_has_the_id_of_the_holder_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover_lock, "WAIT_S", 1.0)
    file = tmp_path / f"{CLUSTER}.takeover"
    async with TakeoverLocks(tmp_path).held(CLUSTER):
        other = await asyncio.create_subprocess_exec("sleep", "60")
        try:
            file.write_text(takeover_lock.Holder(pid=other.pid, started=1, taken="before").model_dump_json())
            with pytest.raises(NotYet):
                await asyncio.wait_for(waiting(tmp_path), BOUND_S)
            assert other.returncode is None
        finally:
            other.kill()
            await other.wait()


async def test_steps_that_wait_for_a_takeover_and_the_settling_that_waits_for_steps_come_to_their_ends(
    tmp_path: Path,
) -> None:
    fences, locks = OperationFences(tmp_path), TakeoverLocks(tmp_path)
    over = asyncio.Event()

    async def take_over(operation_id: str) -> None:
        async with fences.step(CLUSTER, operation_id), locks.held(CLUSTER):
            await over.wait()

    async def settle() -> None:
        await fences.close_off(CLUSTER, [SWITCHOVER, FAILOVER])
        async with locks.held(CLUSTER):
            pass

    first, second = asyncio.create_task(take_over(SWITCHOVER)), asyncio.create_task(take_over(FAILOVER))
    assert await still_waits(first, 0.1)
    settling = asyncio.create_task(settle())
    assert await still_waits(settling, 0.1)
    over.set()
    await asyncio.wait_for(asyncio.gather(first, second, settling), BOUND_S)
