"""Cron lines: minute, hour, day of the month, month, day of the week; in UTC.

Only what means the same to everybody who reads such lines: no seconds, no ``@daily``, no line with a day of the month
*and* a day of the week, where cron takes either and Temporal both.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator

from model.base import Record

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
SHORTEST = timedelta(minutes=15)
"""Between two times of a schedule: what lies between backups comes back from the archive, at any moment."""
_LONGEST_PAUSE_DAYS = 8 * 366
"""Between two leap days there may be eight years: 29 February of 2096 and of 2104."""


class _Field(Record):
    name: str
    first: int
    last: int
    words: tuple[str, ...] = ()


_FIELDS = (
    _Field(name="minute", first=0, last=59),
    _Field(name="hour", first=0, last=23),
    _Field(name="day of the month", first=1, last=31),
    _Field(name="month", first=1, last=12, words=("", *_MONTHS)),
    _Field(name="day of the week", first=0, last=7, words=_DAYS),
)
EXAMPLE = "15 2 * * 0"


class Cron(Record):
    """When something is due. Days of the week are 0 (Sunday) to 6."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def after(self, moment: datetime) -> datetime:
        """Return the first minute after *moment* at which it is due; *moment* is taken as UTC."""
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        for _ in range(_LONGEST_PAUSE_DAYS):
            if self._is_day(day):
                due = (day.replace(hour=hour, minute=minute) for hour in sorted(self.hours) for minute in self._minutes)
                if found := next((each for each in due if each > moment), None):
                    return found
            day += timedelta(days=1)
        raise ValueError("It names a day that never comes.")

    def interval(self, moment: datetime) -> timedelta:
        """Return the time between the next two times at which it is due after *moment*."""
        first = self.after(moment)
        return self.after(first) - first

    def comes_within(self, bound: timedelta) -> bool:
        """Tell whether it is ever due twice within less than *bound*, which is less than a day."""
        times = [timedelta(hours=hour, minutes=minute) for hour in sorted(self.hours) for minute in self._minutes]
        if any(later - earlier < bound for earlier, later in pairwise(times)):
            return True
        return times[0] + timedelta(days=1) - times[-1] < bound and self._has_days_in_a_row()

    def _has_days_in_a_row(self) -> bool:
        first = datetime(2000, 1, 1, tzinfo=UTC)
        days = [self._is_day(first + timedelta(days=n)) for n in range(_LONGEST_PAUSE_DAYS)]
        return any(earlier and later for earlier, later in pairwise(days))

    @property
    def _minutes(self) -> list[int]:
        return sorted(self.minutes)

    def _is_day(self, day: datetime) -> bool:
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays


def parse_cron(line: str) -> Cron:
    """Return what *line* says. Raises ``ValueError`` with one sentence."""
    parts = line.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(
            f"Cron line {line!r} is not one: it takes minute, hour, day of the month, month and day of the week, "
            f"such as '{EXAMPLE}' for Sundays at 02:15 UTC."
        )
    minutes, hours, days, months, weekdays = (
        _values(part, field, line) for part, field in zip(parts, _FIELDS, strict=True)
    )
    if parts[2] != "*" and parts[4] != "*":
        raise ValueError(f"Cron line {line!r} names days of the month and of the week: leave one of them *.")
    cron = Cron(minutes=minutes, hours=hours, days=days, months=months, weekdays=frozenset(day % 7 for day in weekdays))
    if not _ever_comes(days, months):
        raise ValueError(f"Cron line {line!r} names a day that never comes.")
    return cron


def check_cron(line: str) -> str:
    """Return *line*, with single spaces, if it is the cron line of a schedule. Raises ``ValueError``: one sentence.

    One that is on record already may come more often than a new one may.
    """
    if parse_cron(line).comes_within(SHORTEST):
        minutes = SHORTEST // timedelta(minutes=1)
        raise ValueError(
            f"Cron line {line!r} comes more often than every {minutes} minutes: any moment between two backups can be "
            "restored as it is."
        )
    return " ".join(line.split())


CronLine = Annotated[str, AfterValidator(check_cron)]

OFF = "off"


def check_cron_or_off(line: str) -> str:
    """Return *line* with single spaces if it is a cron line or ``off``; raises ``ValueError`` with one sentence."""
    return OFF if line.strip().lower() == OFF else check_cron(line)


CronLineOrOff = Annotated[str, AfterValidator(check_cron_or_off)]


def first_after(crons: Iterable[Cron], moment: datetime) -> datetime:
    """Return the first time after *moment* at which any of *crons* is due."""
    return min(cron.after(moment) for cron in crons)


def _values(part: str, field: _Field, line: str) -> frozenset[int]:
    return frozenset(value for item in part.split(",") for value in _range(item, field, line))


def _range(item: str, field: _Field, line: str) -> range:
    span, slash, step = item.partition("/")
    first, dash, last = span.partition("-")
    if span == "*":
        low, high = field.first, field.last
    elif dash:
        low, high = _value(first, field, line), _value(last, field, line)
    else:
        low = _value(first, field, line)
        high = field.last if slash else low
    if low > high or (slash and not (step.isdecimal() and int(step) > 0)):
        raise _wrong(item, field, line)
    return range(low, high + 1, int(step) if slash else 1)


def _value(word: str, field: _Field, line: str) -> int:
    if word and word.lower() in field.words:
        return field.words.index(word.lower())
    if not (word.isascii() and word.isdecimal()) or not field.first <= int(word) <= field.last:
        raise _wrong(word, field, line)
    return int(word)


def _wrong(word: str, field: _Field, line: str) -> ValueError:
    return ValueError(
        f"Cron line {line!r} cannot be read: {word!r} is no {field.name}, which is {field.first} to {field.last}."
    )


def _ever_comes(days: frozenset[int], months: frozenset[int]) -> bool:
    longest = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
    return any(min(days) <= longest.get(month, 31) for month in months)
