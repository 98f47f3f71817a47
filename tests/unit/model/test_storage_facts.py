"""What is recorded after a look at storage, and when a cluster grows by itself."""

from datetime import UTC, datetime, timedelta

import pytest

from model.cluster import ClusterState
from model.facts import StorageIs, apply
from model.storage import GB, AutoGrow, NodeUsage, StorageLevel, StorageLook, filled_in
from model.storage_facts import STORAGE_FULL, STORAGE_LOW, facts_after, grown_to
from tests.workflows.samples import ready_cluster

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def seen(state: ClusterState, used_gb: float, minutes: int = 0) -> ClusterState:
    at = NOW + timedelta(minutes=minutes)
    nodes = (
        NodeUsage(name="a", data_bytes=GB // 2, wal_bytes=0, temp_bytes=0),
        NodeUsage(name="b", data_bytes=int(used_gb * GB), wal_bytes=0, temp_bytes=0),
    )
    return apply(state, facts_after(state, StorageLook(at=at, nodes=nodes), at))


def held(state: ClusterState) -> set[str]:
    return {condition.type for condition in state.status.conditions}


def test_conditions_follow_the_fullest_node():
    state = seen(ready_cluster(), 1)
    assert held(state) == set()
    state = seen(state, 8.6, 1)
    assert held(state) == {STORAGE_LOW}
    low = state.status.condition(STORAGE_LOW)
    assert low is not None
    for said in ("Node b uses 8.60 of its 10 GB (86 %)", "is not known yet", "--grow-to 20"):
        assert said in low.message
    state = seen(state, 9.6, 2)
    assert held(state) == {STORAGE_FULL}
    full = state.status.condition(STORAGE_FULL)
    assert full is not None
    for said in ("(96 %)", "only read until less than 90 %", "default_transaction_read_only = off", "VACUUM FULL"):
        assert said in full.message
    state = seen(state, 8.9, 3)
    assert held(state) == {STORAGE_LOW}
    assert held(seen(state, 5, 4)) == set()


def test_cluster_whose_full_replica_is_silent_is_judged_by_its_primary():
    state = seen(ready_cluster(), 9.6)
    before = state.status.storage.look
    assert before is not None
    (a, b), at = before.nodes, NOW + timedelta(minutes=5)
    a = a.model_copy(update={"data_bytes": int(8.6 * GB)})
    missed = filled_in(StorageLook(at=NOW + timedelta(minutes=1), nodes=(a,), read_only=True), before)
    look = filled_in(StorageLook(at=at, nodes=(a,), read_only=True), missed)
    state = apply(state, facts_after(state, look, at))
    assert held(state) == {STORAGE_LOW}
    low = state.status.condition(STORAGE_LOW)
    assert low is not None
    assert low.message.startswith("What node b uses is not known since 2026-01-01 00:00 UTC. Node a uses 8.60")
    back = StorageLook(at=at + timedelta(minutes=1), nodes=(a, b), read_only=False)
    assert held(apply(state, facts_after(state, back, at))) == {STORAGE_FULL}


def test_condition_keeps_its_beginning_while_its_words_change():
    state = seen(seen(ready_cluster(), 8.6), 9, 60)
    low = state.status.condition(STORAGE_LOW)
    assert low is not None
    assert low.since == NOW
    assert "9.00" in low.message


@pytest.mark.parametrize(
    ("used", "said"),
    [
        ((8.5, 8.6, 8.7), "It grows by 2.40 GB a day, and is full on 2026-01-01 at that rate."),
        ((8.7, 8.7, 8.7), "It is not growing."),
        ((8.9, 8.8, 8.7), "It is not growing."),
    ],
)
def test_low_storage_says_when_it_will_be_full(used: tuple[float, ...], said: str):
    state = ready_cluster()
    for hour, used_gb in enumerate(used):
        state = seen(state, used_gb, 60 * hour)
    low = state.status.condition(STORAGE_LOW)
    assert low is not None
    assert said in low.message


def test_more_storage_is_enough_and_never_less():
    state = seen(ready_cluster(), 9.6)
    grown = apply(state, [StorageIs(storage_gb=20)])
    look = grown.status.storage.look
    assert look is not None
    after = apply(grown, facts_after(grown, look, NOW))
    assert after.status.storage.level is StorageLevel.OK
    assert held(after) == set()
    assert apply(after, [StorageIs(storage_gb=5)]).spec.storage_gb == 20


@pytest.mark.parametrize(
    ("has", "growth", "to"),
    [
        (10, None, None),
        (10, AutoGrow(step_gb=5, max_gb=100), 15),
        (98, AutoGrow(step_gb=5, max_gb=100), 100),
        (100, AutoGrow(step_gb=5, max_gb=100), None),
        (998, AutoGrow(step_gb=5, max_gb=5000), 1000),
        (1000, AutoGrow(step_gb=5, max_gb=5000), None),
    ],
)
def test_growth_by_itself_is_in_steps_up_to_a_bound(has: int, growth: AutoGrow | None, to: int | None):
    assert grown_to(has, growth) == to
