"""Histories of statements from a real Prometheus, whose samples have known values."""

import asyncio
import time
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest
from metric_samples import Sample
from prometheus_server import backfill, prometheus

from model.settings import Settings, load_settings
from starter.client.metric_charts import SCRAPE_S, scope, window
from starter.client.metric_shapes import MetricsRange, StatementHistoriesShape
from starter.client.statement_history import read_histories

pytestmark = pytest.mark.integration

CLUSTER, OTHER = "q3v8k2m1x7c9b4n6", "z" * 16
NOW = int(time.time()) // 60 * 60
HOURS = 26
LOOK_S = 60
SWITCHED = NOW - 4 * 3600
"""When node b took over, which has counted ten times as much by itself."""
SILENT = (NOW - 10 * 3600, NOW - 8 * 3600)
CALLS, SECONDS = 5.0, 0.04
"""A second."""
SLOW, RARE = "-42", "7"


def samples(cluster: str) -> Iterable[str]:
    for at in range(NOW - HOURS * 3600, NOW + 1, SCRAPE_S):
        if SILENT[0] < at < SILENT[1]:
            continue
        node, before = ("a", 0.0) if at < SWITCHED else ("b", 1e7)
        looked = at // LOOK_S * LOOK_S - (NOW - HOURS * 3600)
        labels = {"cluster": cluster, "org": "personal", "node": node, "role": "primary", "database": "shop"}
        for statement, calls in ((SLOW, CALLS), (RARE, 0.0)):
            of = {**labels, "statement": statement}
            yield Sample("mpg_statement_calls_total", of, before + calls * looked).line(at)
            yield Sample("mpg_statement_seconds_total", of, before + SECONDS * looked * (calls > 0)).line(at)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Generator[Settings]:
    home = tmp_path_factory.mktemp("prometheus")
    backfill(home, (line for cluster in (CLUSTER, OTHER) for line in samples(cluster)))
    with prometheus(home) as url:
        yield load_settings(home=home, prometheus_url=url)


async def read(
    settings: Settings, *statements: str, cluster: str = CLUSTER, reach: MetricsRange = MetricsRange.HOURS_24
) -> StatementHistoriesShape:
    of, points = scope(cluster, reach, None), window(reach, NOW)
    return await read_histories(settings, asyncio.Semaphore(4), of, reach, points, statements)


async def test_calls_and_mean_time_are_known_and_gaps_and_a_switchover_are_no_peaks(settings: Settings) -> None:
    found = await read(settings, SLOW)
    assert found.unavailable is None
    [slow] = found.statements
    assert (slow.id, slow.database) == (SLOW, "shop")
    calls = dict(zip(found.times, slow.calls_per_second, strict=True))
    means = dict(zip(found.times, slow.mean_ms, strict=True))
    step = found.range.step
    for at in found.times:
        if SILENT[0] + step < at < SILENT[1]:
            assert (calls[at], means[at]) == (None, None)
        elif not (SILENT[0] <= at <= SILENT[1] + step or SWITCHED <= at <= SWITCHED + step):
            assert calls[at] == pytest.approx(CALLS, rel=LOOK_S / step)
            assert means[at] == pytest.approx(1000 * SECONDS / CALLS, rel=0.01)
    known = [each for each in slow.calls_per_second if each is not None]
    assert max(known) <= CALLS * (1 + LOOK_S / step)


async def test_statement_that_was_not_called_has_calls_of_none_and_no_mean_time(settings: Settings) -> None:
    slow, rare = (await read(settings, SLOW, RARE)).statements
    assert (slow.id, rare.id) == (SLOW, RARE)
    assert set(rare.calls_per_second) - {None} == {0.0}
    assert set(rare.mean_ms) == {None}


async def test_short_ranges_show_no_gaps_between_looks(settings: Settings) -> None:
    [slow] = (await read(settings, SLOW, reach=MetricsRange.MINUTES_15)).statements
    assert None not in slow.calls_per_second


async def test_nothing_of_another_cluster_or_statement_is_shown(settings: Settings) -> None:
    assert (await read(settings, "42")).statements == ()
    assert (await read(settings, SLOW, cluster="y" * 16)).statements == ()
    assert (await read(settings)).statements == ()


async def test_without_prometheus_it_says_so(settings: Settings, tmp_path: Path) -> None:
    off = load_settings(home=tmp_path, prometheus_url=None, prometheus_port=0)
    assert "There is no Prometheus" in ((await read(off, SLOW)).unavailable or "")
    away = load_settings(home=tmp_path, prometheus_url="http://127.0.0.1:1")
    assert (await read(away, SLOW)).unavailable == "Prometheus does not answer."
