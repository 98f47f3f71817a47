"""How figures and times are written on pages."""

from datetime import UTC, datetime, timedelta

import pytest

from starter.dashboard.page import ago, duration, moment, operation_path, size, words

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "–"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 kB"), (150 * 2**20, "150 MB"), (2**50, "1024 TB")],
)
def test_sizes(count: int | None, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.4234, "0.42 s"), (1.55, "1.6 s"), (59.4, "59 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=23), "23 h ago"),
        (timedelta(days=1), "1 day ago"),
        (timedelta(days=3, hours=5), "3 days ago"),
    ],
)
def test_how_long_ago(before: timedelta, text: str) -> None:
    assert ago(NOW - before, now=NOW) == text


def test_words_moments_and_paths() -> None:
    assert (words("ChangePlan"), words("rolled_back")) == ("Change plan", "Rolled back")
    assert (moment(None), moment(NOW)) == ("–", "2026-03-01 12:00:00 UTC")
    assert operation_path("restart/orders/a:b") == "/operations/restart/orders/a%3Ab"
