"""What was measured, as rows: statistics, targets, and the table as Markdown and JSON."""

import json
import math
import statistics
from collections.abc import Sequence
from enum import StrEnum
from typing import Self

from model.base import Record

Cells = tuple[str, ...]
"""A line of the table."""


class Stat(StrEnum):
    """Which figure of a row a target is about."""

    MEDIAN = "median"
    P95 = "p95"
    WORST = "worst"
    RATIO = "ratio"
    """The product's median over the floor's."""


class Target(Record):
    """What a figure must not exceed."""

    stat: Stat
    limit: float

    @property
    def text(self) -> str:
        """The target for people."""
        return f"{self.stat} ≤ {self.limit:g}{' × floor' if self.stat is Stat.RATIO else ''}"


def at_most(**limits: float) -> tuple[Target, ...]:
    """Return targets by the names of :class:`Stat`: ``at_most(median=200, ratio=1.5)``."""
    return tuple(Target(stat=Stat(name), limit=limit) for name, limit in limits.items())


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of *values* that at least *share* (0 to 1) of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Row(Record):
    """One line of the table: the product's *values* in *unit*, and the floor's where there is one."""

    section: str
    name: str
    unit: str
    values: tuple[float, ...]
    floor: tuple[float, ...] = ()
    targets: tuple[Target, ...] = ()
    more_is_better: bool = False
    note: str = ""

    def stat(self, stat: Stat) -> float | None:
        """Return a figure of the row; None where there is none."""
        match stat:
            case Stat.MEDIAN:
                return statistics.median(self.values) if self.values else None
            case Stat.P95:
                return percentile(self.values, 0.05 if self.more_is_better else 0.95) if self.values else None
            case Stat.WORST:
                return _worst(self.values, self.more_is_better)
            case Stat.RATIO:
                floor = statistics.median(self.floor) if self.floor else 0
                return statistics.median(self.values) / floor if self.values and floor else None

    @property
    def missed(self) -> tuple[Target, ...]:
        """The targets that were not reached; one about a figure that could not be taken was not."""
        figures = ((target, self.stat(target.stat)) for target in self.targets)
        return tuple(target for target, figure in figures if figure is None or figure > target.limit)


def _worst(values: Sequence[float], more_is_better: bool) -> float | None:
    if not values:
        return None
    return min(values) if more_is_better else max(values)


class Report(Record):
    """A run of the bench. ``machine`` is lines about where it ran, ``remarks`` what was left out and why."""

    machine: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    remarks: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the report that :meth:`as_json` wrote. Raises ``pydantic.ValidationError``."""
        return cls.model_validate_json(text)  # the figures beside a row's values follow from them

    def markdown(self, kept: Sequence[Cells] = ()) -> str:
        """Return the report as Markdown, one table. Lines *kept* from another one come last in their section."""
        lines = [*(_cells(row) for row in self.rows), *kept]
        sections = list(dict.fromkeys(_section(cells) for cells in lines))
        parts = [*self.machine, "", *_table(sorted(lines, key=lambda cells: sections.index(_section(cells))))]
        if self.remarks:
            parts += ["", *(f"- {remark}" for remark in self.remarks)]
        return "\n".join(parts) + "\n"

    def as_json(self) -> str:
        """Return the report as JSON, every single value included."""
        rows = [
            row.model_dump(mode="json") | {stat.value: row.stat(stat) for stat in Stat} | {"met": not row.missed}
            for row in self.rows
        ]
        document = {"machine": self.machine, "rows": rows, "remarks": self.remarks}
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


_HEAD = ("section", "what", "unit", "n", "median", "p95", "worst", "floor median", "floor worst", "ratio", "target")


def table_lines(text: str) -> list[Cells]:
    """Return the lines of the table in *text*, as :meth:`Report.markdown` wrote it, without its head."""
    found = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in text.splitlines() if line[:2] == "| "]
    return [cells for cells in found if len(cells) == len(_HEAD) and cells != _HEAD]


def _section(cells: Cells) -> str:
    return cells[0].partition(" ")[0]


def _table(cells: Sequence[Cells]) -> list[str]:
    lines = [_HEAD, *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    drawn = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return [drawn[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *drawn[1:]]


def _cells(row: Row) -> Cells:
    floor_median = statistics.median(row.floor) if row.floor else None
    figures = (
        *(row.stat(stat) for stat in (Stat.MEDIAN, Stat.P95, Stat.WORST)),
        floor_median,
        _worst(row.floor, row.more_is_better),
        row.stat(Stat.RATIO),
    )
    name = f"{row.name} ({row.note})" if row.note else row.name
    return (row.section, name, row.unit, str(len(row.values)), *(number(figure) for figure in figures), _verdict(row))


def _verdict(row: Row) -> str:
    missed = row.missed
    return "; ".join(f"{'✗' if target in missed else '✓'} {target.text}" for target in row.targets)


def number(value: float | None) -> str:
    """Return *value* with three digits that count; an en dash for none."""
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
