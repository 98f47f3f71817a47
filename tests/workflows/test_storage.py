"""A cluster whose storage fills: who is told that clients may only read, and when it grows by itself."""

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowFailureError

from model.cluster import ClusterState
from model.conditions import DOES_NOT_GROW
from model.errors import HostFull
from model.facts import AutoGrowIs, apply
from model.operations import GrowStorageRequest, SwitchoverRequest
from model.storage import GB, KNOWN_FOR, TELL_AT_LEAST_EVERY, AutoGrow, NodeUsage, StorageLevel, StorageLook
from model.storage_facts import STORAGE_FULL, STORAGE_LOW
from tests.workflows.bench import Bench, until
from tests.workflows.samples import ready_cluster
from tests.workflows.stubs import fails

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REFUSE, ALLOW = "set_read_only on=a True", "set_read_only on=a False"


class Filling:
    """A cluster of 10 GB, and what its watch says."""

    def __init__(self, bench: Bench, state: ClusterState) -> None:
        self.bench = bench
        self.key = state.spec.id
        self._at = NOW

    async def is_seen(
        self,
        used_gb: float,
        *,
        read_only: bool | None = None,
        silent: tuple[str, ...] = ("b",),
        after: timedelta = timedelta(minutes=1),
    ) -> None:
        self._at += after
        used = int(used_gb * GB)
        names = [name for name in ("a", "b") if name not in silent]
        nodes = tuple(NodeUsage(name=name, data_bytes=used, wal_bytes=0, temp_bytes=0) for name in names)
        look = StorageLook(at=self._at, nodes=nodes, read_only=read_only)
        await self.bench.client.get_workflow_handle(f"cluster/{self.key}").signal("storage_seen", look)

    @property
    def told(self) -> list[str]:
        return [call.text for call in self.bench.stubs.calls if call.effect == "set_read_only"]

    async def until_told(self, *texts: str) -> None:
        async def so() -> bool:
            return self.told == list(texts)

        await until(so)

    async def conditions(self) -> dict[str, str]:
        status = (await self.bench.view(self.key)).state.status
        return {each.type: each.message for each in status.conditions}


@pytest.fixture
async def filling(bench: Bench) -> Filling:
    state = ready_cluster()
    await bench.cluster(state)
    return Filling(bench, state)


async def test_full_cluster_is_read_only_until_there_is_room(filling: Filling):
    await filling.is_seen(1)
    assert await filling.conditions() == {}
    await filling.is_seen(8.6)
    assert list(await filling.conditions()) == [STORAGE_LOW]
    await filling.is_seen(9.6)
    await filling.until_told(REFUSE)
    assert list(await filling.conditions()) == [STORAGE_FULL]
    await filling.is_seen(9.2, read_only=True)
    assert list(await filling.conditions()) == [STORAGE_FULL]
    await filling.is_seen(8.9, read_only=True)
    await filling.until_told(REFUSE, ALLOW)
    await filling.is_seen(1, read_only=False)
    assert await filling.conditions() == {}
    assert filling.told == [REFUSE, ALLOW]


async def test_silent_replica_holds_nobody_back(filling: Filling):
    """Its primary was freed of what filled both; the replica's own figure is from before."""
    await filling.is_seen(9.6, silent=())
    await filling.until_told(REFUSE)
    await filling.is_seen(2, read_only=True, silent=("b",))
    assert list(await filling.conditions()) == [STORAGE_FULL], "it may answer the next time"
    await filling.is_seen(2, read_only=True, silent=("b",), after=KNOWN_FOR)
    await filling.until_told(REFUSE, ALLOW)
    assert await filling.conditions() == {}


async def test_replica_that_is_missed_long_after_what_is_on_record_is_given_its_time(filling: Filling):
    await filling.is_seen(9.6, silent=())
    await filling.until_told(REFUSE)
    await filling.is_seen(2, read_only=True, silent=("b",), after=TELL_AT_LEAST_EVERY)
    assert list(await filling.conditions()) == [STORAGE_FULL], "nobody knows yet that it is silent for long"
    await filling.is_seen(2, read_only=True, silent=("b",), after=2 * KNOWN_FOR)
    await filling.until_told(REFUSE, ALLOW)


async def test_primary_that_is_otherwise_than_on_record_is_told(filling: Filling):
    await filling.is_seen(1, read_only=True)
    await filling.until_told(ALLOW)
    await filling.is_seen(9.6, read_only=False)
    await filling.until_told(ALLOW, REFUSE)

    async def told_again() -> bool:
        # Not while it is being told: then what was seen may be from before.
        await filling.is_seen(9.6, read_only=False)
        return filling.told[:3] == [ALLOW, REFUSE, REFUSE]

    await until(told_again)


async def test_new_primary_is_told(filling: Filling):
    await filling.is_seen(9.6)
    await filling.until_told(REFUSE)
    await filling.bench.run(SwitchoverRequest(cluster_id=filling.key))
    await filling.until_told(REFUSE, "set_read_only on=b True")


async def test_growth_lets_clients_write_before_it_ends(filling: Filling):
    await filling.is_seen(9.6)
    await filling.until_told(REFUSE)
    result = await filling.bench.run(GrowStorageRequest(cluster_id=filling.key, storage_gb=20))
    assert filling.told[:2] == [REFUSE, ALLOW]
    assert "has 20 GB per node" in result.message
    state = (await filling.bench.view(filling.key)).state
    assert (state.spec.storage_gb, state.status.storage.level) == (20, StorageLevel.OK)
    assert state.status.conditions == ()


async def test_growth_that_is_not_enough_leaves_it_read_only(filling: Filling):
    await filling.is_seen(19.9)
    await filling.until_told(REFUSE)
    await filling.bench.run(GrowStorageRequest(cluster_id=filling.key, storage_gb=20))
    assert filling.told == [REFUSE]
    assert list(await filling.conditions()) == [STORAGE_FULL]


async def test_growth_that_the_disk_cannot_hold_changes_nothing(filling: Filling):
    filling.bench.stubs.plan("check_disk for 20 GB", fails(HostFull("There are 3 GB left.")))
    await filling.is_seen(9.6)
    with pytest.raises(WorkflowFailureError):
        await filling.bench.run(GrowStorageRequest(cluster_id=filling.key, storage_gb=20))
    assert (await filling.bench.free(filling.key)).state.spec.storage_gb == 10
    await filling.until_told(REFUSE)


@pytest.fixture
async def growing(bench: Bench) -> Filling:
    state = apply(ready_cluster(), [AutoGrowIs(auto_grow=AutoGrow(step_gb=5, max_gb=18))])
    await bench.cluster(state)
    return Filling(bench, state)


async def until_has(cluster: Filling, storage_gb: int) -> None:
    async def so() -> bool:
        view = await cluster.bench.view(cluster.key)
        return view.state.spec.storage_gb == storage_gb and view.operation is None

    await until(so)


async def test_cluster_grows_by_itself_in_steps_up_to_its_bound(growing: Filling):
    await growing.is_seen(8)
    await growing.is_seen(8.6)
    await until_has(growing, 15)
    assert await growing.conditions() == {}
    await growing.is_seen(13)
    await until_has(growing, 18)
    await growing.is_seen(17.5)
    await growing.until_told("set_read_only on=a True")
    assert [call.text for call in growing.bench.stubs.calls if call.effect == "check_disk"] == [
        "check_disk for 15 GB",
        "check_disk for 18 GB",
    ]


async def test_cluster_that_could_not_grow_says_why(growing: Filling):
    growing.bench.stubs.plan("check_disk for 15 GB", fails(HostFull("There are 3 GB left.")))
    await growing.is_seen(8.6)

    async def told() -> bool:
        return "There are 3 GB left." in (await growing.conditions()).get(DOES_NOT_GROW, "")

    await until(told)
    await growing.is_seen(8.7)
    assert [call.effect for call in growing.bench.stubs.calls].count("check_disk") == 1
