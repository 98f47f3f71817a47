"""The dashboard in Chromium: first paint, a thousand clusters, how soon a change is seen, what an open tab weighs.

Activities are stubs. The floor is a file that the same process serves from memory.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import httpx
from playwright.async_api import Browser, CDPSession, Page, StorageState, async_playwright

from bench.report import at_most
from bench.run import Run
from bench.stub_cluster import start_clusters
from bench.workspace import say
from model.cluster import Role
from model.names import DEFAULT_ORG
from model.settings import Settings
from starter.client import MpgClient
from starter.client.temporal import connect
from starter.tokens.sign_in_codes import SignInCodes

SECTION = "dashboard"
CLUSTERS = 1000
USER = "app"
TABS = ("connect", "users", "databases", "settings", "backups", "operations")
"""But Queries, which asks the database: stubs have none."""
_UNTIL_PAINTED = """async () => {
    const painted = () => performance.getEntriesByName("first-contentful-paint")[0];
    while (!painted()) await new Promise(resolve => setTimeout(resolve, 10));
    return painted().startTime;
}"""
_UNTIL_SHOWN = """async role => {
    const shown = () => [...document.querySelectorAll("#live .tag")].some(tag => tag.textContent === role);
    while (!shown()) await new Promise(resolve => setTimeout(resolve, 10));
}"""
_SEEN_S = 30
_LISTED_S = 60
_BETWEEN_S = 0.3


async def measure(run: Run) -> None:
    """Pages by themselves, then in a browser, then a tab that stays open."""
    if shutil.which("chromium") is None:
        run.remark("There is no chromium here.")
        return
    async with run.stack("dashboard", worker_module="bench.stub_worker") as (mpg, settings):
        clusters = await start_clusters(await connect(settings), run.count(60, CLUSTERS))
        await _await_listed(mpg, len(clusters))
        await (await mpg.create_user(clusters[0], USER, Role.READER)).result()
        measured = _Measured(run, mpg, settings, clusters)
        await measured.lists()
        async with open_browser() as browser:
            await measured.paints(browser)
            await measured.open_tab(browser)


async def _await_listed(mpg: MpgClient, count: int) -> None:
    """Return once lists, which are a little behind, have *count* clusters."""
    async with asyncio.timeout(_LISTED_S):
        while True:
            if len(await mpg.cluster_rows()) >= count:
                return
            await asyncio.sleep(_BETWEEN_S)


@asynccontextmanager
async def open_browser() -> AsyncGenerator[Browser]:
    """Lend a browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        await browser.close()


class _Measured:
    """The measures of one API process."""

    def __init__(self, run: Run, mpg: MpgClient, settings: Settings, clusters: Sequence[str]) -> None:
        self.run, self.mpg, self.settings, self.clusters = run, mpg, settings, clusters
        self._row = partial(run.record, SECTION)
        self._signed_in: StorageState | None = None

    async def lists(self) -> None:
        """Ask for the list as it is first, and again, for its last page, and for a few by name."""
        async with httpx.AsyncClient(base_url=self.settings.api_url, timeout=60) as client:
            await client.get(self._sign_in(), follow_redirects=True)
            floor = await self._answers(client, "/assets/app.css")
            count = len(self.clusters)
            name = f"stub-{self.clusters[0][:3]}"
            for what, path in (
                ("first page", "/"),
                ("last page", f"/?page={count}"),
                ("search", f"/?search={name}"),
            ):
                waits = await self._answers(client, path)
                self._row(f"{count} clusters: {what}", "ms", waits, floor=floor, targets=at_most(worst=1000))

    async def _answers(self, client: httpx.AsyncClient, path: str) -> list[float]:
        waits = list[float]()
        for _ in range(self.run.count(3, 20)):
            begun = time.perf_counter()
            answer = await client.get(path)
            answer.raise_for_status()
            waits.append((time.perf_counter() - begun) * 1000)
        return waits

    async def paints(self, browser: Browser) -> None:
        """Open each page with nothing kept of it, and read when something was first painted."""
        paths = {"list of clusters": "/"} | {tab: f"/clusters/{self.clusters[0]}/{tab}" for tab in TABS}
        for name, path in paths.items():
            waits = list[float]()
            for _ in range(self.run.count(1, 5)):
                page = await self._page(browser)
                await page.goto(self.settings.api_url + path)
                waits.append(await page.evaluate(_UNTIL_PAINTED))
                await page.context.close()
            self._row(f"first paint: {name}", "ms", waits, targets=at_most(worst=1000))

    async def open_tab(self, browser: Browser) -> None:
        """Keep a tab open while a user's role is changed again and again, each time seen in the page."""
        page = await self._page(browser)
        await page.goto(f"{self.settings.api_url}/clusters/{self.clusters[0]}/users")
        inspector = await page.context.new_cdp_session(page)
        waits, heaps = list[float](), [await heap_mb(inspector)]
        events = self.run.count(4, 200)
        for number in range(events):
            role = (Role.WRITER, Role.READER)[number % 2]
            waits.append(await self._seen(page, role))
            await asyncio.sleep(_BETWEEN_S)
            if number in {events // 2, events - 1}:
                heaps.append(await heap_mb(inspector))
        self._row("fact to its place in an open page", "ms", waits, targets=at_most(p95=1000))
        start, half, end = heaps
        say(f"{SECTION}: heap of a tab, MB: {start:.2f}, after {events // 2} changes {half:.2f}, after all {end:.2f}")
        self._row(f"a tab through {events} changes: its heap's growth in the second half of them", "MB", [end - half],
                  targets=at_most(worst=1))  # fmt: skip
        await page.context.close()

    async def _seen(self, page: Page, role: Role) -> float:
        """Change the role; return how long after the operation's end the page shows it, in milliseconds."""
        operation = await self.mpg.set_user_role(self.clusters[0], USER, role, org=DEFAULT_ORG)
        await operation.result()
        begun = time.perf_counter()
        await asyncio.wait_for(page.evaluate(_UNTIL_SHOWN, role.value), _SEEN_S)
        return (time.perf_counter() - begun) * 1000

    async def _page(self, browser: Browser) -> Page:
        """Return a page of a browser that has nothing of the dashboard but the cookie."""
        if self._signed_in is None:
            context = await browser.new_context()
            await (await context.new_page()).goto(self.settings.api_url + self._sign_in())
            self._signed_in = await context.storage_state()
            await context.close()
        return await (await browser.new_context(storage_state=self._signed_in)).new_page()

    def _sign_in(self) -> str:
        return f"/sign-in?code={SignInCodes(self.settings.api_dir).issue()}"


async def heap_mb(inspector: CDPSession) -> float:
    """Return what the page's scripts hold after a collection."""
    await inspector.send("HeapProfiler.collectGarbage")
    usage = await inspector.send("Runtime.getHeapUsage")
    return float(usage["usedSize"]) / 2**20
