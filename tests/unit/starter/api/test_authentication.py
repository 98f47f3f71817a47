"""What an Authorization header holds, and who gets past it."""

from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from starter.api.authentication import Authentication, tokens_of
from starter.tokens.failures import Failures
from starter.tokens.grants import only_cluster, only_organization, read_only, validity
from starter.tokens.keyring import Keyring
from starter.tokens.macaroon import Caveat, attenuate


@pytest.mark.parametrize(
    ("header", "tokens"),
    [
        ("", []),
        ("Bearer", []),
        ("fm2_a", []),
        ("Basic fm2_a", []),
        ("Bearer fm2_a", ["fm2_a"]),
        ("bearer  fm2_a ", ["fm2_a"]),
        ("FlyV1 fm2_a,fm2_b", ["fm2_a", "fm2_b"]),
        ("FLYV1 fm2_a , , fm2_b,", ["fm2_a", "fm2_b"]),
        ("Bearer " + ",".join(["x"] * 1000), ["x"] * 16),
    ],
)
def test_both_schemes_and_lists(header: str, tokens: list[str]) -> None:
    assert tokens_of(header) == tokens


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    made = Keyring(tmp_path)
    made.prepare()
    return made


async def status(guard: Authentication, token: str, method: str = "GET") -> tuple[int, dict[str, str]]:
    """Return status and headers of the answer to a request that carries *token*."""
    async with AsyncClient(transport=ASGITransport(guard), base_url="http://api") as client:
        answer = await client.request(method, "/api/v1/organizations", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, dict(answer.headers)


async def test_host_header_has_no_say_in_what_may_only_read(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    # What Starlette before it checked the header, such as 0.46, makes of "Host: x/graphql?".
    monkeypatch.setattr(Request, "url", URL("http://x/graphql?/api/v1/organizations"))
    token = attenuate(keyring.text(keyring.issue()), [read_only()])
    assert (await status(Authentication(behind, keyring, Failures()), token, "POST"))[0] == 403


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(status_code=204)(scope, receive, send)


async def test_what_a_holder_made_narrower_offline_is_let_in_for_less_and_ends_with_its_origin(
    keyring: Keyring,
) -> None:
    guard, issued = Authentication(behind, keyring, Failures()), keyring.issue()
    less = attenuate(keyring.text(issued), [read_only(), only_organization("shop"), only_cluster("a" * 16)])
    assert (await status(guard, less))[0] == 204
    assert (await status(guard, less, "POST"))[0] == 403
    over = attenuate(less, [validity(0, 1)])
    assert (await status(guard, over))[0] == 401
    assert (await status(guard, attenuate(less, [Caveat.of(99, [])])))[0] == 403
    keyring.revoke(issued.id)
    assert (await status(guard, less))[0] == 401


async def test_refusals_are_logged_with_the_id_and_never_the_token(keyring: Keyring) -> None:
    guard, issued = Authentication(behind, keyring, Failures()), keyring.issue()
    text = keyring.text(issued)
    keyring.revoke(issued.id)
    with capture_logs() as lines:
        await status(guard, text)
    assert [(line["event"], line["actor"]) for line in lines] == [("token refused", f"token/{issued.id}")]
    assert text not in str(lines)


async def test_an_address_that_fails_too_often_waits_and_valid_tokens_get_in_all_the_same(keyring: Keyring) -> None:
    guard, valid = Authentication(behind, keyring, Failures(most=2)), keyring.text(keyring.issue())
    answers = [await status(guard, "fm2_wrong") for _ in range(3)]
    assert [answered for answered, _ in answers] == [401, 401, 429]
    assert int(answers[-1][1]["retry-after"]) > 0
    assert (await status(guard, valid))[0] == 204
