"""Idempotency-Key where what is asked for is no operation: a repeat is answered as the first call was."""

import asyncio
import secrets

import httpx
import pytest

from model.cluster import Role
from model.operations import CreateUserRequest
from tests.workflows.bench import Bench, until
from tests.workflows.samples import ready_cluster
from tests.workflows.stubs import Stubs, hangs


@pytest.fixture
async def cluster_id(bench: Bench) -> str:
    state = ready_cluster()
    await bench.cluster(state)
    return state.spec.id


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(4)}


@pytest.mark.parametrize("base", ["/api/v1/postgresv2", "/v1/postgres"])
async def test_key_of_an_attachment_is_for_one_application(
    http: httpx.AsyncClient, cluster_id: str, key: dict[str, str], base: str
) -> None:
    at = f"{base}/{cluster_id}/attachments"
    first, again = [await http.post(at, json={"app_name": "web"}, headers=key) for _ in range(2)]
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.status_code == 201
    other = await http.post(at, json={"app_name": "other"}, headers=key)
    assert (other.status_code, "another" in other.text) == (422, True)
    shown = await http.get(f"/api/v1/postgresv2/{cluster_id}")
    assert [each["name"] for each in shown.json()["data"]["attached_apps"]] == ["web"]


async def test_end_of_an_attachment_is_answered_again_with_its_key(
    http: httpx.AsyncClient, cluster_id: str, key: dict[str, str]
) -> None:
    at = f"/api/v1/postgresv2/{cluster_id}/attachments"
    for app in ("web", "other"):
        await http.post(at, json={"app_name": app})
    first, again = [await http.delete(f"{at}/web", headers=key) for _ in range(2)]
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.status_code == 200
    assert (await http.delete(f"{at}/web")).status_code == 404
    assert (await http.delete(f"{at}/other", headers=key)).status_code == 200
    shown = await http.get(f"/api/v1/postgresv2/{cluster_id}")
    assert shown.json()["data"]["attached_apps"] == []


async def test_cancellation_is_answered_again_with_its_key_once_it_is_over(
    http: httpx.AsyncClient, bench: Bench, stubs: Stubs, cluster_id: str, key: dict[str, str]
) -> None:
    begun = asyncio.Event()
    stubs.plan("create_user amy2 reader", hangs(stubs, begun))
    operation = await bench.start(CreateUserRequest(cluster_id=cluster_id, username="amy2", role=Role.READER))
    await begun.wait()
    at = f"/api/v1/operations/{operation.id}"
    assert (await http.delete(at, headers=key)).status_code == 202

    async def over() -> bool:
        return (await http.get(at)).json()["data"]["status"] == "cancelled"

    await until(over)
    again = await http.delete(at, headers=key)
    assert (again.status_code, again.json()["data"]["status"]) == (202, "cancelled")
    assert (await http.delete(at)).status_code == 409
