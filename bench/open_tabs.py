"""Tabs of the dashboard that stay open for an hour beside a cluster that works: what each holds, minute by minute."""

import asyncio
import itertools
import shutil
import time

import psycopg
from playwright.async_api import Browser, CDPSession, Page

from bench.dashboard import heap_mb, open_browser
from bench.report import at_most
from bench.run import Product, Run
from bench.workspace import say
from model.cluster import Role
from model.settings import Settings
from starter.tokens.sign_in_codes import SignInCodes

SECTION = "tabs"
TABS = ("metrics", "users", "operations")
USER = "app"
CHANGE_EVERY_S = 20.0
"""How often a user's role is changed: each change goes to every tab."""
SETTLED = 1 / 6
"""Of the time, after which a tab has all that it will ever need."""


async def measure(run: Run) -> None:
    """Keep one tab of each kind open, and look at each once a minute."""
    if shutil.which("chromium") is None:
        run.remark("There is no chromium here.")
        return
    minutes = run.count(2, 60)
    async with (
        run.stack("tabs", prometheus_port=run.workspace.free_port()) as (mpg, settings),
        run.cluster(mpg, "tabs") as cluster,
        open_browser() as browser,
    ):
        await (await mpg.create_user(cluster.name, USER, Role.READER)).result()
        pages = {tab: await _open(browser, settings, f"/clusters/{cluster.state.spec.id}/{tab}") for tab in TABS}
        working = asyncio.create_task(_work(cluster))
        held = dict[str, list[float]]()
        try:
            for minute in range(minutes + 1):
                for tab, (_, inspector) in pages.items():
                    held.setdefault(tab, []).append(await heap_mb(inspector))
                say(f"{SECTION}: minute {minute}: " + ", ".join(f"{tab} {mb[-1]:.2f} MB" for tab, mb in held.items()))
                if minute < minutes:
                    await asyncio.wait({working}, timeout=60)
                    assert not working.done(), working.exception()
        finally:
            working.cancel()
        for tab, mb in held.items():
            settled = mb[round(minutes * SETTLED) :]
            run.record(SECTION, f"{tab}, open for {minutes} min: its heap, minute by minute", "MB", mb)
            run.record(
                SECTION,
                f"{tab}: growth of its heap from minute {round(minutes * SETTLED)} to the last, per hour",
                "MB",
                [(settled[-1] - settled[0]) * 60 / max(len(settled) - 1, 1)],
                targets=at_most(worst=1),
            )


async def _open(browser: Browser, settings: Settings, path: str) -> tuple[Page, CDPSession]:
    page = await (await browser.new_context()).new_page()
    await page.goto(f"{settings.api_url}/sign-in?code={SignInCodes(settings.api_dir).issue()}")
    await page.goto(settings.api_url + path)
    return page, await page.context.new_cdp_session(page)


async def _work(cluster: Product) -> None:
    """Have rows written, and something of each tab change, until it is cancelled."""
    async with await psycopg.AsyncConnection.connect(cluster.uri(), autocommit=True, prepare_threshold=None) as session:
        await session.execute("CREATE TABLE worked (at timestamptz)")
        for role in itertools.cycle((Role.WRITER, Role.READER)):
            await (await cluster.mpg.set_user_role(cluster.name, USER, role)).result()
            until = time.monotonic() + CHANGE_EVERY_S
            while time.monotonic() < until:
                await session.execute("INSERT INTO worked VALUES (now())")
                await asyncio.sleep(0.1)
