"""The wire contract of Fly's client, route by route: statuses, fields and quirks.

The routes are the real ones, what answers behind them is a stub. What they do to a cluster is tested with a real one,
in tests/integration/starter/api.
"""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio

from model.settings import load_settings
from starter.tokens.grants import read_only
from tests.unit.starter.api.contract import (
    BAD,
    CREATION,
    ENDED_WITH,
    MACHINE_CREATION,
    MACHINES,
    NO_SUCH,
    NONE,
    OF_MACHINES,
    ORG,
    REFUSED,
    REST,
    SUCCESSES,
    Row,
)  # fmt: skip
from tests.unit.starter.api.stub_service import GONE_ID, StubClient, service


def found_under(document: Any, place: str) -> Any:
    for part in place.split(".") if place else ():
        document = document[int(part) if part.isdecimal() else part]
    return document[0] if isinstance(document, list) else document


@pytest.fixture
def stub(tmp_path: Path) -> StubClient:
    return StubClient(load_settings(home=tmp_path))


@pytest_asyncio.fixture
async def http(stub: StubClient, tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient]:
    async with service(stub, tmp_path) as client:
        yield client


async def test_silence_once_something_was_begun_is_nothing_that_clients_repeat(
    http: httpx.AsyncClient, stub: StubClient
) -> None:
    stub.silent_once_started = True
    begun = 0
    for row in [*SUCCESSES, Row("POST", f"{MACHINES}/users/app/rotate_password", None, 200)]:
        stub.started.clear()
        answer = await http.request(row.method, row.path, json=row.body)
        assert answer.status_code not in {502, 503}, f"{row}: {answer.status_code} {answer.text}"
        begun += bool(stub.started)
    assert begun > 0


async def test_no_body_holds_what_no_answer_could(http: httpx.AsyncClient, stub: StubClient) -> None:
    # Half of a surrogate pair, also where it means nothing: as a field's name, and deep in a list.
    bodies = [row for row in SUCCESSES if isinstance(row.body, dict)]
    for row in [*bodies, Row("POST", "/graphql", {"query": "{ viewer { id } }"}, 200)]:
        for more in ({"\ud800": 1}, {"operationName": "\ud800"}, {"variables": {"a": [["\ud800"]]}}):
            sent = json.dumps(cast("dict[str, object]", row.body) | more)
            answer = await http.request(
                row.method, row.path, content=sent, headers={"Content-Type": "application/json"}
            )
            assert (answer.status_code, "not Unicode" in answer.text) == (422, True), f"{row} {sent}"
    assert stub.started == []


async def test_every_route_answers_with_its_status_and_exactly_its_fields(
    http: httpx.AsyncClient, stub: StubClient
) -> None:
    for row in SUCCESSES:
        stub.attached = False
        answer = await http.request(row.method, row.path, json=row.body)
        assert answer.status_code == row.status, f"{row}: {answer.status_code} {answer.text}"
        assert (answer.content == b"") is (row.status == 204), row
        if row.fields:
            assert set(found_under(answer.json(), row.under)) == set(row.fields), row


async def refused(http: httpx.AsyncClient, row: Row) -> str:
    answer = await http.request(row.method, row.path, json=row.body)
    assert answer.status_code == row.status, f"{row}: {answer.status_code} {answer.text}"
    creation = row.path.endswith("/postgresv2")
    assert set(answer.json()) == ({"error", "errors"} if creation else {"error"}), row
    sentence = answer.json()["error"]
    assert not creation or answer.json()["errors"] == {"detail": sentence}
    return str(sentence)


async def test_what_is_not_there_is_404_and_what_cannot_be_is_refused(
    http: httpx.AsyncClient, stub: StubClient
) -> None:
    for row in [*NO_SUCH, *BAD]:
        assert await refused(http, row), row
    assert stub.started == []


async def test_machines_api_tells_what_is_not_there_from_what_was_deleted(
    http: httpx.AsyncClient, stub: StubClient
) -> None:
    for method, what, body in OF_MACHINES:
        missing = await refused(http, Row(method, f"/v1/postgres/{NONE}{what}", body, 404))
        assert missing == "cluster not found"
        assert "deleted" in await refused(http, Row(method, f"/v1/postgres/{GONE_ID}{what}", body, 410))
    nobody = MACHINE_CREATION | {"org_slug": "nobody"}
    for row in (Row("GET", "/v1/postgres?org_slug=nobody", None, 404), Row("POST", "/v1/postgres", nobody, 404)):
        assert await refused(http, row) == "organization not found"
    assert stub.started == []


async def test_what_the_platform_refuses_has_its_status(http: httpx.AsyncClient, stub: StubClient) -> None:
    for error, row in REFUSED:
        stub.refuses = error("That cannot be.")
        assert await refused(http, row) == "That cannot be."
    assert stub.started == []


async def test_what_an_operation_ends_with_has_its_status(http: httpx.AsyncClient, stub: StubClient) -> None:
    for error, row in ENDED_WITH:
        stub.ends_with = error("That could not be.")
        await refused(http, row)


async def test_application_that_is_attached_already_is_200_in_the_machines_api(http: httpx.AsyncClient) -> None:
    body = {"app_name": "web"}
    assert [(await http.post(f"{MACHINES}/attachments", json=body)).status_code for _ in range(2)] == [201, 200]
    assert (await http.post(f"{REST}/attachments", json=body)).status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "body", "asked"),
    [
        ("POST", f"{ORG}/postgresv2", CREATION, {"plan": "basic", "pg_major_version": 17}),
        ("POST", f"{ORG}/postgresv2", CREATION | {"pg_major_version": "16"}, {"pg_major_version": 16}),
        ("POST", f"{ORG}/postgresv2", CREATION | {"org_slug": "elsewhere", "newer": True}, {"org": "personal"}),
        ("POST", "/v1/postgres", MACHINE_CREATION, {"plan": "basic", "storage_gb": 10}),
        ("POST", "/v1/postgres", MACHINE_CREATION | {"pool_mode": "session"}, {"pool_mode": "session"}),
        ("PATCH", REST, {"plan": "LAUNCH"}, {}),
        ("DELETE", f"{REST}/databases/fly-db/extensions/hstore?force=true", None, {"force": True}),
        ("DELETE", f"{MACHINES}/databases/fly-db/extensions/hstore?force", None, {"force": True}),
        ("DELETE", f"{MACHINES}/databases/fly-db/extensions/hstore", None, {"force": False}),
        ("POST", f"{REST}/restore", {"pitr_time": "2026-11-28T17:05:00Z"}, {"name": "orders-restored"}),
    ],
)
async def test_what_clients_send_is_taken_as_they_mean_it(
    http: httpx.AsyncClient, stub: StubClient, method: str, path: str, body: object, asked: dict[str, Any]
) -> None:
    await http.request(method, path, json=body)
    name, *positional, given = stub.started[0]
    assert asked.items() <= given.items()
    if name == "change_plan":
        assert positional[-1] == "launch"


async def test_key_of_a_request_is_the_request_id_of_its_operation(http: httpx.AsyncClient, stub: StubClient) -> None:
    for row in SUCCESSES:
        if row.method != "GET" and "attachments" not in row.path and "/operations/" not in row.path:
            stub.started.clear()
            await http.request(row.method, row.path, json=row.body, headers={"Idempotency-Key": "ticket-1"})
            assert stub.started[0][-1]["request_id"] == "ticket-1", row
            answer = await http.request(row.method, row.path, json=row.body, headers={"Idempotency-Key": "no key"})
            assert answer.status_code == 422, row


async def test_token_that_may_only_read_begins_nothing_and_is_shown_no_password(
    stub: StubClient, tmp_path: Path
) -> None:
    async with service(stub, tmp_path, read_only()) as reader:
        for row in SUCCESSES:
            shown = row.method == "GET" and "/queries/" not in row.path  # statements hold values
            expected = row.status if shown else 403
            answer = await reader.request(row.method, row.path, json=row.body)
            assert answer.status_code == expected, f"{row}: {answer.text}"
        secret = (f"{REST}/users/app/credentials", f"{MACHINES}/users/app/credentials", f"{REST}/connection")
        for path in secret:
            await refused(reader, Row("GET", path, None, 403))
    assert stub.started == []
