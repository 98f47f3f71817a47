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
    await expect(page.get_by_text("was not measured on this cluster yet")).to_be_visible(timeout=BOUND_MS)
    await visitor.confirm("Update Configuration", "plan-dialog-unmeasured")
    await visitor.await_operation("Change plan")
    await expect(page.get_by_text("Pooled clients were held for")).to_be_visible()
    await visitor.look("operation-takeover")
    await visitor.open(f"{cluster}/settings")
    await page.get_by_role("link", name="Switch Over").click()
    said = page.get_by_text(re.compile(r"The last time on this cluster pooled clients waited for \d+ ms\."))
    await expect(said).to_be_visible(timeout=BOUND_MS)
    await visitor.look("switchover-dialog")
    await expect(other.get_by_role("row").filter(has_text="orders")).to_contain_text("starter", timeout=BOUND_MS)
    await other.close()


async def test_durability_changes_both_ways(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    for wanted, shows in (("Async", "not in sync"), ("Sync", "in sync")):
        await visitor.open(f"{cluster}/settings")
        await page.get_by_role("radio", name=re.compile(f"^{wanted}", re.IGNORECASE)).check()
        await page.get_by_role("button", name="Update Durability").click()
        await visitor.confirm("Update Durability", "durability-dialog" if wanted == "Async" else "")
        await visitor.await_operation("Set durability")
        await visitor.open(f"{cluster}/settings")
        replica = page.get_by_role("row").filter(has=page.get_by_role("cell", name="Replica", exact=True))
        await expect(replica.get_by_role("cell").last).to_have_text(re.compile(f"^{shows}"))
        await visitor.look(f"settings-{wanted.lower()}")


async def test_who_may_connect_and_how_storage_grows_are_changed(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/settings")
    await page.get_by_role("link", name="Allow List").click()
    await page.locator("#dialog[open]").get_by_label("Networks").fill("0.0.0.0/1 128.0.0.0/1")
    await visitor.confirm("Update Allow List", "allow-list-dialog")
    await visitor.await_operation("Set allow list")
    await visitor.open(f"{cluster}/settings")
    await expect(page.get_by_text("from 0.0.0.0/1, 128.0.0.0/1 only")).to_be_visible()
    await page.get_by_role("link", name="Growth").click()
    await page.locator("#dialog[open]").get_by_label("Up to GB").fill("40")
    await visitor.confirm("Update Growth")
    await visitor.await_operation("Grow storage")
    await visitor.open(f"{cluster}/settings")
    await expect(page.get_by_text("by 10 GB up to 40 GB")).to_be_visible()


async def test_queries_show_who_blocks_whom_and_a_session_is_ended(
    visitor: Visitor, cluster: str, program: Mpg
) -> None:
    page = visitor.page
    uri = program.done("url", "orders", "--direct").out.strip()
    async with (
        await psycopg.AsyncConnection.connect(uri, autocommit=True, application_name="report") as holder,
        await psycopg.AsyncConnection.connect(uri, autocommit=True, application_name="checkout") as waiter,
    ):
        await holder.execute("CREATE TABLE goods (id int PRIMARY KEY); CREATE TABLE sold (good int REFERENCES goods)")
        await holder.execute("BEGIN; LOCK TABLE goods")
        waiting = asyncio.create_task(waiter.execute("SELECT count(*) FROM goods"))
        row = page.get_by_role("row").filter(has_text="checkout")
        async with asyncio.timeout(BOUND_MS / 1000):
            while True:
                await visitor.open(f"{cluster}/queries?database=fly-db")
                if await row.get_by_text("blocked by").count():
                    break
        await expect(page.get_by_text("CREATE INDEX CONCURRENTLY ON public.sold (good);")).to_be_visible()
        await visitor.look("queries")
        await page.get_by_role("row").filter(has_text="report").get_by_role("button", name="End").click()
        await expect(page.get_by_role("status").filter(has_text="is ended")).to_be_visible()
        await holder.close()
        found = await waiting
        assert await found.fetchone() == (0,)
    assert "report" not in {each["application"] for each in program.done("queries", "running", "orders", "--json").json}


async def test_plan_of_a_statement_opens_in_place_and_without_scripts_as_a_page(
    visitor: Visitor, chromium: Browser, cluster: str, program: Mpg
) -> None:
    page = visitor.page
    uri = program.done("url", "orders", "--direct").out.strip()
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
        await connection.execute("CREATE TABLE planned (id int PRIMARY KEY, note text)")
        await connection.execute("SELECT note, pg_sleep(0.3) FROM planned FULL JOIN pg_class ON id = relpages LIMIT 1")
    await visitor.open(f"{cluster}/queries")
    statement = page.locator("tbody.statement").filter(has_text="planned FULL JOIN")
    await statement.get_by_role("button", name="Plan").click()
    await expect(statement.locator(".plan")).to_contain_text("Seq Scan on pg_class")
    await expect(statement.get_by_text("as schema_admin in fly-db")).to_be_visible()
    await visitor.look("queries-plan")
    made = page.locator("tbody.statement").filter(has_text="CREATE TABLE planned")
    await made.get_by_role("button", name="Plan").click()
    await expect(made.get_by_role("alert")).to_contain_text("it begins with CREATE")
    signed_in = await page.context.storage_state()
    plain = await chromium.new_context(java_script_enabled=False, storage_state=signed_in)
    bare = await plain.new_page()
    await bare.goto(f"{visitor.base}{cluster}/queries")
    await bare.locator("tbody.statement").filter(has_text="FULL JOIN").get_by_role("button", name="Plan").click()
    await expect(bare.get_by_role("heading", name="Plan of a statement")).to_be_visible()
    await expect(bare.locator(".plan")).to_contain_text("Seq Scan on pg_class")
    address = bare.url.removeprefix(visitor.base)
    await plain.close()
    await visitor.open(address)
    await visitor.look("statement-plan")
    listed = program.done("queries", "statements", "orders", "--json").json
    [known] = {each["id"] for each in listed if "FULL JOIN" in each["query"]}
    assert "Seq Scan on pg_class" in program.done("queries", "plan", "orders", known, "-d", "fly-db").out
    assert "no statement -1 of fly-db" in program.refused("queries", "plan", "orders", "-1", "--database", "fly-db")


async def test_operation_that_was_cancelled_says_who_asked_and_is_tried_again(visitor: Visitor, cluster: str) -> None:
    page = visitor.page
    await visitor.open(f"{cluster}/settings")
    await page.get_by_label("Launch").check()
    await page.get_by_role("button", name="Update Configuration").click()
    await visitor.confirm("Update Configuration")
    await page.wait_for_url("**/operations/**")
    first = page.url
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator(".title .tag")).to_have_text("Cancelled", timeout=BOUND_MS)
    await expect(page.get_by_text("asked for by")).to_be_visible()
    await visitor.look("operation-cancelled")
    await page.get_by_role("button", name="Try Again").click()
    await page.wait_for_url(lambda url: "/operations/" in url and url != first)
    await visitor.await_operation("Change plan")


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
    await page.get_by_role("link", name="Schedule").click()
    await page.locator("#dialog[open]").get_by_label("Incremental backups").fill("30 3 * * *")
    await visitor.confirm("Update Schedule", "schedule-dialog")
    await visitor.await_operation("Set backup policy")
    await visitor.open(f"{cluster}/backups")
    await expect(page.get_by_text("30 3 * * *")).to_be_visible()
    await page.get_by_role("row").filter(has_text="incr").get_by_role("link", name="Verify").click()
    await visitor.confirm("Verify")
    await visitor.await_operation("Verify backup")
    await visitor.open(f"{cluster}/backups")
    await expect(page.get_by_role("row").filter(has_text="incr")).not_to_contain_text("never")
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
    await page.get_by_label("Status", exact=True).select_option("cancelled")
    await page.get_by_role("button", name="Filter").click()
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


async def test_without_scripts_a_cluster_is_destroyed_by_its_name_and_with_them_it_is_had_back(
    visitor: Visitor, chromium: Browser, cluster: str, program: Mpg
) -> None:
    signed_in = await visitor.page.context.storage_state()
    plain = await chromium.new_context(java_script_enabled=False, storage_state=signed_in)
    page = await plain.new_page()
    await page.goto(f"{visitor.base}{cluster}/settings")
    await page.get_by_role("link", name="Destroy Cluster").click()
    await page.get_by_label("Keep its backups").fill("1")
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
    await visitor.open("/")
    await visitor.page.get_by_role("link", name="Destroyed clusters").click()
    await expect(visitor.page.get_by_role("row").filter(has_text="orders")).to_be_visible()
    await visitor.look("destroyed")
    await visitor.page.get_by_role("link", name="Restore").click()
    await visitor.confirm("Restore", "restore-destroyed-dialog")
    await visitor.await_operation("Restore cluster")
    assert [each["name"] for each in program("list", "--json").json] == ["copy", "orders-restored"]
    assert visitor.complaints == [], "the console of the browser is quiet through all of this"
