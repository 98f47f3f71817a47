"""Webhooks over HTTP: how they are made, and what is answered where Temporal or the record fails on the way."""

import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from model.names import webhooks_workflow_id
from model.webhook_book import MOST_WEBHOOKS
from starter.client import MpgClient
from tests.workflows.bench import Bench

WEBHOOKS = "/api/v1/organizations/personal/webhooks"
WANTED = {"url": "http://127.0.0.1:9/"}


@pytest.fixture(autouse=True)
async def _organization(bench: Bench) -> AsyncIterator[None]:
    """Leave no webhooks to the next test."""
    yield
    await bench.client.get_workflow_handle(webhooks_workflow_id("personal")).terminate("the test is over")


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(4)}


async def test_webhook_is_answered_once_it_is_on_record_and_nothing_more_is_asked(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*about: object, **more: object) -> None:
        raise RPCError("Connection refused", RPCStatusCode.UNAVAILABLE, b"")

    with monkeypatch.context() as patched:
        patched.setattr(Client, "list_workflows", silent)
        made = await http.post(WEBHOOKS, json=WANTED)
        assert (await http.get(WEBHOOKS)).status_code == 503
    assert made.status_code == 201, made.text
    assert made.json()["data"]["secret"].startswith("whsec_")
    [listed] = (await http.get(WEBHOOKS)).json()["data"]
    assert listed == made.json()["data"]["webhook"]


def record_of(mpg: MpgClient) -> Path:
    """Return today's file of the record."""
    mpg.settings.audit_dir.mkdir(exist_ok=True)
    return mpg.settings.audit_dir / f"{datetime.now(UTC).date()}.jsonl"


async def audited(http: httpx.AsyncClient) -> list[tuple[str, str, str]]:
    lines = (await http.get("/api/v1/organizations/personal/audit")).text.splitlines()
    found = [json.loads(line) for line in lines]
    return [(each["action"], each["about"], each["outcome"]) for each in found if "about" in each]


async def test_with_a_full_disk_nothing_is_done_and_nothing_is_lost(http: httpx.AsyncClient, mpg: MpgClient) -> None:
    made = (await http.post(WEBHOOKS, json=WANTED)).json()["data"]["webhook"]["id"]
    record_of(mpg).unlink()
    record_of(mpg).symlink_to("/dev/full")
    refused = [
        await http.post(WEBHOOKS, json=WANTED),
        await http.delete(f"{WEBHOOKS}/{made}"),
        await http.get(f"{WEBHOOKS}/{made}/secret"),
    ]
    assert {(each.status_code, "No space left" in each.text) for each in refused} == {(409, True)}
    assert [each["id"] for each in (await http.get(WEBHOOKS)).json()["data"]] == [made]


async def test_what_did_not_happen_is_not_on_record_as_done(http: httpx.AsyncClient) -> None:
    for _ in range(MOST_WEBHOOKS):
        assert (await http.post(WEBHOOKS, json=WANTED)).status_code == 201
    assert (await http.post(WEBHOOKS, json=WANTED)).status_code == 409
    assert (await http.delete(f"{WEBHOOKS}/wh_none")).status_code == 404
    assert [outcome for _, _, outcome in await audited(http)] == ["done"] * MOST_WEBHOOKS + ["failed"]


async def test_key_of_a_webhook_is_for_one_url(http: httpx.AsyncClient, key: dict[str, str]) -> None:
    first, again = [await http.post(WEBHOOKS, json=WANTED, headers=key) for _ in range(2)]
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.status_code == 201
    other = await http.post(WEBHOOKS, json={"url": "http://127.0.0.1:9/other"}, headers=key)
    assert (other.status_code, "another webhook" in other.text) == (422, True)
