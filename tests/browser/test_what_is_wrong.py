"""What a person is shown when something goes wrong: a lost primary, a replica away, the stack itself not there."""

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cli_program import Mpg, free_port, running_stack
from metric_samples import Made
from playwright.async_api import expect
from prometheus_server import backfill, prometheus

from model.settings import load_settings
from starter.client.metric_charts import SCRAPE_S
from starter.stack.parts import TEMPORAL
from starter.stack.state import read_status
from tests.browser.visitor import BOUND_MS, Visitor

pytestmark = [pytest.mark.integration, pytest.mark.browser]

MILLISECONDS = re.compile(r"^\d+ ms$")


@pytest.fixture(scope="module")
def port() -> int:
    """Where Prometheus is, as soon as there is one."""
    return free_port()


@pytest.fixture(scope="module")
def program(port: int) -> Generator[Mpg]:
    with running_stack(MPG_PROMETHEUS_URL=f"http://127.0.0.1:{port}") as made:
        yield made


def container(program: Mpg, role: str) -> str:
    """Return the container of the node that has *role*."""
    nodes = program.done("status", "orders", "--json").json["nodes"]
    return next(node["container"] for node in nodes if node["role"] == role)


def docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, capture_output=True)


async def test_clusters_are_listed_and_found_by_name(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    await visitor.open("/")
    row = page.get_by_role("row").filter(has_text="orders")
    await expect(row).to_contain_text("healthy", timeout=BOUND_MS)
    await visitor.look("clusters")
    search = page.get_by_role("searchbox")
    await search.fill("ord")
    await search.press("Enter")
    await page.wait_for_url("**/?search=ord")
    await expect(row).to_be_visible()
    await page.get_by_role("searchbox").fill("shop")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("heading", name="No cluster is called so")).to_be_visible()
    await visitor.look("clusters-not-found")


async def test_a_failover_is_found_with_how_long_clients_were_held(
    visitor: Visitor, cluster: str, program: Mpg, port: int, tmp_path: Path
) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/operations")
    docker("kill", container(program, "primary"))
    await expect(page.get_by_role("row").filter(has_text="Failover").first).to_contain_text("Done", timeout=BOUND_MS)
    await visitor.open("/operations")
    await page.get_by_role("link", name="Failovers").click()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("tbody tr td[data-label='Clients held']")).to_have_text(MILLISECONDS)
    await visitor.look("failovers")
    await page.get_by_role("link", name="Failover", exact=True).click()
    steps = page.get_by_role("table").get_by_role("row").filter(has_text=re.compile(r"\d ms$"))
    await expect(steps.nth(1)).to_be_visible(timeout=BOUND_MS)
    await visitor.look("operation-failover")

    def lines(now: float) -> Iterable[str]:
        for at in range(int(now) - 900, int(now) + 900, SCRAPE_S):
            made = Made(cluster.rpartition("/")[2], at, primary="b", databases=("fly-db",), wave=0.35)
            yield from (each.line(at) for each in made.samples())

    backfill(tmp_path, lines(time.time()))
    with prometheus(tmp_path, port=port):
        await visitor.open(f"{cluster}/metrics?range=15m")
        await expect(page.locator("#chart-cpu .op-mark.bad")).to_have_count(1, timeout=BOUND_MS)
        await visitor.look("metrics-failover")


@asynccontextmanager
async def kept_away(name: str) -> AsyncGenerator[None]:
    """Freeze a container, again each time that the cluster has brought it back."""

    async def freeze() -> None:
        while True:
            await asyncio.to_thread(subprocess.run, ["docker", "pause", name], capture_output=True)
            await asyncio.sleep(0.3)

    freezing = asyncio.create_task(freeze())
    try:
        yield
    finally:
        freezing.cancel()
        await asyncio.wait([freezing])
        # It may run already.
        await asyncio.to_thread(subprocess.run, ["docker", "unpause", name], capture_output=True)


async def test_a_replica_that_is_away_is_said_on_its_cluster_and_on_every_other_page(
    visitor: Visitor, cluster: str, program: Mpg
) -> None:
    page = visitor.page
    await visitor.open("/")
    row = page.get_by_role("row").filter(has_text="orders")
    await expect(row).to_contain_text("healthy", timeout=BOUND_MS)
    wrong = page.locator("#wrong .note")
    async with kept_away(container(program, "replica")):
        for path in ("/clusters/new", "/destroyed", "/operations", "/"):
            await visitor.open(path)
            await expect(wrong).to_contain_text("orders", timeout=BOUND_MS)
        await expect(row).to_contain_text("attention", timeout=BOUND_MS)
        await visitor.look("clusters-wrong")
        await visitor.open(f"{cluster}/settings")
        reason = page.locator("#live-head .note").filter(has_text="Degraded.")
        await expect(reason).to_contain_text("docs/runbooks/node-down.md", timeout=BOUND_MS)
        await expect(wrong).to_have_count(0)
        await visitor.look("settings-degraded")
    await visitor.open("/operations")
    await expect(wrong).to_have_count(0, timeout=BOUND_MS)


async def test_a_page_says_that_the_stack_does_not_answer(visitor: Visitor, cluster: str, program: Mpg) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/users")
    status = read_status(load_settings(home=Path(program.environment["MPG_HOME"])))
    assert status is not None
    [temporal] = [each.process for each in status.parts if each.name == TEMPORAL]
    assert temporal is not None
    silent = page.get_by_text("No connection to the stack.")
    os.kill(temporal.pid, signal.SIGSTOP)
    try:
        await expect(silent).to_be_visible(timeout=BOUND_MS)
        await visitor.look("stack-silent")
    finally:
        os.kill(temporal.pid, signal.SIGCONT)
    await expect(silent).to_be_hidden(timeout=BOUND_MS)
