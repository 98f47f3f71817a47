"""Names whose servers say nothing keep nobody else waiting."""

import asyncio
import threading
from collections.abc import Generator
from ipaddress import ip_address

import pytest

from model.errors import TooOften
from model.name_lookups import MOST_OF_ONE, NameLookups
from model.webhooks import Address

PATIENCE_S = 20.0
FOUND = [ip_address("203.0.113.7")]


class Resolver:
    """Answers names at once, but for those that begin with "slow": those once it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = threading.Event()

    def look_up(self, host: str) -> list[Address]:
        self.asked.append(host)
        if host.startswith("slow"):
            self.answers.wait(PATIENCE_S)
        if host.endswith("nowhere"):
            raise OSError("There is no such name.")
        return FOUND


@pytest.fixture
def resolver() -> Generator[Resolver]:
    made = Resolver()
    yield made
    made.answers.set()


async def begun(resolver: Resolver, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(resolver.asked) < count:
            await asyncio.sleep(0.001)


async def test_slow_name_servers_keep_only_their_organization(resolver: Resolver) -> None:
    lookups = NameLookups(resolver.look_up)
    slow = [asyncio.create_task(lookups.addresses("slow", f"slow-{number}")) for number in range(MOST_OF_ONE)]
    await begun(resolver, MOST_OF_ONE)
    with pytest.raises(TooOften):
        await lookups.addresses("slow", "fast")
    assert await lookups.addresses("other", "fast") == FOUND
    assert await asyncio.get_running_loop().run_in_executor(None, lambda: "free") == "free"
    assert not any(each.done() for each in slow)
    resolver.answers.set()
    assert await asyncio.gather(*slow) == [FOUND] * MOST_OF_ONE
    assert await lookups.addresses("slow", "fast") == FOUND


async def test_there_is_a_most_for_all_organizations_together(resolver: Resolver) -> None:
    lookups = NameLookups(resolver.look_up, most=1)
    slow = asyncio.create_task(lookups.addresses("one", "slow"))
    await begun(resolver, 1)
    with pytest.raises(TooOften):
        await lookups.addresses("other", "fast")
    resolver.answers.set()
    assert await slow == FOUND


async def test_name_that_many_wait_for_is_looked_up_once_and_who_gives_up_takes_it_from_nobody(
    resolver: Resolver,
) -> None:
    lookups = NameLookups(resolver.look_up)
    waiting = [asyncio.create_task(lookups.addresses("org", "slow")) for _ in range(100)]
    await begun(resolver, 1)
    waiting[0].cancel()
    resolver.answers.set()
    assert await asyncio.gather(*waiting[1:]) == [FOUND] * 99
    assert resolver.asked == ["slow"]


async def test_name_without_an_address_is_said_to_be_one(resolver: Resolver) -> None:
    with pytest.raises(OSError, match="no such name"):
        await NameLookups(resolver.look_up).addresses("org", "nowhere")


async def test_system_is_asked_unless_said_otherwise() -> None:
    assert ip_address("127.0.0.1") in await NameLookups().addresses("org", "localhost")
