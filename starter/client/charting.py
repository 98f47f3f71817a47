"""The charts of a cluster, drawn from what Prometheus answers. One that it does not answer hides no other."""

import asyncio
import time
from collections.abc import Sequence

from model.settings import Settings
from starter.client.metric_charts import CHARTS, Chart, Line, Scope, Window, series_name
from starter.client.metric_shapes import ChartShape, SeriesShape
from starter.client.prometheus import CONNECT_S, NO_PROMETHEUS, Found, NoAnswer, Prometheus


async def draw(settings: Settings, gate: asyncio.Semaphore, scope: Scope, window: Window) -> tuple[ChartShape, ...]:
    """Return all charts of *scope*, with the reason where one could not be had. *gate* bounds what is asked at once."""
    if settings.prometheus_target is None:
        return tuple(_shape(chart, (), NO_PROMETHEUS) for chart in CHARTS)
    async with Prometheus.connect(settings, gate) as prometheus:
        return tuple(await asyncio.gather(*(_chart(prometheus, chart, scope, window) for chart in CHARTS)))


async def latest(settings: Settings, gate: asyncio.Semaphore, query: str, label: str) -> dict[str, int]:
    """Return the value of *query* now by *label*: nothing where Prometheus has none, or does not answer at once."""
    if settings.prometheus_target is None:
        return {}
    now = int(time.time())
    try:
        async with asyncio.timeout(CONNECT_S), Prometheus.connect(settings, gate) as prometheus:
            found = await prometheus.range(query, Window(now, now, 1))
    except (NoAnswer, TimeoutError):
        return {}
    return {each.labels[label]: int(each.values[0]) for each in found if each.values[0] is not None}


async def _chart(prometheus: Prometheus, chart: Chart, scope: Scope, window: Window) -> ChartShape:
    lines = chart.lines(scope)
    answers = await asyncio.gather(*(_answer(prometheus, line, window) for line in lines))
    series: list[SeriesShape] = []
    for line, answer in zip(lines, answers, strict=True):
        if isinstance(answer, NoAnswer):
            return _shape(chart, (), str(answer))
        series += _series(line, answer)
    return _shape(chart, series, None)


async def _answer(prometheus: Prometheus, line: Line, window: Window) -> list[Found] | NoAnswer:
    try:
        return await prometheus.range(line.query, window)
    except NoAnswer as failed:
        return failed


def _series(line: Line, found: Sequence[Found]) -> list[SeriesShape]:
    """Return those of *found* that have a value, by their labels: always in one order."""
    return [
        SeriesShape(name=series_name(line, each.labels), limit=line.limit, values=each.values)
        for each in sorted(found, key=lambda each: sorted(each.labels.items()))
        if any(value is not None for value in each.values)
    ]


def _shape(chart: Chart, series: Sequence[SeriesShape], missing: str | None) -> ChartShape:
    return ChartShape(
        id=chart.id,
        title=chart.title,
        unit=chart.unit,
        by_database=chart.by_database,
        series=tuple(series),
        missing=missing,
    )
