"""How full a cluster is, how fast it grows, what is worth telling, and when to look again."""

from datetime import UTC, datetime, timedelta
from math import ceil

import pytest

from model import storage as rules
from model.storage import (
    GB,
    HISTORY,
    LOOK_S,
    LOOK_SOON_S,
    TELL_AT_LEAST_EVERY,
    NodeUsage,
    Storage,
    StorageLevel,
    StorageLook,
    UsedAt,
    after_look,
    answers_again,
    bytes_per_day,
    filled_in,
    full_from,
    full_on,
    is_worth_telling,
    level_after,
    look_again_s,
)

OK, LOW, FULL = StorageLevel.OK, StorageLevel.LOW, StorageLevel.FULL
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HUNDRED = 100 * GB


def look(used: float, at: datetime = NOW, *, read_only: bool | None = None) -> StorageLook:
    """A look at two nodes of which one uses *used* bytes and the other nothing."""
    full = NodeUsage(name="a", data_bytes=int(used), wal_bytes=0, temp_bytes=0)
    return StorageLook(
        at=at, nodes=(full, NodeUsage(name="b", data_bytes=0, wal_bytes=0, temp_bytes=0)), read_only=read_only
    )


def growing(*gigabytes: float, every: timedelta = timedelta(days=1)) -> tuple[UsedAt, ...]:
    return tuple(UsedAt(at=NOW + n * every, used_bytes=int(used * GB)) for n, used in enumerate(gigabytes))


@pytest.mark.parametrize(
    ("before", "share", "after"),
    [
        (OK, 0.84, OK), (OK, 0.85, LOW), (OK, 0.95, FULL),
        (LOW, 0.84, LOW), (LOW, 0.82, OK), (LOW, 0.949, LOW), (LOW, 0.95, FULL),
        (FULL, 0.94, FULL), (FULL, 0.90, FULL), (FULL, 0.899, LOW), (FULL, 0.5, OK), (FULL, 1.2, FULL),
    ],
)  # fmt: skip
@pytest.mark.parametrize("provided_gb", [1, 10, 1000])
def test_level_rises_at_once_and_falls_below_a_lower_line(
    before: StorageLevel, share: float, after: StorageLevel, provided_gb: int
):
    assert level_after(before, ceil(share * provided_gb * GB), provided_gb * GB) is after


@pytest.mark.parametrize(
    ("provided_gb", "left_gb"), [(1, 0.05), (10, 0.5), (26, 1.3), (27, 2), (30, 2), (40, 2), (100, 5), (1000, 50)]
)
def test_two_gigabytes_are_kept_free_where_that_leaves_a_cluster_usable(provided_gb: int, left_gb: float):
    assert (provided_gb * GB - full_from(provided_gb * GB)) / GB == pytest.approx(left_gb, abs=0.001)


@pytest.mark.parametrize("provided_gb", [1, 2, 10, 26, 27, 30, 40, 1000])
def test_full_begins_above_where_it_ends(provided_gb: int):
    assert full_from(provided_gb * GB) > rules.FULL_OVER_SHARE * provided_gb * GB
    assert level_after(OK, 0, provided_gb * GB) is OK


@pytest.mark.parametrize(
    ("history", "gb_a_day"),
    [
        ((), None),
        (growing(1, 2), None),
        (growing(1, 2, 3, every=timedelta(minutes=4)), None),
        (growing(1, 2, 3), 1),
        (growing(5, 5, 5), 0),
        (growing(3, 2, 1), -1),
        (growing(1, 3, 2, 4), 0.8),
        (growing(1, 2, 3, every=timedelta(hours=12)), 2),
    ],
)
def test_rate_is_of_least_squares(history: tuple[UsedAt, ...], gb_a_day: float | None):
    rate = bytes_per_day(history)
    assert rate is None if gb_a_day is None else rate == pytest.approx(gb_a_day * GB)


@pytest.mark.parametrize(
    ("used", "days"), [((87, 88, 89), 11), ((89, 89, 89), None), ((89, 88, 87), None), ((1, 1.01, 1.02), None)]
)
def test_day_on_which_it_is_full(used: tuple[float, ...], days: float | None):
    history = growing(*used)
    seen = Storage(look=look(history[-1].used_bytes, history[-1].at), history=history)
    day = full_on(seen, HUNDRED)
    if days is None:
        assert day is None
    else:
        assert day is not None
        assert abs(day - (history[-1].at + timedelta(days=days))) < timedelta(seconds=1)


def test_history_is_bounded_and_ordered_and_forgets_what_is_old():
    seen = Storage()
    for hour in range(3 * HISTORY):
        seen = after_look(seen, look(GB, NOW + timedelta(hours=hour)), HUNDRED)
    assert len(seen.history) == HISTORY
    assert [each.at for each in seen.history] == sorted(each.at for each in seen.history)
    assert after_look(seen, seen.look or look(0), HUNDRED) == seen
    later = after_look(seen, look(GB, NOW + timedelta(days=365)), HUNDRED)
    assert len(later.history) == 1


@pytest.mark.parametrize(
    ("used_gb", "read_only", "minutes", "worth"),
    [
        (50, None, 1, False), (52, None, 1, False), (52, None, 5, True), (48, None, 5, True), (51.9, None, 5, False),
        (50, None, 359, False), (50, None, 360, True), (85, None, 0.1, True), (95, None, 0.1, True),
        (50, False, 1, False), (50, True, 1, True),
    ],
)  # fmt: skip
def test_what_is_worth_an_event(used_gb: float, read_only: bool | None, minutes: float, worth: bool):
    told = after_look(Storage(), look(50 * GB), HUNDRED)
    seen = look(used_gb * GB, NOW + timedelta(minutes=minutes), read_only=read_only)
    assert is_worth_telling(told, seen, HUNDRED) is worth


def test_node_that_gives_no_answer_is_as_full_as_it_was():
    former = look(50 * GB)
    alone = former.model_copy(update={"nodes": former.nodes[1:]})
    assert filled_in(alone, former).used_bytes == 50 * GB
    assert filled_in(alone, former).nodes[-1].seen_at == former.at
    assert filled_in(alone, None) == alone
    assert filled_in(look(GB), former) == look(GB)


@pytest.mark.parametrize(
    ("minutes", "primary_answers", "used_gb"),
    [(1, True, 50), (3, True, 50), (4, True, 0), (60, True, 0), (4, False, 50), (60, False, 50)],
)
def test_node_that_is_silent_for_long_is_not_known_beside_a_primary_that_answers(
    minutes: int, primary_answers: bool, used_gb: int
):
    former, other = look(50 * GB), look(0).nodes[1:]
    for minute in range(1, minutes + 1):
        read_only = True if primary_answers else None
        seen = StorageLook(at=NOW + timedelta(minutes=minute), nodes=other, read_only=read_only)
        former = filled_in(seen, former)
    assert former.used_bytes == used_gb * GB
    assert {node.name: node.seen_at for node in former.nodes} == {"a": NOW, "b": None}


@pytest.mark.parametrize(("minutes", "used_gb"), [(0, 50), (1, 50), (3, 50), (4, 0)])
def test_look_from_long_ago_does_not_tell_since_when_a_node_is_silent(minutes: int, used_gb: int):
    """The last one on record is up to six hours old, and all that a watch knows that has just begun."""
    former, began = look(50 * GB), NOW + TELL_AT_LEAST_EVERY
    for minute in range(minutes + 1):
        seen = StorageLook(at=began + timedelta(minutes=minute), nodes=look(0).nodes[1:], read_only=True)
        former = filled_in(seen, former)
    assert former.used_bytes == used_gb * GB
    assert {node.name: node.seen_at for node in former.nodes} == {"a": began, "b": None}


def test_node_that_answers_again_is_told_of():
    former = look(50 * GB)
    silent = filled_in(former.model_copy(update={"at": NOW + timedelta(hours=1), "nodes": former.nodes[1:]}), former)
    assert answers_again(silent, former)
    assert not answers_again(silent, silent)
    assert not answers_again(former, silent)
    assert not answers_again(None, former)


def test_first_look_is_told():
    assert is_worth_telling(Storage(), look(0), HUNDRED)


@pytest.mark.parametrize(
    ("before_gb", "now_gb", "seconds", "again_s"),
    [
        (10, 10, 60, LOOK_S), (10, 11, 60, LOOK_S), (10, 60, 60, LOOK_SOON_S), (70, 84, 60, LOOK_SOON_S),
        (85, 85, 60, LOOK_SOON_S), (99, 90, 60, LOOK_SOON_S), (99, 10, 60, LOOK_S), (10, 10, 0, LOOK_S),
    ],
)  # fmt: skip
def test_cluster_that_fills_is_looked_at_more_often(before_gb: int, now_gb: int, seconds: int, again_s: float):
    used = [
        UsedAt(at=NOW, used_bytes=before_gb * GB),
        UsedAt(at=NOW + timedelta(seconds=seconds), used_bytes=now_gb * GB),
    ]
    assert look_again_s(used, HUNDRED) == again_s
