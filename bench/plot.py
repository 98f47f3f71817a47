"""The picture of stalls: horizontal bars on a logarithmic scale, as SVG."""

import math
import statistics
from collections.abc import Sequence
from html import escape

from bench.others import DOCUMENTED, Event
from bench.report import Row
from model.base import Record

_FROM_MS, _TO_MS = 10.0, 200_000.0
_LEFT, _SCALE, _WIDTH = 300, 400, 860
_TOP, _LINE, _GROUP, _BAR = 58, 26, 34, 14
_TICKS = {10: "10 ms", 100: "100 ms", 1_000: "1 s", 10_000: "10 s", 100_000: "100 s"}
# On a panel of its own, so that it reads the same on a white page and on a dark one.
_PANEL, _EDGE, _TEXT, _QUIET, _GRID = "#ffffff", "#d0d7de", "#1f2328", "#59636e", "#e4e8ec"
_COLOURS = {"measured": "#0969da", "floor": "#57606a", "documented": "#bc4c00"}

_MEASURED: dict[tuple[str, str], tuple[Event, str]] = {
    ("switchover", "Switchover, 8 clients, simple: longest wait"): (Event.PLANNED, "switchover"),
    ("switchover", "ChangePlan, 8 clients, simple: longest wait"): (Event.PLANNED, "change of plan"),
    ("failover", "primary killed, 8 writers: longest wait"): (Event.LOST, "process killed"),
    ("failover", "primary frozen, 8 writers: longest wait"): (Event.LOST, "process frozen"),
}


class Bar(Record):
    """One bar: solid to the median or what is typical (None: not known), pale to the worst or the bound."""

    event: Event
    label: str
    kind: str
    typical_ms: float | None
    worst_ms: float
    text: str


def bars(rows: Sequence[Row]) -> tuple[Bar, ...]:
    """Return a bar for each stall that *rows* measured, the floor's too, and for each that is documented."""
    found: list[Bar] = []
    for row in rows:
        event, label = _MEASURED.get((row.section, row.name), (None, ""))
        if event is None or not row.values:
            continue
        found.append(_measured(event, f"this project: {label}", "measured", row.values))
        if row.floor:
            found.append(_measured(event, f"script: {label}", "floor", row.floor))
    for each in DOCUMENTED:
        typical = None if each.typical_s is None else each.typical_s * 1000
        said = f"≤ {each.at_most_s:g} s" if each.typical_s is None else f"{each.typical_s:g}–{each.at_most_s:g} s"
        found.append(
            Bar(
                event=each.event,
                label=each.system,
                kind="documented",
                typical_ms=typical,
                worst_ms=each.at_most_s * 1000,
                text=said,
            )
        )
    return tuple(found)


def _measured(event: Event, label: str, kind: str, values: Sequence[float]) -> Bar:
    median, worst = statistics.median(values), max(values)
    text = f"{duration(median)}, worst {duration(worst)}"
    return Bar(event=event, label=label, kind=kind, typical_ms=median, worst_ms=worst, text=text)


def missing(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the measured stalls that the picture wants and *rows* has not."""
    there = {(row.section, row.name) for row in rows if row.values}
    return tuple(f"{section}: {name}" for section, name in _MEASURED if (section, name) not in there)


def duration(ms: float) -> str:
    """Return a time for people: ``95 ms``, ``1.2 s``."""
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def position(ms: float) -> float:
    """Return where *ms* is on the scale, from 0 (10 ms) to 1 (200 s); beyond either end it is there."""
    clamped = min(max(ms, _FROM_MS), _TO_MS)
    return math.log10(clamped / _FROM_MS) / math.log10(_TO_MS / _FROM_MS)


def draw(shown: Sequence[Bar]) -> str:
    """Return the picture."""
    body: list[str] = []
    y = float(_TOP)
    for event in Event:
        group = [bar for bar in shown if bar.event is event]
        if not group:
            continue
        body.append(_text(20, y + 12, event, weight="bold"))
        y += _GROUP - 8
        for bar in group:
            body += _bar(bar, y)
            y += _LINE
        y += _GROUP - _LINE
    height = y + 22
    return "\n".join([*_frame(height, y), *body, "</svg>"]) + "\n"


def _frame(height: float, bottom: float) -> list[str]:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}"'
        f' viewBox="0 0 {_WIDTH} {height:.0f}" font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial,'
        f' DejaVu Sans, sans-serif" font-size="13" role="img" aria-labelledby="title">',
        '<title id="title">How long clients wait, measured here and as other systems document it</title>',
        f'<rect x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1:.0f}" rx="8" fill="{_PANEL}"'
        f' stroke="{_EDGE}"/>',
        _text(20, 30, "Longest time that a client waits", size=16, weight="bold"),
    ]
    legend = (("measured", "measured: this project"), ("floor", "measured: script"), ("documented", "documented"))
    for number, (kind, text) in enumerate(legend):
        x = 370 + number * 175
        lines.append(f'<rect x="{x}" y="20" width="12" height="12" rx="2" fill="{_COLOURS[kind]}"/>')
        lines.append(_text(x + 18, 30, text, colour=_QUIET, size=12))
    for ms, text in _TICKS.items():
        x = _LEFT + _SCALE * position(ms)
        lines.append(f'<line x1="{x:.1f}" y1="{_TOP + 4}" x2="{x:.1f}" y2="{bottom - 8:.1f}" stroke="{_GRID}"/>')
        lines.append(_text(x, bottom + 8, text, colour=_QUIET, size=12, anchor="middle"))
    return lines


def _bar(bar: Bar, y: float) -> list[str]:
    colour = _COLOURS[bar.kind]
    worst = _SCALE * position(bar.worst_ms)
    lines = [
        _text(_LEFT - 10, y + 12, bar.label, anchor="end"),
        f'<rect x="{_LEFT}" y="{y:.1f}" width="{worst:.1f}" height="{_BAR}" rx="2" fill="{colour}" opacity="0.35"/>',
    ]
    if bar.typical_ms is not None:
        typical = _SCALE * position(bar.typical_ms)
        lines.append(f'<rect x="{_LEFT}" y="{y:.1f}" width="{typical:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>')
    lines.append(_text(_LEFT + worst + 8, y + 12, bar.text, colour=_QUIET, size=12))
    return lines


def _text(
    x: float, y: float, text: str, *, size: int = 13, weight: str = "normal", colour: str = _TEXT, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{colour}"'
        f' text-anchor="{anchor}">{escape(text)}</text>'
    )
