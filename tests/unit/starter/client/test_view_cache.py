"""Asking for one thing at a time: each gets the answer of a call that began after he asked."""

import asyncio

import pytest

from starter.client.view_cache import Joined


class Source:
    """Answers with how many calls had begun, as soon as it is let."""

    def __init__(self) -> None:
        self.begun = 0
        self.fails = False
        self._let = asyncio.Event()

    async def call(self) -> int:
        self.begun += 1
        mine = self.begun
        await self._let.wait()
        if self.fails:
            raise ValueError(mine)
        return mine

    def let(self) -> None:
        self._let.set()


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_asks_while_a_call_is_under_way_shares_the_one_after_it() -> None:
    joined, source = Joined[int](), Source()
    first = asyncio.create_task(joined.ask("k", source.call))
    await turns()
    later = [asyncio.create_task(joined.ask("k", source.call)) for _ in range(5)]
    await turns()
    assert source.begun == 1
    source.let()
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 5
    assert await joined.ask("k", source.call) == 3


async def test_other_keys_do_not_wait() -> None:
    joined, source, other = Joined[int](), Source(), Source()
    waiting = asyncio.create_task(joined.ask("k", source.call))
    other.let()
    assert await joined.ask("other", other.call) == 1
    source.let()
    assert await waiting == 1


async def test_an_error_is_for_those_who_asked_and_the_next_call_is_made() -> None:
    joined, source = Joined[int](), Source()
    source.fails = True
    first = asyncio.create_task(joined.ask("k", source.call))
    await turns()
    later = asyncio.create_task(joined.ask("k", source.call))
    source.let()
    with pytest.raises(ValueError, match="1"):
        await first
    with pytest.raises(ValueError, match="2"):
        await later
    source.fails = False
    assert await joined.ask("k", source.call) == 3


async def test_who_gives_up_leaves_the_call_to_the_others() -> None:
    joined, source = Joined[int](), Source()
    first = asyncio.create_task(joined.ask("k", source.call))
    await turns()
    impatient, patient = (asyncio.create_task(joined.ask("k", source.call)) for _ in range(2))
    await turns()
    first.cancel()
    impatient.cancel()
    source.let()
    assert await patient == 2
    with pytest.raises(asyncio.CancelledError):
        await impatient
