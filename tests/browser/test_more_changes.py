"""Changes that the dashboard offers and no other test starts from it, and looks at pages that show more than before."""

import asyncio
from urllib.parse import urlsplit

import psycopg
import pytest
from cli_program import Mpg
from playwright.async_api import expect

from tests.browser.visitor import BOUND_MS, Visitor

pytestmark = [pytest.mark.integration, pytest.mark.browser]


def _password(uri: str) -> str | None:
    return urlsplit(uri).password


async def test_new_cluster_is_shown_as_a_command_and_a_request_that_follow_the_form(
    visitor: Visitor, cluster: str
) -> None:
    page = visitor.page
    await visitor.open("/clusters/new")
    await page.get_by_text("The same on a command line").click()
    await page.get_by_text("The same as an HTTP request").click()
    await page.get_by_label("Name").fill("shop")
    await page.get_by_label("Session").check()
    for part in (page.locator("#create-command-1"), page.locator("#create-call-1")):
        await expect(part).to_contain_text("session", timeout=BOUND_MS)
        await expect(part).to_contain_text("shop")
    await visitor.look("create-same")


async def test_connection_that_verifies_the_server_connects(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/connect")
    await page.get_by_label("TLS").select_option("verify-full")
    await page.get_by_label("Endpoint").select_option("direct")
    await page.get_by_role("button", name="Choose").click()
    await expect(page.locator("pre").first).to_contain_text("sslmode=verify-full")
    await page.get_by_text("The same on a command line").click()
    await expect(page.locator("#connect-command-1")).to_contain_text("--verify-full")
    await visitor.look("connect-verified")
    await page.get_by_role("button", name="Show password").click()
    async with await psycopg.AsyncConnection.connect(await page.locator("#uri").inner_text()) as connection:
        assert connection.pgconn.ssl_in_use


async def test_password_is_rotated(visitor: Visitor, cluster: str, program: Mpg) -> None:
    before = program.done("url", "orders", "--direct").out.strip()
    await visitor.open(f"{cluster}/users")
    await visitor.page.get_by_role("row").filter(has_text="fly-user").get_by_role("link", name="Rotate").click()
    await visitor.confirm("Rotate Password")
    await visitor.await_operation("Rotate password")
    after = program.done("url", "orders", "--direct").out.strip()
    assert _password(before) != _password(after)
    async with await psycopg.AsyncConnection.connect(after) as connection:
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await psycopg.AsyncConnection.connect(before)


async def test_extension_is_disabled(visitor: Visitor, cluster: str, program: Mpg) -> None:
    page = visitor.page
    program.done("databases", "extensions", "enable", "orders", "citext", "-d", "fly-db")
    await visitor.open(f"{cluster}/databases/fly-db")
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name="citext", exact=True))
    await expect(row).to_contain_text("no files")
    await row.get_by_role("link", name="Disable").click()
    await visitor.confirm("Disable extension")
    await visitor.await_operation("Disable extension")
    await visitor.open(f"{cluster}/databases/fly-db")
    await expect(row.get_by_role("link", name="Enable")).to_be_visible()


async def test_storage_grows(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/settings")
    await page.get_by_role("link", name="Grow Storage").click()
    field = page.locator("#dialog[open]").get_by_label("GB for each node")
    wanted = int(await field.input_value()) + 2
    await field.fill(str(wanted))
    await visitor.confirm("Grow Storage")
    await visitor.await_operation("Grow storage")
    await visitor.open(f"{cluster}/settings")
    await expect(page.get_by_text(f"of {wanted} GB")).to_be_visible()


async def test_schedule_is_on_settings_too(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/settings")
    await page.get_by_role("link", name="Schedule").click()
    await page.locator("#dialog[open]").get_by_label("Incremental backups").fill("45 4 * * *")
    await visitor.confirm("Update Schedule")
    await visitor.await_operation("Set backup policy")
    await visitor.open(f"{cluster}/settings")
    await expect(page.get_by_text("45 4 * * *")).to_be_visible()


async def test_one_node_is_restarted(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/settings")
    replica = page.get_by_role("row").filter(has=page.get_by_role("cell", name="Replica", exact=True))
    name = await replica.get_by_role("cell").first.inner_text()
    await page.get_by_role("link", name="Restart").click()
    await page.locator("#dialog[open]").get_by_label("Which").select_option(name)
    await visitor.confirm("Restart")
    await visitor.await_operation("Restart")
    await page.get_by_text("The same on a command line").click()
    await expect(page.locator("#operation-command-3")).to_contain_text("mpg operations retry restart/orders/")
    await visitor.open(f"{cluster}/settings")
    await expect(replica.get_by_role("cell").first).to_have_text(name)


async def test_switchover_that_is_confirmed_makes_the_replica_the_primary(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/settings")
    primary, replica = (
        page.get_by_role("row").filter(has=page.get_by_role("cell", name=role, exact=True)).get_by_role("cell").first
        for role in ("Primary", "Replica")
    )
    was = await replica.inner_text()
    assert await primary.inner_text() != was
    await page.get_by_role("link", name="Switch Over").click()
    await visitor.confirm("Switch Over")
    await visitor.await_operation("Switchover")
    await visitor.open(f"{cluster}/settings")
    await expect(primary).to_have_text(was)


async def test_what_a_session_runs_is_cancelled_and_a_session_of_a_user_is_ended(
    visitor: Visitor, cluster: str, program: Mpg
) -> None:
    page = visitor.page
    uri = program.done("url", "orders", "--direct").out.strip()
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True, application_name="report") as reporting:
        running = asyncio.create_task(reporting.execute("SELECT pg_sleep(600)"))
        row = page.get_by_role("row").filter(has_text="report")
        async with asyncio.timeout(BOUND_MS / 1000):
            while True:
                await visitor.open(f"{cluster}/queries?user=fly-user")
                if await row.get_by_role("button", name="Cancel").count():
                    break
        await row.get_by_role("button", name="Cancel").click()
        await expect(page.get_by_role("status").filter(has_text="is cancelled")).to_be_visible(timeout=BOUND_MS)
        with pytest.raises(psycopg.errors.QueryCanceled):
            await running
        await visitor.open(f"{cluster}/users")
        await page.get_by_role("row").filter(has_text="fly-user").get_by_role("link", name="Sessions").click()
        dialog = page.locator("#dialog[open]")
        await expect(dialog.get_by_role("row").filter(has_text="report")).to_be_visible(timeout=BOUND_MS)
        await visitor.look("user-sessions")
        await dialog.get_by_role("row").filter(has_text="report").get_by_role("button", name="End").click()
        await expect(dialog.get_by_role("status").filter(has_text="is ended")).to_be_visible(timeout=BOUND_MS)
        await expect(dialog.get_by_role("row").filter(has_text="report")).to_have_count(0)
        with pytest.raises(psycopg.OperationalError):
            await reporting.execute("SELECT 1")
    assert visitor.complaints == []
