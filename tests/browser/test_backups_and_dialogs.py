"""Dialogs by keyboard and as they follow what is entered; a moment picked on the recovery window, and a fork."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from cli_program import Mpg
from playwright.async_api import Route, expect

from tests.browser.visitor import BOUND_MS, Visitor

pytestmark = [pytest.mark.integration, pytest.mark.browser]

ROW = "INSERT INTO goods DEFAULT VALUES"


async def test_dialog_opens_at_the_click_and_is_used_by_keyboard(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    dialog, answer = page.locator("#dialog[open]"), asyncio.Event()

    async def hold(route: Route) -> None:
        await answer.wait()
        await route.continue_()

    await page.route("**/do/set-tls**", hold, times=1)
    await visitor.open(f"{cluster}/settings")
    link = page.get_by_role("link", name="TLS", exact=True)
    await link.focus()
    # A live part keeps the focus when it is shown anew, as it is soon after the cluster was made.
    async with page.expect_response(lambda answer: answer.url.endswith("/settings")):
        await page.evaluate("htmx.trigger(document.body, 'live')")
    await page.evaluate("new Promise((done) => setTimeout(done))")
    await expect(link).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_text("Loading …")).to_be_visible()
    await expect(dialog.locator("#dialog-body")).to_have_attribute("aria-busy", "true")
    await visitor.look("dialog-loading")
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(link).to_be_focused()
    answer.set()
    visitor.complaints.clear()  # htmx tells the console of a request that was given up
    await page.keyboard.press("Enter")
    field = dialog.get_by_label("TLS", exact=True)
    await expect(field).to_be_focused()
    await expect(dialog.locator("#dialog-body")).to_have_attribute("aria-busy", "false")
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(link).to_be_focused()


async def test_what_will_happen_follows_what_is_entered(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    dialog = page.locator("#dialog[open]")
    await visitor.open(f"{cluster}/settings")
    await page.get_by_role("link", name="TLS", exact=True).click()
    await dialog.get_by_text("The same on a command line").click()
    await expect(dialog.get_by_text("mpg tls orders --offer")).to_be_visible()
    await dialog.get_by_label("TLS", exact=True).select_option("required")
    await expect(dialog.get_by_text("connections that are not encrypted are refused")).to_be_visible()
    await expect(dialog.get_by_text("mpg tls orders --require"), "it stays unfolded").to_be_visible()
    await expect(dialog.get_by_role("button", name="Copy")).to_be_visible()
    await visitor.look("tls-dialog")
    await dialog.get_by_role("link", name="Cancel").click()
    await expect(dialog).to_have_count(0)
    await page.get_by_role("link", name="Restart").click()
    await expect(dialog.get_by_text("was not measured on this cluster yet")).to_be_visible()
    await dialog.get_by_text("The same on a command line").click()
    await dialog.get_by_label("Which").select_option("b")
    await expect(dialog.get_by_text("mpg restart orders --node b")).to_be_visible()
    await expect(dialog.get_by_text("was not measured on this cluster yet")).to_be_visible()


async def test_moment_is_picked_on_the_recovery_window_and_restored(
    visitor: Visitor, cluster: str, program: Mpg
) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/backups")
    await expect(page.get_by_role("cell", name="completed").first).to_be_visible(timeout=BOUND_MS)
    async with await psycopg.AsyncConnection.connect(_uri(program, "orders"), autocommit=True) as connection:
        await connection.execute(f"CREATE TABLE goods (id int GENERATED ALWAYS AS IDENTITY); {ROW}")
        told = await connection.execute("SELECT date_trunc('second', clock_timestamp()) + interval '1 s'")
        row = await told.fetchone()
        assert row is not None
        moment: datetime = row[0].astimezone(UTC)
        await connection.execute("SELECT pg_sleep_until(%s)", (moment + timedelta(seconds=1),))
        await connection.execute(ROW)
    line = page.get_by_role("slider", name="A moment of the recovery window")
    await expect(line).to_be_visible(timeout=BOUND_MS)
    await visitor.open(f"{cluster}/backups")
    await visitor.look("recovery-window")
    dialog, field = page.locator("#dialog[open]"), page.get_by_label("Time in UTC")
    first = float(await line.get_attribute("aria-valuemin") or "")
    box = await line.bounding_box()
    assert box is not None
    await line.hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
    await expect(page.locator("#picked")).to_have_text(re.compile(r"^Restore to 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC$"))
    await page.screenshot(path=visitor.picture("recovery-window-picking"))
    await line.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    await expect(field).to_be_focused()
    begun, ended = [float(await line.get_attribute(f"data-{end}") or "") for end in ("since", "end")]
    assert abs(_seconds(await field.input_value()) - (begun + ended) / 2) <= 1 + (ended - begun) / 10
    await page.keyboard.press("Escape")
    await expect(line).to_be_focused()
    await page.keyboard.press("Home")
    await page.keyboard.press("Shift+ArrowRight")
    await page.keyboard.press("Enter")
    await expect(field).to_be_focused()
    assert _seconds(await field.input_value()) == first + 1
    assert _seconds(await field.get_attribute("min") or "") == first

    await field.fill(_local(moment.timestamp()).removesuffix(":00"))  # as Chromium writes it
    await expect(dialog.get_by_text(f"as of {moment:%Y-%m-%d %H:%M:%S} UTC")).to_be_visible()
    await dialog.get_by_label("Name of the new cluster").fill("earlier")
    await expect(dialog.get_by_text("A new cluster, earlier, is made")).to_be_visible()
    await visitor.confirm("Restore", "restore-to-time-dialog")
    await visitor.await_operation("Restore cluster")
    assert [await _rows(program, name) for name in ("earlier", "orders")] == [1, 2]


async def test_fork_is_a_new_cluster_with_all_that_this_one_holds(visitor: Visitor, cluster: str, program: Mpg) -> None:
    page = visitor.page
    dialog, rows = page.locator("#dialog[open]"), await _rows(program, "orders")
    await visitor.open(f"{cluster}/backups")
    await page.get_by_role("link", name="Fork", exact=True).click()
    await dialog.get_by_label("Name of the new cluster").fill("twin")
    await expect(dialog.get_by_text("A new cluster, twin, is made")).to_be_visible()
    await visitor.confirm("Fork", "fork-dialog")
    await visitor.await_operation("Restore cluster")  # of what this one holds now
    assert await _rows(program, "twin") == rows
    assert visitor.complaints == [], "the console of the browser is quiet through all of this"


def _local(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}"


def _seconds(entered: str) -> float:
    return datetime.fromisoformat(entered).replace(tzinfo=UTC).timestamp()


def _uri(program: Mpg, name: str) -> str:
    return program.done("url", name, "--direct").out.strip()


async def _rows(program: Mpg, name: str) -> int:
    async with await psycopg.AsyncConnection.connect(_uri(program, name)) as connection:
        row = await (await connection.execute("SELECT count(*) FROM goods")).fetchone()
    assert row is not None
    return row[0]
