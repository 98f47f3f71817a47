"""What a page shows of statements' histories: the texts for people, and all values for the script that draws."""

import json
from collections.abc import Sequence

from model.base import Record
from model.queries import Statement
from starter.client.metric_shapes import SeriesShape, StatementHistoriesShape, StatementHistoryShape, Unit
from starter.dashboard.metrics.drawing import Row, rounded_values, row

_CALLS, _MEAN = "Calls a second", "Mean time of a call"


class Histories(Record):
    """For each of the statements that are listed its rows, none where it has no history; and the values as JSON."""

    rows: tuple[tuple[Row, ...], ...]
    values: str


def histories(found: StatementHistoriesShape, listed: Sequence[Statement]) -> Histories:
    """Return what is shown of *found* beside the statements that are *listed*."""
    known = {(each.id, each.database): each for each in found.statements}
    aligned = [known.get((each.id, each.database)) for each in listed]
    return Histories(
        rows=tuple(_rows(each) for each in aligned),
        values=json.dumps(
            {"times": found.times, "statements": [_values(each) for each in aligned]}, separators=(",", ":")
        ),
    )


def _series(history: StatementHistoryShape) -> tuple[tuple[SeriesShape, Unit], ...]:
    return (
        (SeriesShape(name=_CALLS, values=history.calls_per_second), Unit.PER_SECOND),
        (SeriesShape(name=_MEAN, values=history.mean_ms), Unit.MILLISECONDS),
    )


def _values(history: StatementHistoryShape | None) -> list[list[float | None]] | None:
    return None if history is None else [rounded_values(series.values) for series, _ in _series(history)]


def _rows(history: StatementHistoryShape | None) -> tuple[Row, ...]:
    if history is None:
        return ()
    return tuple(row(series, tone, unit) for (series, unit), tone in zip(_series(history), ("c1", "c2"), strict=True))
