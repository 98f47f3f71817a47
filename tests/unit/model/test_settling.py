"""Which node is the primary after an operation that did not complete."""

import pytest

from model.errors import NeedsOperator
from model.settling import Seen, choose_primary

P, S, SP, SS, SILENT, MISSING = (
    Seen.PRIMARY,
    Seen.STANDBY,
    Seen.STOPPED_PRIMARY,
    Seen.STOPPED_STANDBY,
    Seen.SILENT,
    Seen.MISSING,
)


@pytest.mark.parametrize(
    ("recorded", "a", "b", "chosen"),
    [
        ("a", P, S, "a"),
        ("a", P, MISSING, "a"),
        ("a", S, P, "b"),  # promoted and not recorded
        ("a", SP, P, "b"),  # … with the fenced one still stopped
        ("a", SP, S, "a"),  # stopped on purpose, or crashed: started in place
        ("a", SP, SS, "a"),
        ("a", SS, SP, "b"),
        ("a", SP, MISSING, "a"),
        ("a", SP, SILENT, "a"),
        ("b", P, SILENT, "a"),
        ("b", SP, S, "a"),  # recorded while it was promoted, and lost before it was
        ("b", SP, SS, "a"),
    ],
)
def test_primary_is_who_takes_writes_or_would(recorded: str, a: Seen, b: Seen, chosen: str) -> None:
    assert choose_primary(recorded, {"a": a, "b": b}) == chosen


@pytest.mark.parametrize(("a", "b", "chosen"), [(1, 2, "b"), (3, 2, "a")])
def test_of_two_that_took_writes_the_one_that_was_promoted_last_is_started(a: int, b: int, chosen: str) -> None:
    assert choose_primary("a", {"a": SP, "b": SP}, {"a": a, "b": b}) == chosen


@pytest.mark.parametrize(("a", "b"), [(2, 2), (None, 2), (1, None)])
def test_of_two_that_took_writes_none_is_chosen_by_guess(a: int | None, b: int | None) -> None:
    with pytest.raises(NeedsOperator, match="not to be seen"):
        choose_primary("a", {"a": SP, "b": SP}, {"a": a, "b": b})


@pytest.mark.parametrize(
    ("recorded", "a", "b"),
    [
        ("a", P, P),
        ("a", SP, SP),
        ("a", S, S),
        ("a", SS, S),
        ("a", MISSING, S),
        ("a", SILENT, S),
        ("b", SP, MISSING),  # the recorded primary is gone, and the other may be behind it
        ("b", SP, SILENT),
        ("a", MISSING, MISSING),
    ],
)
def test_nothing_is_promoted_or_chosen_by_guess(recorded: str, a: Seen, b: Seen) -> None:
    with pytest.raises(NeedsOperator):
        choose_primary(recorded, {"a": a, "b": b})
