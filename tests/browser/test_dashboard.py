"""The dashboard in a real browser, on a real stack: each tab by way of real workflows to real containers."""

import asyncio
import re

import psycopg
import pytest
from cli_program import Mpg
from playwright.async_api import Browser, expect

from tests.browser.visitor import BOUND_MS, Visitor

pytestmark = [pytest.mark.integration, pytest.mark.browser]


async def test_connection_string_shows_its_password_when_asked_and_connects(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/connect")
    assert "•" in await page.locator("pre").first.inner_text()
    await visitor.look("connect")
    await page.get_by_label("Endpoint").select_option("direct")
    await page.get_by_role("button", name="Choose").click()
    await page.get_by_role("button", name="Show password").click()
    uri = await page.locator("#uri").inner_text()
    assert uri not in page.url
    async with await psycopg.AsyncConnection.connect(uri) as connection:
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
    stored = await page.evaluate("JSON.stringify([Object.assign({}, localStorage), Object.assign({}, sessionStorage)])")
    assert re.findall(":([^:@]+)@", uri)[0] not in stored


async def test_users_are_made_changed_and_deleted(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/users")
    await page.get_by_label("Name").fill("pg_app")
    await page.get_by_role("button", name="Create User").click()
    dialog = page.locator("#dialog[open]")
    await expect(dialog.get_by_role("alert")).to_contain_text("is reserved")
    await visitor.look("create-user-refused")
    await dialog.get_by_label("Name").fill("app")
    await dialog.get_by_role("button", name="Create User").click()
    await visitor.await_operation("Create user")
    await visitor.open(f"{cluster}/users")
    row = page.get_by_role("row").filter(has_text="app")
    await visitor.look("users")
    await row.get_by_role("link", name="Change role").click()
    await page.locator("#dialog[open]").get_by_label("New role").select_option("reader")
    await visitor.confirm("Change Role", "change-role")
    await visitor.await_operation("Set user role")
    await visitor.open(f"{cluster}/users")
    await expect(row).to_contain_text("reader")
    await row.get_by_role("link", name="Delete").click()
    await visitor.confirm("Delete User")
    await visitor.await_operation("Delete user")


async def test_databases_and_their_extensions(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/databases")
    await page.get_by_label("Name").fill("shop")
    await page.get_by_role("button", name="Create database").click()
    await visitor.await_operation("Create database")
    await visitor.open(f"{cluster}/databases")
    await visitor.look("databases")
    await page.get_by_role("link", name="Extensions of shop").click()
    extension = page.get_by_role("row").filter(has=page.get_by_role("cell", name="hstore", exact=True))
    await extension.get_by_role("link", name="Enable").click()
    await visitor.confirm("Enable extension")
    await visitor.await_operation("Enable extension")
    await visitor.open(f"{cluster}/databases/shop")
    await expect(extension.get_by_role("link", name="Disable")).to_be_visible()
    await visitor.look("extensions")


async def test_pool_mode_and_plan_change_and_another_tab_sees_it_by_itself(
    visitor: Visitor, chromium: Browser, cluster: str
) -> None:
    page = visitor.page
    other = await page.context.new_page()
    await other.goto(f"{visitor.base}/")
    await visitor.open(f"{cluster}/settings")
    await visitor.look("settings")
    await page.get_by_label("Session").check()
    await page.get_by_role("button", name="Update Pool Mode").click()
    await visitor.confirm("Update Pool Mode", "pool-mode-dialog")
    await visitor.await_operation("Set pool mode")
    await visitor.open(f"{cluster}/settings")
    await page.get_by_label("Starter").check()
    await page.get_by_role("button", name="Update Configuration").click()
    await visitor.confirm("Update Configuration")
    await visitor.await_operation("Change plan")
    await expect(other.get_by_role("row").filter(has_text="orders")).to_contain_text("starter", timeout=BOUND_MS)
    await other.close()


async def test_backup_is_made_and_restored_into_a_new_cluster(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    # The one that is made with the cluster may still be on its way.
    await visitor.open(f"{cluster}/backups")
    await expect(page.get_by_role("cell", name="completed").first).to_be_visible(timeout=BOUND_MS)
    await page.get_by_role("link", name="Back Up Now").click()
    await page.locator("#dialog[open]").get_by_label("Type").select_option("incr")
    await visitor.confirm("Back Up Now")
    await visitor.await_operation("Backup")
    await visitor.open(f"{cluster}/backups")
    await visitor.look("backups")
    await page.get_by_role("row").filter(has_text="incr").get_by_role("link", name="Restore").click()
    await page.locator("#dialog[open]").get_by_label("Name of the new cluster").fill("copy")
    await visitor.confirm("Restore", "restore-dialog")
    await visitor.await_operation("Restore cluster")
    await page.get_by_role("link", name="Go to copy").click()
    await expect(page.get_by_role("heading", name="copy")).to_be_visible()


async def test_operations_are_listed_filtered_and_lead_to_their_workflows(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    await visitor.open("/operations")
    await visitor.look("operations")
    await page.get_by_label("Operation", exact=True).select_option("ChangePlan")
    await page.get_by_role("button", name="Filter").click()
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(1)
    await rows.get_by_role("link").click()
    link = page.get_by_role("link", name="In Temporal's UI")
    assert re.search(r"/workflows/change-plan%2Forders%2F\w+$", await link.get_attribute("href") or "")
    await visitor.open(f"{cluster}/operations")
    await visitor.look("cluster-operations")


async def test_components_and_sign_in_look_as_they_should(visitor: Visitor, chromium: Browser) -> None:
    await visitor.open("/components")
    await visitor.look("components")
    stranger = Visitor(await chromium.new_page(), visitor.base, visitor._screenshots)
    await stranger.page.goto(f"{visitor.base}/sign-in?code={'x' * 32}")
    await expect(stranger.page.get_by_role("alert")).to_contain_text("This code was used already, or is none.")
    await stranger.look("sign-in-refused")
    await stranger.page.close()


async def test_without_scripts_a_cluster_is_destroyed_by_its_name(
    visitor: Visitor, chromium: Browser, cluster: str, program: Mpg
) -> None:
    signed_in = await visitor.page.context.storage_state()
    plain = await chromium.new_context(java_script_enabled=False, storage_state=signed_in)
    page = await plain.new_page()
    await page.goto(f"{visitor.base}{cluster}/settings")
    await page.get_by_role("link", name="Destroy Cluster").click()
    await page.get_by_label("Keep its backups").fill("0")
    await page.get_by_label("to confirm").fill("order")
    await page.get_by_role("button", name="Destroy Cluster").click()
    await expect(page.get_by_role("alert")).to_contain_text("This is not the cluster's name")
    await page.get_by_label("to confirm").fill("orders")
    await page.get_by_role("button", name="Destroy Cluster").click()
    await page.wait_for_url("**/operations/destroy-cluster/orders/**")
    async with asyncio.timeout(BOUND_MS / 1000):
        while await page.locator(".title .tag").inner_text() != "Done":
            await page.reload()
    await plain.close()
    assert [each["name"] for each in program("list", "--json").json] == ["copy"]
    assert visitor.complaints == [], "the console of the browser is quiet through all of this"
