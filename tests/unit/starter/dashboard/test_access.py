"""Who gets in, and who gets to what, without a stack: the client is a stub that knows one cluster."""

import html
import json
import re
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio

from model.cluster import ClusterView
from model.errors import Refused, StackDown
from model.queries import Queries, Statement, StatementPlan
from model.settings import Settings, load_settings
from starter.api.app import make_app
from starter.client import MpgClient
from starter.client.listing import ClusterRow
from starter.client.metric_shapes import MetricsRange, MetricsShape, StatementHistoriesShape, StatementHistoryShape
from starter.dashboard.own_paths import is_own
from starter.tokens.keyring import Keyring
from starter.tokens.sign_in_codes import SECONDS, SignInCodes
from tests.unit.starter.dashboard.test_health import CONDITION, view

KNOWN = view()
ID = KNOWN.state.spec.id
HOST = "http://127.0.0.1:4280"


class StubClient:
    """Answers what pages ask; counts what they start."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.started: list[str] = []
        self.silent = False
        self.known = KNOWN
        self.no_history: str | None = None
        self.actors: set[str] = set()

    def acting_as(self, actor: str) -> "StubClient":
        self.actors.add(actor)
        return self

    async def organizations(self) -> list[str]:
        if self.silent:
            raise StackDown("Temporal does not answer.", remedy="Start the stack with 'mpg up'.")
        return ["personal"]

    async def cluster_rows(self, *, wrong: bool = False) -> list[ClusterRow]:
        if self.silent:
            raise StackDown("Temporal does not answer.", remedy="Start the stack with 'mpg up'.")
        spec = KNOWN.state.spec
        return [ClusterRow(id=spec.id, name=spec.name, org=spec.org, steady=True)]

    async def views(self, cluster_ids: Sequence[str]) -> list[ClusterView]:
        return [self.known for each in cluster_ids if each == ID]

    async def find(self, cluster_id: str) -> ClusterView | None:
        return KNOWN if cluster_id == ID else None

    async def metrics(self, cluster: str, *, range: MetricsRange, database: str | None, org: str) -> MetricsShape:
        self.started.append(f"metrics {range.value} {database}")
        return MetricsShape(
            range=range, database=database, since=0, until=range.seconds, step=range.step, times=(), charts=(),
            marks=(), unavailable="Prometheus does not answer.",
        )  # fmt: skip

    async def queries(self, cluster: str, *, database: str | None, org: str) -> Queries:
        listed = tuple(
            Statement(
                id=each, user="app", database="shop", query=f"SELECT {each}", calls=3, total_ms=6.0, mean_ms=2.0,
                rows=3, hit_ratio=None,
            )
            for each in ("-42", "")
        )  # fmt: skip
        return Queries(at=KNOWN.state.spec.created_at, sessions=(), statements=listed, statements_since=None)

    async def statement_histories(
        self, cluster: str, statements: set[str], *, range: MetricsRange, org: str
    ) -> StatementHistoriesShape:
        self.started.append(f"histories {sorted(statements)} {range.value}")
        known = StatementHistoryShape(
            id="-42", database="shop", calls_per_second=(0.5, None, 1500.0), mean_ms=(0.25, None, 2.0)
        )
        return StatementHistoriesShape(
            range=range,
            times=(0, 60, 120),
            statements=() if self.no_history else (known,),
            unavailable=self.no_history,
        )

    async def statement_plan(
        self, cluster: str, statement: str, *, database: str | None, user: str | None, org: str
    ) -> StatementPlan:
        self.started.append(f"plan {statement} {database} {user}")
        if statement == "7":
            raise Refused("This statement has no plan: it begins with VACUUM.")
        return StatementPlan(id=statement, user="app", database="shop", query="SELECT <b>", plan="Result <i>")

    async def switchover(self, cluster: str, *, org: str) -> Any:
        self.started.append(cluster)
        return type("Started", (), {"id": "switchover/orders/1"})


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    made = Keyring(tmp_path / "api")
    made.prepare()
    return made


@pytest.fixture
def stub(tmp_path: Path) -> StubClient:
    return StubClient(load_settings(home=tmp_path))


@pytest_asyncio.fixture
async def browser(stub: StubClient, keyring: Keyring) -> AsyncGenerator[httpx.AsyncClient]:
    app = make_app(cast(MpgClient, stub), keyring)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST) as client:
        yield client


async def sign_in(browser: httpx.AsyncClient, keyring: Keyring, **restrictions: Any) -> None:
    token = keyring.text(keyring.issue(**restrictions))
    answer = await browser.post("/sign-in", data={"token": token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def csrf(browser: httpx.AsyncClient) -> str:
    return re.findall(r'name="csrf" value="(\w+)"', (await browser.get("/components")).text)[0]


async def test_code_signs_in_once(browser: httpx.AsyncClient, stub: StubClient, keyring: Keyring) -> None:
    code = SignInCodes(stub.settings.api_dir).issue()
    answer = await browser.get(f"/sign-in?code={code}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("mpg-session-4280=")
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert (await browser.get("/")).status_code == 200
    browser.cookies.clear()
    again = await browser.get(f"/sign-in?code={code}")
    assert again.status_code == 403
    assert "This code was used already, or is none." in again.text
    assert "set-cookie" not in again.headers


@pytest.mark.parametrize("code", ["", "short", "../../tokens.json", "x" * 32])
async def test_what_is_no_code_is_refused_with_a_sentence(browser: httpx.AsyncClient, code: str) -> None:
    answer = await browser.get("/sign-in", params={"code": code})
    assert answer.status_code == 403
    assert "mpg dashboard" in answer.text


def test_code_that_is_older_than_a_minute_is_used_up_and_lets_nobody_in(tmp_path: Path) -> None:
    now = [1000.0]
    codes = SignInCodes(tmp_path, clock=lambda: now[0])
    code, other = codes.issue(), codes.issue()
    now[0] += SECONDS
    codes.redeem(other)
    now[0] += 1
    for why in ("older than", "used already"):
        with pytest.raises(Exception, match=why):
            codes.redeem(code)


async def test_nobody_sees_a_page_without_a_session(browser: httpx.AsyncClient) -> None:
    for path in (
        "/",
        "/clusters/new",
        f"/clusters/{ID}/users",
        "/operations",
        "/live?about=clusters",
        "/components",
        "/wrong",
    ):
        answer = await browser.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in"), path
    assert (await browser.get("/sign-in")).status_code == 200
    refused = await browser.post("/sign-in", data={"token": "fm2_nonsense"})
    assert refused.status_code == 403
    assert "nonsense" not in refused.text


async def test_session_ends_when_its_token_is_revoked(browser: httpx.AsyncClient, keyring: Keyring) -> None:
    await sign_in(browser, keyring)
    assert (await browser.get("/")).status_code == 200
    keyring.revoke(keyring.issued()[-1].id)
    assert (await browser.get("/")).status_code == 303


async def test_signing_out_ends_the_session_in_this_browser(browser: httpx.AsyncClient, keyring: Keyring) -> None:
    await sign_in(browser, keyring)
    assert (await browser.post("/sign-out", data={"csrf": await csrf(browser)})).status_code == 303
    assert (await browser.get("/")).status_code == 303


async def test_change_needs_a_form_of_this_session_and_of_this_site(
    browser: httpx.AsyncClient, stub: StubClient, keyring: Keyring
) -> None:
    await sign_in(browser, keyring)
    path, right = f"/clusters/{ID}/do/switchover", {"csrf": await csrf(browser)}
    assert (await browser.post(path)).status_code == 409
    assert (await browser.post(path, data={"csrf": "0" * 64})).status_code == 409
    elsewhere = await browser.post(path, data=right, headers={"Origin": "http://evil.example"})
    assert elsewhere.status_code == 409
    assert stub.started == []
    done = await browser.post(path, data=right, headers={"Origin": HOST})
    assert (done.status_code, done.headers["location"]) == (303, "/operations/switchover/orders/1")
    assert stub.started == [ID]
    assert stub.actors == {f"token/{keyring.issued()[-1].id}"}, "what is on record of who asked"


async def test_who_may_only_read_changes_nothing(
    browser: httpx.AsyncClient, stub: StubClient, keyring: Keyring
) -> None:
    await sign_in(browser, keyring, read_only=True)
    page = await browser.get(f"/clusters/{ID}/users")
    assert "Create User" not in page.text
    refused = await browser.post(f"/clusters/{ID}/do/switchover", data={"csrf": await csrf(browser)})
    assert refused.status_code == 409
    assert "for reading only" in refused.text
    assert stub.started == []


async def test_cluster_that_the_token_does_not_cover_is_not_there(browser: httpx.AsyncClient, keyring: Keyring) -> None:
    await sign_in(browser, keyring, organization="personal", cluster="b" * 16)
    assert (await browser.get(f"/clusters/{ID}/users")).status_code == 404
    assert KNOWN.state.spec.name not in (await browser.get("/")).text


async def test_metrics_are_those_of_the_range_and_the_head_alone_costs_none(
    browser: httpx.AsyncClient, stub: StubClient, keyring: Keyring
) -> None:
    await sign_in(browser, keyring, read_only=True)
    page = await browser.get(f"/clusters/{ID}/metrics?range=7d&database=a%22b")
    assert page.status_code == 200
    assert "Prometheus does not answer." in page.text
    assert "mpg metrics show orders --range 7d --database &#39;a&#34;b&#39;" in page.text
    assert "metrics?range=7d&amp;database=a%22b" in page.text
    assert (await browser.get(f"/clusters/{ID}/metrics?range=1y")).status_code == 422
    assert stub.started == ['metrics 7d a"b']
    head = await browser.get(f"/clusters/{ID}/metrics", headers={"HX-Request": "true", "HX-Target": "live-head"})
    assert 'id="live-head"' in head.text
    assert stub.started == ['metrics 7d a"b']


async def test_destruction_needs_the_name_and_says_so(browser: httpx.AsyncClient, keyring: Keyring) -> None:
    await sign_in(browser, keyring)
    sent = {"csrf": await csrf(browser), "sure": "order", "keep_backups_days": "7"}
    refused = await browser.post(f"/clusters/{ID}/do/destroy", data=sent)
    assert refused.status_code == 422
    assert "This is not the cluster&#39;s name" in refused.text


async def test_dialog_follows_what_was_entered_and_reads_no_history_for_it(
    browser: httpx.AsyncClient, keyring: Keyring
) -> None:
    await sign_in(browser, keyring)
    path, part = f"/clusters/{ID}/do", {"HX-Request": "true", "HX-Target": "said"}
    for entered, said in (("offered", "plain ones are taken"), ("required", "not encrypted are refused")):
        assert said in (await browser.get(f"{path}/set-tls?tls={entered}", headers=part)).text
    # The stub has no history of operations.
    assert "a is made again" not in (page := (await browser.get(f"{path}/change-plan?plan=basic", headers=part)).text)
    assert "already: nothing will be restarted" in page


async def test_pages_are_kept_by_nobody_and_run_no_script_of_their_own(
    browser: httpx.AsyncClient, keyring: Keyring
) -> None:
    await sign_in(browser, keyring)
    for path in ("/", "/sign-in", "/clusters/nothing", f"/clusters/{ID}/connect"):
        headers = (await browser.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]


async def test_silent_temporal_is_a_page_that_says_what_to_do(
    browser: httpx.AsyncClient, stub: StubClient, keyring: Keyring
) -> None:
    await sign_in(browser, keyring)
    stub.silent = True
    answer = await browser.get("/")
    assert answer.status_code == 503
    assert "Temporal does not answer." in answer.text
    assert "mpg up" in answer.text


async def test_form_that_is_too_large_is_refused(browser: httpx.AsyncClient, keyring: Keyring) -> None:
    await sign_in(browser, keyring)
    answer = await browser.post("/clusters/new", data={"csrf": await csrf(browser), "name": "x" * 70_000})
    assert answer.status_code == 422


async def test_api_answers_as_before_beside_the_pages(browser: httpx.AsyncClient, keyring: Keyring) -> None:
    await sign_in(browser, keyring)
    assert (await browser.get("/healthz")).json() == {"ok": True}
    assert (await browser.get("/api/v1/organizations")).status_code == 401, "a cookie is no token"
    assert not is_own("/clustersx")
    assert not is_own("/api/v1/postgresv2")


async def test_plan_is_shown_to_who_may_see_statements_and_the_head_alone_plans_nothing(
    browser: httpx.AsyncClient, stub: StubClient, keyring: Keyring
) -> None:
    path = f"/clusters/{ID}/queries/plan"
    await sign_in(browser, keyring, read_only=True)
    refused = await browser.get(f"{path}?statement=-42")
    assert (refused.status_code, stub.started) == (409, [])
    assert "statements show data" in refused.text
    browser.cookies.clear()
    await sign_in(browser, keyring)
    page = await browser.get(f"{path}?statement=-42&database=shop&user=app")
    assert page.status_code == 200
    assert "Result &lt;i&gt;" in page.text
    assert "SELECT &lt;b&gt;" in page.text
    without = await browser.get(f"{path}?statement=7")
    assert without.status_code == 409
    part = await browser.get(f"{path}?statement=7", headers={"HX-Request": "true", "HX-Target": "plan-1"})
    assert part.status_code == 200
    for each in (without, part):
        assert "begins with VACUUM" in each.text
    assert stub.started == ["plan -42 shop app", *["plan 7 None None"] * 2]
    assert (await browser.get(path, headers={"HX-Request": "true", "HX-Target": "live-head"})).status_code == 200
    assert len(stub.started) == 3


async def test_what_is_wrong_with_a_cluster_is_told_to_who_sees_it_and_not_beside_itself(
    browser: httpx.AsyncClient, stub: StubClient, keyring: Keyring
) -> None:
    await sign_in(browser, keyring)
    assert CONDITION.message not in (await browser.get("/wrong")).text
    stub.known = view(conditions=(CONDITION,))
    assert CONDITION.message in (await browser.get("/wrong")).text
    assert CONDITION.message not in (await browser.get(f"/wrong?beside={ID}")).text
    for page, asks in (("/clusters/new", "/wrong"), (f"/clusters/{ID}/users", f"/wrong?beside={ID}")):
        assert f'hx-get="{asks}"' in (await browser.get(page)).text
    browser.cookies.clear()
    await sign_in(browser, keyring, organization="personal", cluster="b" * 16)
    assert CONDITION.message not in (await browser.get("/wrong")).text


async def test_statements_have_their_histories_or_the_reason_why_not(
    browser: httpx.AsyncClient, stub: StubClient, keyring: Keyring
) -> None:
    await sign_in(browser, keyring)
    page = (await browser.get(f"/clusters/{ID}/queries?range=7d")).text
    figures = re.findall(r'<td class="num" data-label="(?:Latest|Lowest|Average|Highest)">([^<]+)', page)
    assert figures == ["1,500 /s", "0.5 /s", "750 /s", "1,500 /s", "2 ms", "0.25 ms", "1.1 ms", "2 ms"]
    assert page.count('class="history"') == 1, "a statement without an id has none"
    assert page.count('name="statement"') == 1
    assert "range=30d&amp;by=time#statements" in page
    values = json.loads(html.unescape(re.findall(r'data-values="([^"]+)"', page)[0]))
    assert values == {"times": [0, 60, 120], "statements": [[[0.5, None, 1500.0], [0.25, None, 2.0]], None]}
    stub.no_history = "Prometheus does not answer."
    page = (await browser.get(f"/clusters/{ID}/queries")).text
    assert "No history: Prometheus is not there. Prometheus does not answer." in page
    assert 'class="history"' not in page
    assert "SELECT -42" in page
    assert stub.started == ["histories ['-42'] 7d", "histories ['-42'] 24h"]
    assert (await browser.get(f"/clusters/{ID}/queries?range=1y")).status_code == 422
    head = await browser.get(f"/clusters/{ID}/queries", headers={"HX-Request": "true", "HX-Target": "live-head"})
    assert (head.status_code, len(stub.started)) == (200, 2), "whatever happens to the cluster begins no look"
