"""Whether the standby that commits wait for acknowledges, as its primary's probes tell."""

from itertools import pairwise

from model.acknowledgement import OVERDUE_S, Acknowledgement, StandbySeen

EVERY_S = 0.5
TEN_S = 20
"""Looks in ten seconds."""


def seen(written: int, flushed: int | None, replied: int | None, waits_for: str = "b") -> StandbySeen:
    return StandbySeen(
        waits_for=waits_for, written=written, flushed=flushed, replied=None if replied is None else str(replied)
    )


def overdue(*looks: StandbySeen, every_s: float = EVERY_S) -> list[float]:
    """Return when the standby was overdue, with a look each so many seconds."""
    judgement, moments = Acknowledgement(), list[float]()
    for number, look in enumerate(looks):
        judgement = judgement.after(look, number * every_s)
        if judgement.overdue:
            moments.append(number * every_s)
    return moments


def test_busy_standby_that_follows_is_not_overdue() -> None:
    assert overdue(*(seen(100 * n, 100 * n, n) for n in range(TEN_S))) == []


def test_idle_standby_that_reports_each_second_is_not_overdue() -> None:
    assert overdue(*(seen(100, 100, n // 2) for n in range(TEN_S))) == []


def test_standby_that_is_behind_and_catches_up_is_not_overdue() -> None:
    assert overdue(*(seen(10_000, 10 * n, n) for n in range(TEN_S))) == []


def test_standby_that_stops_reporting_is_overdue_after_three_seconds() -> None:
    follows = [seen(100, 100, n) for n in range(4)]
    stopped = [seen(100 + n, 100, 3) for n in range(TEN_S)]
    assert overdue(*follows, *stopped)[0] == 3 * EVERY_S + OVERDUE_S


def test_idle_standby_that_stops_reporting_is_overdue_before_anybody_commits() -> None:
    assert overdue(*(seen(100, 100, 1) for _ in range(TEN_S)))[0] == OVERDUE_S


def test_standby_that_reports_and_gets_nothing_is_overdue() -> None:
    follows = [seen(100, 100, n) for n in range(4)]
    starved = [seen(200, 100, 4 + n) for n in range(TEN_S)]
    # What was written after the last look is allowed for once.
    assert overdue(*follows, *starved)[0] == 4 * EVERY_S + OVERDUE_S


def test_standby_that_does_not_stream_is_overdue_and_one_that_comes_back_is_not() -> None:
    follows, gone = seen(100, 100, 1), seen(200, None, None)
    assert overdue(follows, *[gone] * TEN_S)[0] == OVERDUE_S
    assert overdue(follows, *[gone] * 4, seen(200, 200, 2), *[gone] * 4) == []


def test_standby_that_commits_do_not_wait_for_is_never_overdue() -> None:
    assert overdue(*(seen(100 + n, None, None, waits_for="") for n in range(TEN_S))) == []


def test_time_runs_from_when_commits_begin_to_wait() -> None:
    alone = [seen(100, None, None, waits_for="")] * TEN_S
    assert overdue(*alone, *[seen(100, None, None)] * TEN_S)[0] == TEN_S * EVERY_S + OVERDUE_S


def test_primary_that_stood_still_itself_has_to_be_looked_at_again() -> None:
    moments = overdue(*[seen(100, 100, 1)] * 6, every_s=60)
    assert moments[0] == 4 * 60
    assert all(later - earlier == 60 for earlier, later in pairwise(moments))
