"""Cron lines: when they are due, and which are none."""

from datetime import UTC, datetime, timedelta

import pytest

from model.cron import SHORTEST, check_cron, first_after, parse_cron

SATURDAY = datetime(2026, 11, 28, 17, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "due", "interval"),
    [
        ("15 2 * * 0", datetime(2026, 11, 29, 2, 15, tzinfo=UTC), timedelta(days=7)),
        ("15 2 * * 7", datetime(2026, 11, 29, 2, 15, tzinfo=UTC), timedelta(days=7)),
        ("15 2 * * sun", datetime(2026, 11, 29, 2, 15, tzinfo=UTC), timedelta(days=7)),
        ("15 2 * * 1-6", datetime(2026, 11, 30, 2, 15, tzinfo=UTC), timedelta(days=1)),
        ("1 17 * * *", datetime(2026, 11, 28, 17, 1, tzinfo=UTC), timedelta(days=1)),
        ("0 17 * * *", datetime(2026, 11, 29, 17, 0, tzinfo=UTC), timedelta(days=1)),
        ("*/20 * * * *", datetime(2026, 11, 28, 17, 20, tzinfo=UTC), timedelta(minutes=20)),
        ("10/25 3,15 * * *", datetime(2026, 11, 29, 3, 10, tzinfo=UTC), timedelta(minutes=25)),
        ("0 4 1 */3 *", datetime(2027, 1, 1, 4, 0, tzinfo=UTC), timedelta(days=90)),
        ("0 0 31 * *", datetime(2026, 12, 31, 0, 0, tzinfo=UTC), timedelta(days=31)),
        ("0 0 29 feb *", datetime(2028, 2, 29, 0, 0, tzinfo=UTC), timedelta(days=4 * 365 + 1)),
    ],
)
def test_when_a_line_is_due(line: str, due: datetime, interval: timedelta):
    cron = parse_cron(line)
    assert cron.after(SATURDAY) == due
    assert cron.interval(SATURDAY) == interval


def test_what_is_due_just_now_is_due_again_at_its_next_time():
    noon = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    assert parse_cron("0 12 * * *").after(noon) == noon + timedelta(days=1)


def test_first_of_several():
    weekly, daily = parse_cron("15 2 * * 0"), parse_cron("15 2 * * 1-6")
    assert first_after([weekly, daily], SATURDAY) == datetime(2026, 11, 29, 2, 15, tzinfo=UTC)


def test_spaces_do_not_matter():
    assert check_cron("  15  2 * * 0 ") == "15 2 * * 0"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "is not one: it takes minute, hour"),
        ("15 2 * *", "is not one"),
        ("0 15 2 * * 0", "is not one"),
        ("@daily", "is not one"),
        ("60 2 * * 0", "'60' is no minute, which is 0 to 59"),
        ("x 2 * * 0", "'x' is no minute"),
        ("15 24 * * 0", "'24' is no hour"),
        ("15 2 0 * *", "'0' is no day of the month"),
        ("15 2 * 13 *", "'13' is no month"),
        ("15 2 * * 8", "'8' is no day of the week"),
        ("*/0 2 * * *", "'*/0' is no minute"),
        ("5-1 2 * * *", "'5-1' is no minute"),
        ("1- 2 * * *", "'' is no minute"),
        ("1,,2 2 * * *", "'' is no minute"),
        ("² 2 * * *", "'²' is no minute"),
        ("0 0 30 2 *", "a day that never comes"),
        ("0 0 1 * 1", "leave one of them *"),
    ],
)
def test_what_is_no_cron_line(line: str, said: str):
    with pytest.raises(ValueError) as caught:
        check_cron(line)
    assert said in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("line", "too_often"),
    [
        ("* * * * *", True),
        ("*/10 * * * *", True),
        ("0,14 2 * * 0", True),
        ("50 0,23 * * *", False),
        ("0,59 0,23 * * *", True),
        ("*/15 * * * *", False),
        ("0,15 2 * * 0", False),
        ("55 0-23/23 1 * *", False),
        ("0,50 0,23 1 * *", False),
        ("0,50 0,23 1,2 * *", True),
        ("0,50 0,23 31 * *", False),
        ("0,50 0,23 1,31 * *", True),
        ("0 0 * * *", False),
    ],
)
def test_schedule_that_comes_too_often_is_refused_in_one_sentence(line: str, too_often: bool):
    assert parse_cron(line).comes_within(SHORTEST) is too_often
    if too_often:
        with pytest.raises(ValueError, match=r"comes more often than every 15 minutes: .*\.$"):
            check_cron(line)
    else:
        assert check_cron(line) == line
