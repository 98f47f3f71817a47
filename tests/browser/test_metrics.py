"""The Metrics tab in a real browser, on a real stack and a real Prometheus that holds known values."""

import math
import re
import time
from collections.abc import Generator, Iterable
from pathlib import Path

import psycopg
import pytest
from cli_program import Mpg, free_port, running_stack
from metric_samples import CPU_CORES, LIMIT_CORES, Made, Sample
from playwright.async_api import Browser, expect
from prometheus_server import backfill, prometheus

from starter.client.metric_charts import CHARTS, SCRAPE_S
from tests.browser.visitor import BOUND_MS, Visitor

pytestmark = [pytest.mark.integration, pytest.mark.browser]

DATABASES = ("fly-db", "shop")
HOURS = 8
WAVE = 0.35
LOOK_AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"
"""As if the tab had been left and come back to: the page asks at once, or is asking already and does in 15 s."""
COLOURED = """(figure) => {
  const canvas = figure.querySelector("canvas");
  const wanted = getComputedStyle(figure.querySelector(".swatch")).color.match(/\\d+/g).map(Number);
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let found = 0;
  for (let at = 0; at < pixels.length; at += 4) {
    if (pixels[at + 3] === 255 && wanted.every((part, place) => Math.abs(part - pixels[at + place]) < 8)) found += 1;
  }
  return found;
}"""
"""How many pixels of a chart have the colour of its first series."""


@pytest.fixture(scope="module")
def port() -> int:
    """Where Prometheus is, as soon as there is one."""
    return free_port()


@pytest.fixture(scope="module")
def program(port: int) -> Generator[Mpg]:
    with running_stack(MPG_PROMETHEUS_URL=f"http://127.0.0.1:{port}") as made:
        yield made


@pytest.fixture(scope="module")
def collected(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a Prometheus that has collected hours of the cluster, an hour of the future too, with a silence."""
    home, now = tmp_path_factory.mktemp("prometheus"), int(time.time())
    cluster_id = cluster.rpartition("/")[2]

    def lines() -> Iterable[str]:
        for at in range(now - HOURS * 3600, now + 3600, SCRAPE_S):
            if not now - 1500 < at < now - 1200:
                made = Made(cluster_id, at, databases=DATABASES, wave=WAVE)
                yield from (each.line(at) for each in made.samples())

    backfill(home, lines())
    return home


async def test_without_prometheus_and_without_values_it_says_so(
    visitor: Visitor, cluster: str, port: int, tmp_path: Path
) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/metrics")
    await expect(page.get_by_text("Prometheus does not answer.")).to_be_visible()
    await expect(page.get_by_role("cell", name="Create cluster")).to_be_visible()
    await visitor.look("metrics-no-prometheus")
    await page.evaluate("window.loadedOnce = true")
    with prometheus(tmp_path, port=port):
        await page.evaluate(LOOK_AGAIN)
        told = page.get_by_role("heading", name=re.compile("Not collected yet|Nothing was"))
        await expect(told).to_be_visible(timeout=BOUND_MS)
        await visitor.look("metrics-empty")
    assert await page.evaluate("window.loadedOnce")


async def test_charts_are_drawn_by_themselves_and_say_the_same_moment_under_the_cursor(
    visitor: Visitor, cluster: str, port: int, collected: Path
) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/metrics")
    await page.evaluate("window.loadedOnce = true")
    drawn = page.locator("figure.drawn")
    with prometheus(collected, port=port):
        await expect(drawn).to_have_count(len(CHARTS), timeout=BOUND_MS)  # by its own look, within 15 s
        assert await page.evaluate("window.loadedOnce")
        for chart in await drawn.all():
            assert await chart.evaluate(COLOURED) > 50, await chart.get_attribute("id")
        await visitor.look("metrics")
        cpu = page.locator("#chart-cpu")
        share = 100 * CPU_CORES["primary"] / LIMIT_CORES
        said = float((await cpu.locator(".legend li").first.inner_text()).split()[1])
        assert share * (1 - WAVE) <= said <= share * (1 + WAVE)
        await cpu.locator(".u-over").hover(position={"x": 150, "y": 60})
        moments = set(await page.locator(".chart-at").all_inner_texts())
        assert len(moments) == 1
        assert re.fullmatch(r"\d+ \w{3} \d\d:\d\d:\d\d", moments.pop())
        await page.screenshot(path=visitor.picture("metrics-cursor"))


async def test_operations_are_marks_that_lead_to_their_pages(
    visitor: Visitor, cluster: str, port: int, collected: Path
) -> None:
    page = visitor.page
    with prometheus(collected, port=port):
        await visitor.open(f"{cluster}/metrics?range=15m")
        mark = page.locator("#chart-memory .op-mark").first
        await mark.hover()
        await expect(mark.locator(".op-tip")).to_contain_text("Create cluster, done")
        listed = page.locator("#metrics tbody").last.get_by_role("link", name="Create cluster")
        path = await listed.get_attribute("href")
        assert path is not None
        await listed.click()
        await page.wait_for_url(f"**{path}")
        await expect(page.get_by_role("heading", name="Create cluster")).to_be_visible()


async def test_range_and_database_are_chosen_and_stay_in_the_address(
    visitor: Visitor, cluster: str, port: int, collected: Path
) -> None:
    page = visitor.page
    with prometheus(collected, port=port):
        await visitor.open(f"{cluster}/metrics")
        databases = page.locator("#chart-sizes .legend li")
        await expect(databases).to_have_count(len(DATABASES))
        await page.get_by_role("link", name="6h").click()
        await page.wait_for_url("**/metrics?range=6h**")
        await expect(page.locator(".segments [aria-current]")).to_have_text("6h")
        await page.get_by_label("Database", exact=True).select_option("fly-db")
        await page.get_by_role("button", name="Show").click()
        await page.wait_for_url("**range=6h&database=fly-db")
        await expect(databases).to_have_text([re.compile("^fly-db ")])
        await expect(page.locator("#chart-cpu").get_by_text("whole cluster")).to_be_visible()
        await expect(page.locator("#chart-rows").get_by_text("whole cluster")).to_have_count(0)
        await visitor.look("metrics-of-database")
        await page.get_by_text("The same on a command line").click()
        await expect(page.locator("#command")).to_have_text("mpg metrics show orders --range 6h --database fly-db")
        await page.get_by_role("link", name="30d").click()
        await page.wait_for_url("**range=30d&database=fly-db")


async def test_the_command_line_and_a_page_without_scripts_have_the_values_too(
    visitor: Visitor, chromium: Browser, cluster: str, port: int, collected: Path, program: Mpg
) -> None:
    assert "Prometheus does not answer." in program.refused("metrics", "show", "orders")
    with prometheus(collected, port=port):
        found = program.done("metrics", "show", "orders", "--range", "1h", "--json").json
        assert {chart["id"] for chart in found["charts"]} == {each.id for each in CHARTS}
        assert "CreateCluster" in {mark["kind"] for mark in found["marks"]}
        assert re.search(r"CPU +P +\S+ %", program.done("metrics", "show", "orders").out)
        signed_in = await visitor.page.context.storage_state()
        plain = await chromium.new_context(java_script_enabled=False, storage_state=signed_in)
        page = await plain.new_page()
        await page.goto(f"{visitor.base}{cluster}/metrics?range=24h")
        row = page.get_by_role("table", name="CPU").get_by_role("row", name=re.compile("^P "))
        await expect(row.get_by_role("cell").first).to_have_text(re.compile(r"^[\d.]+ %$"))
        await page.screenshot(path=visitor.picture("metrics-without-scripts"), full_page=True)
        await plain.close()


async def test_an_hour_of_looks_keeps_as_many_charts_and_a_lost_connection_is_told(
    visitor: Visitor, cluster: str, port: int, collected: Path
) -> None:
    page = visitor.page
    with prometheus(collected, port=port):
        await visitor.open(f"{cluster}/metrics")
        await expect(page.locator("figure.drawn")).to_have_count(len(CHARTS))
        nodes = await page.evaluate("document.querySelectorAll('*').length")
        for _ in range(20):
            async with page.expect_response(lambda answer: answer.url.endswith("/metrics")):
                await page.evaluate(LOOK_AGAIN)
        await expect(page.locator(".uplot")).to_have_count(len(CHARTS))
        assert await page.evaluate("document.querySelectorAll('*').length") <= nodes + 2 * len(CHARTS)
    assert visitor.complaints == [], "the console of the browser is quiet through all of this"
    stale = page.locator("#metrics-stale")
    await page.route("**/metrics", lambda route: route.abort())
    await page.evaluate(LOOK_AGAIN)
    await expect(stale).to_be_visible(timeout=BOUND_MS)
    await page.unroute("**/metrics")
    await page.evaluate(LOOK_AGAIN)
    await expect(stale).to_be_hidden(timeout=BOUND_MS)
    await expect(page.get_by_text("Prometheus does not answer.")).to_be_visible()
    await expect(page.locator(".uplot")).to_have_count(0)


async def test_each_statement_has_its_history_beside_its_plan(
    visitor: Visitor, chromium: Browser, cluster: str, port: int, program: Mpg, tmp_path: Path
) -> None:
    page = visitor.page
    uri = program.done("url", "orders", "--direct").out.strip()
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
        await connection.execute("CREATE TABLE wares (id int PRIMARY KEY, name text)")
        await connection.execute("SELECT pg_sleep(0.2) FROM wares RIGHT JOIN pg_namespace ON name = nspname LIMIT 2")
    await visitor.open(f"{cluster}/queries")
    await expect(page.get_by_text("No history: Prometheus is not there.")).to_be_visible()
    await visitor.look("queries-no-prometheus")
    listed = program.done("queries", "statements", "orders", "--json").json
    backfill(tmp_path, statement_samples(cluster.rpartition("/")[2], {each["id"] for each in listed}))
    statement = page.locator("tbody.statement").filter(has_text="wares RIGHT JOIN")
    with prometheus(tmp_path, port=port):
        await visitor.open(f"{cluster}/queries")
        await expect(statement.locator(".history.drawn .spark canvas")).to_have_count(2)
        for spark in await statement.locator(".spark").all():
            assert await spark.evaluate(COLOURED) > 50
        await statement.get_by_role("button", name="Plan").click()
        await expect(statement.locator(".plan")).to_contain_text("Join")
        await visitor.look("queries-history")
        await statement.locator(".u-over").first.hover(position={"x": 150, "y": 30})
        moments = set(await statement.locator(".chart-at").all_inner_texts())
        assert len(moments) == 1
        assert re.fullmatch(r"\d+ \w{3} \d\d:\d\d:\d\d", moments.pop())
        await page.get_by_role("link", name="6h").click()
        await page.wait_for_url("**range=6h&by=time#statements")
        await expect(page.get_by_label("Range of histories").locator("[aria-current]")).to_have_text("6h")
        await page.get_by_role("link", name="Slowest").click()
        await page.wait_for_url("**range=6h&by=mean#statements")
        await expect(page.get_by_label("Order of statements").locator("[aria-current]")).to_have_text("Slowest")
        await expect(page.locator("tbody.statement").first).to_contain_text("wares RIGHT JOIN")
        signed_in = await page.context.storage_state()
        plain = await chromium.new_context(java_script_enabled=False, storage_state=signed_in)
        bare = await plain.new_page()
        await bare.goto(f"{visitor.base}{cluster}/queries")
        row = (
            bare.locator("tbody.statement").filter(has_text="RIGHT JOIN").get_by_role("row", name="Mean time of a call")
        )
        await expect(row.get_by_role("cell").first).to_have_text(re.compile(r"^[\d.]+ ms$"))
        await bare.screenshot(path=visitor.picture("queries-without-scripts"), full_page=True)
        await plain.close()


def statement_samples(cluster_id: str, statements: Iterable[str]) -> Iterable[str]:
    """Counters of *statements* in the default database, with a wave in how often they ran, and a silence of an hour."""
    now = int(time.time())
    for at in range(now - 25 * 3600, now + 3600, 60):
        if now - 8 * 3600 < at < now - 7 * 3600:
            continue
        for statement in sorted(statements):
            labels = {"cluster": cluster_id, "org": "personal", "node": "a", "role": "primary", "database": "fly-db"}
            calls = 3.0 * (at % 10_000_000) + 9000 * math.sin(at / 4000)
            for what, value in (("calls", calls), ("seconds", calls * 0.004 + 20 * math.sin(at / 9000))):
                yield Sample(f"mpg_statement_{what}_total", {**labels, "statement": statement}, value).line(at)
