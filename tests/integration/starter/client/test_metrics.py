"""Charts from a real Prometheus: of samples with known values, and of an exporter that it scrapes."""

import asyncio
import time
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest
from metric_samples import (
    CONNECTIONS_LIMIT,
    CPU_CORES,
    DEADLOCKS,
    GB,
    LAG_BYTES,
    LAG_SECONDS,
    LIMIT_CORES,
    MEMORY,
    NODE_MEMORY,
    OUTCOMES,
    POOLED,
    POOLER_MEMORY,
    POOLERS,
    ROWS,
    SIZE,
    STATES,
    STORAGE,
    USED,
    Made,
)  # fmt: skip
from prometheus_server import BOUND_S, backfill, exporter, prometheus

from model.settings import Settings, load_settings
from starter.client.charting import draw
from starter.client.metric_charts import SCRAPE_S, Window, connections_by_database, scope, window
from starter.client.metric_shapes import ChartShape, MetricsRange
from starter.client.prometheus import Prometheus

pytestmark = pytest.mark.integration

CLUSTER, OTHER = "q3v8k2m1x7c9b4n6", "z" * 16
ODD = 'we"ird{}, a=~"b'
"""A name that Postgres allows, and that would end a string of PromQL."""
DATABASES = ("fly-db", ODD)
NOW = int(time.time()) // 60 * 60
HOURS = 3
SWITCHED = NOW - 30 * 60
"""When node b took over."""
SILENT = (NOW - 20 * 60, NOW - 10 * 60)
"""Nothing was collected between these."""


def history(cluster: str, databases: tuple[str, ...]) -> Iterable[str]:
    for at in range(NOW - HOURS * 3600, NOW + 1, SCRAPE_S):
        if SILENT[0] < at < SILENT[1]:
            continue
        primary = "a" if at < SWITCHED else "b"
        yield from (each.line(at) for each in Made(cluster, at, primary=primary, databases=databases, wave=0).samples())


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Generator[Settings]:
    home = tmp_path_factory.mktemp("prometheus")
    backfill(home, (*history(CLUSTER, DATABASES), *history(OTHER, ("fly-db",))))
    with prometheus(home) as url:
        yield load_settings(home=home, prometheus_url=url)


async def charts(
    settings: Settings, reach: MetricsRange = MetricsRange.HOUR, database: str | None = None, cluster: str = CLUSTER
) -> dict[str, ChartShape]:
    found = await draw(settings, asyncio.Semaphore(4), scope(cluster, reach, database), window(reach, NOW))
    assert all(chart.missing is None for chart in found)
    return {chart.id: chart for chart in found}


def latest(chart: ChartShape) -> dict[str, float | None]:
    return {series.name: series.latest for series in chart.series}


def near(expected: dict[str, float]) -> object:
    return pytest.approx(expected, rel=1e-3)


async def test_sessions_are_counted_by_database_on_the_primary_alone(settings: Settings) -> None:
    # Of the latest sample, so it has to be asked for when that was collected.
    query = connections_by_database(scope(CLUSTER, MetricsRange.HOUR, None))
    async with Prometheus.connect(settings, asyncio.Semaphore(1)) as asked:
        found = {each.labels["database"]: each.values for each in await asked.range(query, Window(NOW, NOW, 1))}
        silent = await asked.range(query, Window(SILENT[1] - SCRAPE_S, SILENT[1] - SCRAPE_S, 1))
    assert found == dict.fromkeys(DATABASES, (sum(STATES.values()),))
    assert silent == []


@pytest.mark.parametrize("database", [None, *DATABASES])
async def test_charts_hold_what_was_collected(settings: Settings, database: str | None) -> None:
    found = await charts(settings, database=database)
    of = len(DATABASES) if database is None else 1
    poolers = {f"pooler {each}" for each in POOLERS}
    share = {role: 100 * cores / LIMIT_CORES for role, cores in CPU_CORES.items()}
    assert latest(found["cpu"]) == near(
        {"P": share["primary"], "R": share["replica"], **dict.fromkeys(poolers, share["pooler"])}
    )
    assert latest(found["memory"]) == near(
        {"P": MEMORY["primary"], "R": MEMORY["replica"], **dict.fromkeys(poolers, MEMORY["pooler"]),
         "limit": NODE_MEMORY, "pooler limit": POOLER_MEMORY}
    )  # fmt: skip
    assert latest(found["connections"]) == near(
        {"P active": of * STATES["active"], "P idle": of * STATES["idle"],
         "P idle in transaction": of * STATES["idle_in_transaction"], "R all": of * sum(STATES.values()),
         "limit": CONNECTIONS_LIMIT}
    )  # fmt: skip
    assert latest(found["poolers"]) == near(
        {f"{what} {state}": len(POOLERS) * of * value for what in POOLED for state, value in POOLED[what].items()}
    )
    changes = {f"P {each}": of * ROWS[each] for each in ("inserted", "updated", "deleted", "fetched")}
    assert latest(found["rows"]) == near({**changes, "R fetched": of * ROWS["fetched"]})
    assert latest(found["transactions"]) == near(
        {f"{who} {each.replace('_', ' ')}": of * rate for who in "PR" for each, rate in OUTCOMES.items()}
    )
    assert latest(found["cache"]) == near({"P": 99.0, "R": 99.0})
    assert latest(found["deadlocks"]) == near({"deadlocks": 60 * of * DEADLOCKS})
    sizes = {name: SIZE * number for number, name in enumerate(DATABASES, start=1)}
    assert latest(found["sizes"]) == near({name: sizes[name] for name in sizes if database in {None, name}})
    assert latest(found["storage"]) == near({"P": USED, "R": USED + GB, "provided": STORAGE})
    assert latest(found["lag-bytes"]) == near({"R": LAG_BYTES})
    assert latest(found["lag-seconds"]) == near({"R": LAG_SECONDS})
    limits = {(id, series.name) for id, chart in found.items() for series in chart.series if series.limit}
    assert limits == {
        ("memory", "limit"), ("memory", "pooler limit"), ("connections", "limit"), ("storage", "provided"),
    }  # fmt: skip


@pytest.mark.parametrize("reach", [MetricsRange.MINUTES_15, MetricsRange.HOUR])
async def test_a_gap_is_a_gap_and_at_its_ends_and_at_a_switchover_nothing_dips_or_peaks(
    settings: Settings, reach: MetricsRange
) -> None:
    found = await charts(settings, reach)
    times = window(reach, NOW).times
    silent = {at for at in times if SILENT[0] + 120 < at < SILENT[1]}
    # A node that got its role is without rates until it has had it for a minute.
    steady = {at for at in times if at <= SILENT[0] or at >= SILENT[1] + 60} - set(range(SWITCHED, SWITCHED + 60))
    for id, chart in found.items():
        for series in chart.series:
            values = {at: value for at, value in zip(times, series.values, strict=True) if value is not None}
            # Storage is another on each node, so there the role takes over the larger one at once.
            if id != "storage":
                assert list(values.values()) == pytest.approx([series.latest] * len(values), rel=0.01), (
                    id,
                    series.name,
                )
            assert silent & values.keys() == set(), (id, series.name)
            assert steady <= values.keys(), (id, series.name)


async def test_a_cluster_is_shown_nothing_of_another_one(settings: Settings) -> None:
    found = await charts(settings, cluster=OTHER)
    assert set(latest(found["sizes"])) == {"fly-db"}
    assert all(chart.series == () for chart in (await charts(settings, cluster="y" * 16)).values())


@pytest.mark.parametrize("reach", list(MetricsRange))
async def test_every_range_is_answered_in_about_200_points(settings: Settings, reach: MetricsRange) -> None:
    memory = (await charts(settings, reach))["memory"]
    points = {len(series.values) for series in memory.series}
    assert points == {len(window(reach, NOW).times)}
    assert 150 <= points.pop() <= 250


async def test_what_is_scraped_shows_within_some_scrapes(tmp_path: Path) -> None:
    def expose() -> str:
        made = Made(CLUSTER, time.time(), databases=DATABASES, wave=0)
        return "".join(f"{each.line()}\n" for each in made.samples())

    reach = MetricsRange.MINUTES_15

    async def storage(settings: Settings) -> ChartShape:
        points = window(reach, time.time())
        found = await draw(settings, asyncio.Semaphore(4), scope(CLUSTER, reach, None), points)
        return next(chart for chart in found if chart.id == "storage")

    with exporter(expose) as port, prometheus(tmp_path, scraped=port) as url:
        settings = load_settings(home=tmp_path, prometheus_url=url)
        async with asyncio.timeout(BOUND_S):
            while not (found := await storage(settings)).series:
                await asyncio.sleep(0.2)
        assert latest(found) == near({"P": USED, "R": USED + GB, "provided": STORAGE})
