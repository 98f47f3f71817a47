import asyncio
import sys
from pathlib import Path

import pytest

from activities.fencing import OperationFences
from model.errors import Refused

CLUSTER, OTHER = "c" * 16, "d" * 16
ENDED, LIVING = "change-plan/shop/1", "change-plan/shop/2"

_HOLDER = """
import asyncio, pathlib, sys
from activities.fencing import OperationFences

async def main():
    async with OperationFences(pathlib.Path(sys.argv[1])).step(sys.argv[2], sys.argv[3]):
        print("holding", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_no_step_of_an_ended_operation_begins(tmp_path: Path) -> None:
    fences = OperationFences(tmp_path / "fences")
    await fences.close_off(CLUSTER, [ENDED])
    with pytest.raises(Refused, match="has ended; its steps begin no more"):
        async with fences.step(CLUSTER, ENDED):
            pass
    async with fences.step(CLUSTER, LIVING), fences.step(OTHER, ENDED):
        pass


async def test_closing_off_waits_for_the_step_that_runs(tmp_path: Path) -> None:
    fences = OperationFences(tmp_path)
    async with fences.step(CLUSTER, ENDED):
        closing = asyncio.create_task(fences.close_off(CLUSTER, [ENDED]))
        await asyncio.wait([closing], timeout=0.1)
        assert not closing.done()
        # Steps of other clusters and settling of others do not wait for this one.
        await fences.close_off(OTHER, [LIVING])
    await asyncio.wait_for(closing, 5)


async def test_nothing_to_close_off_waits_for_nobody(tmp_path: Path) -> None:
    fences = OperationFences(tmp_path)
    async with fences.step(CLUSTER, LIVING):
        await asyncio.wait_for(fences.close_off(CLUSTER, []), 5)


async def test_step_in_another_process_is_waited_for_until_that_process_dies(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLDER, str(tmp_path), CLUSTER, ENDED, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"holding\n"
        closing = asyncio.create_task(OperationFences(tmp_path).close_off(CLUSTER, [ENDED]))
        await asyncio.wait([closing], timeout=0.1)
        assert not closing.done()
    finally:
        holder.kill()
        await holder.wait()
    await asyncio.wait_for(closing, 5)
