import asyncio

from activities.takeover.handover import until_ended


async def test_no_cancellation_leaves_a_takeover_before_its_end() -> None:
    """The first is Temporal's, which has given the try up; the second that of a worker that stops."""
    end = asyncio.Event()

    async def turn_back() -> str:
        await end.wait()
        return "turned back"

    turning = asyncio.create_task(turn_back())
    leaving = asyncio.create_task(until_ended(turning))
    for _ in range(2):
        await asyncio.wait([leaving], timeout=0.05)
        leaving.cancel()
    await asyncio.wait([leaving], timeout=0.05)
    assert not leaving.done()
    end.set()
    await leaving
    assert turning.result() == "turned back"
