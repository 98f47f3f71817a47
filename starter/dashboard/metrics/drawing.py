"""What a page shows of metrics: the texts of each chart for people, and all values for the script that draws."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

from model.base import Record
from model.operations import OperationOutcome
from starter.client.metric_shapes import ChartShape, MarkShape, MetricsShape, SeriesShape, Unit, figure
from starter.dashboard.page import duration, operation_path, words

HINTS = {
    "cpu": "Of what each may use",
    "memory": "Without cached files that are not in use",
    "connections": "Sessions on each node, by state",
    "poolers": "Clients at the poolers, servers behind them",
    "rows": "Changed on the primary, fetched from both",
    "transactions": "Ended on each node",
    "cache": "Blocks found in shared buffers",
    "deadlocks": "Transactions ended because of one",
    "sizes": "The ten largest on the primary",
    "storage": "Used on each node",
    "lag-bytes": "WAL that the replica has yet to replay",
    "lag-seconds": "How old what the replica replays is",
}
_REPLICA = "c2"
_TONES = ("c1", "c3", "c4", "c5", "c6", "c7", "c8")
"""The primary's, or the first one's, and then the others."""
_FAILED = frozenset({OperationOutcome.FAILED, OperationOutcome.ROLLED_BACK})


class Row(Record):
    """A series: its colour, and its values as text."""

    name: str
    tone: str
    latest: str
    lowest: str
    average: str
    highest: str


class Drawn(Record):
    """A chart without its values. ``nothing``: why there are none."""

    id: str
    title: str
    hint: str
    whole: bool
    """It is of the whole cluster although one database was asked for."""
    rows: tuple[Row, ...]
    summary: str
    nothing: str


class Drawing(Record):
    """All charts, and the values as JSON."""

    charts: tuple[Drawn, ...]
    values: str


class ListedMark(Record):
    """An operation in the range, as the page lists it."""

    kind: str
    status: OperationOutcome
    start: datetime
    took: str
    path: str


def drawing(found: MetricsShape) -> Drawing:
    """Return what is shown of *found*."""
    return Drawing(charts=tuple(_drawn(found, chart) for chart in found.charts), values=_as_json(found))


def listed_marks(found: MetricsShape) -> tuple[ListedMark, ...]:
    """Return the operations in the range, the latest first."""
    return tuple(
        ListedMark(
            kind=each.kind,
            status=each.status,
            start=datetime.fromtimestamp(each.start, UTC),
            took=_took(each),
            path=operation_path(each.id),
        )
        for each in found.marks
    )


def tones(chart: ChartShape) -> list[str]:
    """Return the colour of each series by its name in the style sheet; the replica has the same one everywhere."""
    free = cycle(_TONES)
    given: list[str] = []
    for series in chart.series:
        if series.limit:
            given.append("limit")
        elif chart.id != "sizes" and series.name.split(" ")[0] == "R" and _REPLICA not in given:
            given.append(_REPLICA)
        else:
            given.append(next(free))
    return given


def _drawn(found: MetricsShape, chart: ChartShape) -> Drawn:
    rows = tuple(row(series, tone, chart.unit) for series, tone in zip(chart.series, tones(chart), strict=True))
    parts = [f"{each.name} {each.latest}, from {each.lowest} to {each.highest}" for each in rows]
    return Drawn(
        id=chart.id,
        title=chart.title,
        hint=HINTS[chart.id],
        whole=found.database is not None and not chart.by_database,
        rows=rows,
        summary=f"{chart.title} in the last {found.range.value}: {'; '.join(parts) or 'no values'}.",
        nothing="" if rows else chart.missing or "No values in this range.",
    )


def row(series: SeriesShape, tone: str, unit: Unit) -> Row:
    """Return the values of *series* as text; of none at all dashes."""
    known = [value for value in series.values if value is not None]
    return Row(
        name=series.name,
        tone=tone,
        latest=figure(series.latest, unit),
        lowest=figure(min(known, default=None), unit),
        average=figure(sum(known) / len(known) if known else None, unit),
        highest=figure(max(known, default=None), unit),
    )


def _as_json(found: MetricsShape) -> str:
    charts = [
        {"id": each.id, "unit": each.unit.value, "series": [_line(series) for series in each.series]}
        for each in found.charts
        if each.series
    ]
    marks = [_mark(each) for each in reversed(found.marks)]
    return json.dumps({"times": found.times, "charts": charts, "marks": marks}, separators=(",", ":"))


def _line(series: SeriesShape) -> dict[str, Any]:
    return {"name": series.name, "limit": series.limit, "values": rounded_values(series.values)}


def rounded_values(values: Sequence[float | None]) -> list[float | None]:
    """Return *values* with six digits, which are more than a screen shows."""
    return [None if value is None else float(f"{value:.6g}") for value in values]


def _mark(mark: MarkShape) -> dict[str, Any]:
    began = datetime.fromtimestamp(mark.start, UTC)
    tone = "bad" if mark.failover else "warn" if mark.status in _FAILED else "idle"
    said = [words(mark.kind), words(mark.status.value).lower(), f"{began:%d %b %H:%M:%S}", _took(mark)]
    return {
        "start": mark.start,
        "end": mark.end,
        "tone": tone,
        "text": ", ".join(part for part in said if part),
        "path": operation_path(mark.id),
    }


def _took(mark: MarkShape) -> str:
    return "" if mark.end is None else duration(mark.end - mark.start)
