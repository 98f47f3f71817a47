"""The one source of events of a process: who hears what, from where on, and when it ends."""

import asyncio
from datetime import datetime
from typing import Any, cast

import pytest

from model.cluster import ClusterPhase, ClusterView
from model.errors import StackDown
from model.events import EventKind, Look, SeenCluster
from starter.client import MpgClient, events
from starter.client.events import EventHub, Subscription, TooManyListeners

SOON_S = 10.0


class Lists:
    """What Temporal's lists say, in place of a client."""

    def __init__(self) -> None:
        self.clusters: dict[str, SeenCluster] = {}
        self.looks = 0
        self.found_error: Exception | None = None
        self.error: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def look(self, ended_since: datetime) -> Look:
        self.looks += 1
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return Look(at=ended_since, clusters=dict(self.clusters))

    async def find(self, cluster_id: str) -> ClusterView | None:
        assert self.found_error is not None
        raise self.found_error

    def put(self, name: str, status: ClusterPhase, org: str = "shop", conditions: tuple[str, ...] = ()) -> None:
        seen = SeenCluster(id=name, name=name, organization=org, status=status, conditions=conditions)
        self.clusters[name] = seen


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> Lists:
    monkeypatch.setattr(events, "LOOK_S", 0.001)
    monkeypatch.setattr(events, "SILENT_S", 0.001)
    return Lists()


@pytest.fixture
def hub(lists: Lists) -> EventHub:
    return EventHub(cast(MpgClient, cast(Any, lists)), most=3)


async def heard(subscription: Subscription) -> str:
    delivered = await subscription.next(SOON_S)
    assert delivered is not None
    return f"{delivered.event.cluster} {delivered.event.status}"


async def test_each_hears_what_it_may_see_and_nothing_that_was_so_before(hub: EventHub, lists: Lists) -> None:
    lists.put("old", ClusterPhase.INITIALIZING)
    async with (
        await hub.subscribe(lambda event: True) as everything,
        await hub.subscribe(lambda event: event.organization == "shop") as shop,
    ):
        lists.put("theirs", ClusterPhase.INITIALIZING, "elsewhere")
        assert await heard(everything) == "theirs initializing"
        lists.put("ours", ClusterPhase.INITIALIZING)
        assert await heard(everything) == "ours initializing"
        assert await heard(shop) == "ours initializing"


async def test_who_comes_back_hears_what_came_meanwhile(hub: EventHub, lists: Lists) -> None:
    async with await hub.subscribe(lambda event: True) as first:
        lists.put("one", ClusterPhase.INITIALIZING)
        delivered = await first.next(SOON_S)
        assert delivered is not None
        lists.put("two", ClusterPhase.INITIALIZING)
        assert await heard(first) == "two initializing"
    async with await hub.subscribe(lambda event: True, delivered.id) as again:
        assert await heard(again) == "two initializing"


@pytest.mark.parametrize("last_id", ["", "nonsense", "00000000-0", "-", "00000000-" + "9" * 5000])
async def test_who_comes_back_from_where_nobody_knows_is_told_so(hub: EventHub, lists: Lists, last_id: str) -> None:
    async with await hub.subscribe(lambda event: False, last_id) as subscription:
        delivered = await subscription.next(SOON_S)
        assert delivered is not None
        assert delivered.event.kind is EventKind.RESET


async def test_who_is_too_slow_is_told_that_something_was_missed(
    hub: EventHub, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await hub.subscribe(lambda event: True) as slow, await hub.subscribe(lambda event: True) as quick:
        hub._events = type(hub._events)(maxlen=2)
        for number in range(4):
            lists.put(f"c{number}", ClusterPhase.INITIALIZING)
            assert await heard(quick) == f"c{number} initializing"
        delivered = await slow.next(SOON_S)
        assert delivered is not None
        assert delivered.event.kind is EventKind.RESET
        lists.put("later", ClusterPhase.INITIALIZING)
        assert await heard(slow) == "later initializing"


async def test_there_is_a_bound_and_who_leaves_makes_room(hub: EventHub) -> None:
    taken = [await hub.subscribe(lambda event: True) for _ in range(3)]
    with pytest.raises(TooManyListeners, match="3 event streams"):
        await hub.subscribe(lambda event: True)
    taken[0].close()
    taken[0].close()
    (await hub.subscribe(lambda event: True)).close()


@pytest.mark.parametrize("error", [StackDown("It is silent."), ValueError("Nobody thought of it.")])
async def test_a_look_that_fails_is_no_end_and_hides_nothing(hub: EventHub, lists: Lists, error: Exception) -> None:
    lists.error = error
    async with asyncio.timeout(SOON_S):
        for _ in range(4):  # more than there are places
            with pytest.raises(type(error)):
                await hub.subscribe(lambda event: True)
    lists.error = None
    async with await hub.subscribe(lambda event: True) as subscription:
        lists.error, looks = error, lists.looks
        lists.put("meanwhile", ClusterPhase.INITIALIZING)
        async with asyncio.timeout(SOON_S):
            while lists.looks < looks + 2:
                await asyncio.sleep(0)
        lists.error = None
        assert await heard(subscription) == "meanwhile initializing"


async def test_all_are_ended_together_and_nobody_looks_while_nobody_listens(
    hub: EventHub, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LINGER_S", 0.0)
    assert lists.looks == 0
    (await hub.subscribe(lambda event: True)).close()
    looking = hub._looking
    assert looking is not None
    async with asyncio.timeout(SOON_S):
        await looking
    waiting = await hub.subscribe(lambda event: True)
    ending = asyncio.create_task(waiting.next(3600))
    await asyncio.sleep(0)
    hub.close()
    async with asyncio.timeout(SOON_S):
        assert await ending is None
    assert waiting.over


async def test_hub_that_is_closed_before_it_has_looked_keeps_nobody_waiting(hub: EventHub, lists: Lists) -> None:
    lists.answers.clear()
    waiting = [asyncio.create_task(hub.subscribe(lambda event: True)) for _ in range(3)]
    async with asyncio.timeout(SOON_S):
        while not lists.looks:
            await asyncio.sleep(0)
        hub.close()
        assert [subscription.over for subscription in await asyncio.gather(*waiting)] == [True] * 3


async def test_event_about_which_nothing_more_can_be_found_is_told_once_all_the_same(
    hub: EventHub, lists: Lists
) -> None:
    lists.found_error = ValueError("Nobody thought of it.")
    async with await hub.subscribe(lambda event: True) as subscription:
        lists.put("orders", ClusterPhase.READY, conditions=("Degraded",))
        raised = await subscription.next(SOON_S)
        assert raised is not None
        assert raised.event.kind is EventKind.CONDITION_RAISED
        lists.clusters.clear()
        later = await subscription.next(SOON_S)
        assert later is not None
        assert later.event.kind is EventKind.CONDITION_LIFTED
