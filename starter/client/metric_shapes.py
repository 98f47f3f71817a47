"""What is shown of a cluster's metrics: charts with their series, and marks of what happened meanwhile."""

from enum import StrEnum

from model.base import Record
from model.operations import OperationOutcome

_SECONDS = {"m": 60, "h": 3600, "d": 86400}
_INTERVALS = 180
"""A range is shown as so many intervals: each step is whole seconds, and a point is some pixels wide."""


class MetricsRange(StrEnum):
    """How far back metrics are shown, up to now."""

    MINUTES_15 = "15m"
    HOUR = "1h"
    HOURS_6 = "6h"
    HOURS_24 = "24h"
    DAYS_2 = "2d"
    DAYS_7 = "7d"
    DAYS_30 = "30d"

    @property
    def seconds(self) -> int:
        """Length in seconds."""
        return int(self.value[:-1]) * _SECONDS[self.value[-1]]

    @property
    def step(self) -> int:
        """Seconds between two points."""
        return self.seconds // _INTERVALS


class Unit(StrEnum):
    """What the values of a chart are counted in."""

    PERCENT = "percent"
    BYTES = "bytes"
    COUNT = "count"
    PER_SECOND = "per_second"
    PER_MINUTE = "per_minute"
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"


class SeriesShape(Record):
    """One line of a chart. ``values`` has one for each of the times; None: there is none, a gap.

    ``limit``: it is what the others can reach at most.
    """

    name: str
    limit: bool = False
    values: tuple[float | None, ...]

    @property
    def latest(self) -> float | None:
        """The last value, or the one before where that is still to come."""
        return next((each for each in reversed(self.values[-2:]) if each is not None), None)


class ChartShape(Record):
    """A chart. ``missing`` says why there are no values where they could not be had; else None."""

    id: str
    title: str
    unit: Unit
    by_database: bool
    """Whether it is of the one database that was asked for."""
    series: tuple[SeriesShape, ...]
    missing: str | None = None


class MarkShape(Record):
    """An operation of the cluster in the range. Times in Unix seconds; ``end`` is None while it runs."""

    id: str
    kind: str
    failover: bool
    status: OperationOutcome
    start: float
    end: float | None


class MetricsShape(Record):
    """A cluster's metrics from ``since`` to ``until``, in Unix seconds; ``step`` is the seconds between two points.

    ``unavailable`` says in a sentence why there are no charts; None: there are.
    """

    range: MetricsRange
    database: str | None
    since: int
    until: int
    step: int
    times: tuple[int, ...]
    charts: tuple[ChartShape, ...]
    marks: tuple[MarkShape, ...]
    """Newest first."""
    unavailable: str | None = None

    @property
    def empty(self) -> bool:
        """Tell whether nothing was collected in the range."""
        return not any(chart.series or chart.missing for chart in self.charts)


class StatementHistoryShape(Record):
    """How often a statement ran, by all users together, and how long a call took in the mean; None: not known.

    ``id`` is its ``queryid``.
    """

    id: str
    database: str
    calls_per_second: tuple[float | None, ...]
    mean_ms: tuple[float | None, ...]


class StatementHistoriesShape(Record):
    """Histories of statements at ``times``, in Unix seconds. ``unavailable`` says in a sentence why there are none."""

    range: MetricsRange
    times: tuple[int, ...]
    statements: tuple[StatementHistoryShape, ...]
    unavailable: str | None = None


_PLAIN = {
    Unit.PERCENT: " %",
    Unit.COUNT: "",
    Unit.PER_SECOND: " /s",
    Unit.PER_MINUTE: " /min",
    Unit.MILLISECONDS: " ms",
}


def figure(value: float | None, unit: Unit) -> str:
    """Return *value* for people: ``1.4 GB`` in powers of 1024, ``12.3 %``, ``1,204 /s``, ``0.8 s``."""
    if value is None:
        return "–"
    if unit is Unit.BYTES:
        return _bytes(value)
    if unit is Unit.SECONDS:
        return f"{value * 1000:.0f} ms" if value < 1 else f"{_rounded(value)} s"
    return f"{_rounded(value)}{_PLAIN[unit]}"


def _bytes(value: float) -> str:
    unit = "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if round(value) < 1024 or unit == "TB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def _rounded(value: float) -> str:
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"
