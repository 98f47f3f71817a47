"""A stack, a browser that is signed in, and one cluster for all tests, made by way of the pages."""

import json
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
import pytest_asyncio
from cli_program import Mpg, running_stack
from playwright.async_api import Browser, async_playwright, expect

from tests.browser.chromium import find_chromium
from tests.browser.visitor import BOUND_MS, Visitor

SCREENSHOTS = Path(__file__).parent / "screenshots"


@pytest.fixture(scope="module")
def program() -> Generator[Mpg]:
    with running_stack() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chromium() -> AsyncGenerator[Browser]:
    SCREENSHOTS.mkdir(exist_ok=True)
    async with async_playwright() as playwright:
        # Its own sandbox needs a user that is not root.
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        expect.set_options(timeout=BOUND_MS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def visitor(program: Mpg, chromium: Browser) -> AsyncGenerator[Visitor]:
    """Somebody who ran `mpg dashboard`."""
    url = json.loads(program.done("dashboard", "--json").out)["url"]
    context = await chromium.new_context()  # of which tests open another tab
    page = await context.new_page()
    made = Visitor(page, url.partition("/sign-in")[0], SCREENSHOTS)
    await page.goto(url)
    yield made
    await context.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(visitor: Visitor) -> str:
    """The path of a cluster that was made in the browser: its form, its steps as they happen, its page."""
    page = visitor.page
    await visitor.open("/")
    await visitor.look("clusters-empty")
    await page.get_by_role("link", name="Create new cluster").first.click()
    await page.get_by_label("Name").fill("orders")
    await visitor.look("create")
    await page.get_by_role("button", name="Create cluster").click()
    await visitor.await_operation("Create cluster")
    await visitor.look("operation-done")
    await page.get_by_role("link", name="Go to orders").click()
    await page.wait_for_url("**/connect")
    return page.url.removeprefix(visitor.base).removesuffix("/connect")
