"""Who gets in, and who gets to what, without a stack: the client is a stub that knows one cluster."""

import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio

from model.cluster import ClusterView
from model.errors import StackDown
from model.settings import Settings, load_settings
from starter.api.app import make_app
from starter.client import MpgClient
from starter.dashboard.own_paths import is_own
from starter.tokens.keyring import Keyring
from starter.tokens.sign_in_codes import SECONDS, SignInCodes
from tests.unit.starter.dashboard.test_health import view

KNOWN = view()
ID = KNOWN.state.spec.id
HOST = "http://127.0.0.1:4280"


class StubClient:
    """Answers what pages ask; counts what they start."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.started: list[str] = []
        self.silent = False
        self.actors: set[str] = set()

    def acting_as(self, actor: str) -> "StubClient":
        self.actors.add(actor)
        return self

    async def organizations(self) -> list[str]:
        if self.silent:
            raise StackDown("Temporal does not answer.", remedy="Start the stack with 'mpg up'.")
        return ["personal"]

    async def clusters(self, *, org: str) -> list[ClusterView]:
        return [KNOWN]

    async def find(self, cluster_id: str) -> ClusterView | None:
        return KNOWN if cluster_id == ID else None

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
    for path in ("/", "/clusters/new", f"/clusters/{ID}/users", "/operations", "/live?about=clusters", "/components"):
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


async def test_destruction_needs_the_name_and_says_so(browser: httpx.AsyncClient, keyring: Keyring) -> None:
    await sign_in(browser, keyring)
    sent = {"csrf": await csrf(browser), "sure": "order", "keep_backups_days": "7"}
    refused = await browser.post(f"/clusters/{ID}/do/destroy", data=sent)
    assert refused.status_code == 422
    assert "This is not the cluster&#39;s name" in refused.text


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
