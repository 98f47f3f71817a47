"""What is no operation: it is on record as it ended, and what cannot be recorded is neither done nor shown."""

import re
from datetime import UTC, datetime

import httpx
import pytest

from starter.client import MpgClient
from tests.workflows.bench import Bench
from tests.workflows.samples import ready_cluster


@pytest.fixture
async def at(bench: Bench) -> str:
    """The path of a cluster."""
    state = ready_cluster()
    await bench.cluster(state)
    return f"/api/v1/postgresv2/{state.spec.id}"


def noted(mpg: MpgClient) -> list[tuple[str, str, str]]:
    """Return what was recorded, one entry each."""
    now = datetime.now(UTC)
    entries = mpg._audit.entries(now.replace(year=now.year - 1), now.replace(year=now.year + 1))
    return [(each.action, each.about or "", each.outcome) for each in entries]


def fill_disk(mpg: MpgClient) -> None:
    """Leave no room for today's record."""
    mpg.settings.audit_dir.mkdir(exist_ok=True)
    today = mpg.settings.audit_dir / f"{datetime.now(UTC).date()}.jsonl"
    today.unlink(missing_ok=True)
    today.symlink_to("/dev/full")


async def test_each_change_of_attachments_is_on_record_once(http: httpx.AsyncClient, mpg: MpgClient, at: str) -> None:
    statuses = [
        (await http.request(method, f"{at}/attachments{path}", json=body)).status_code
        for method, path, body in (
            ("POST", "", {"app_name": "web"}),
            ("POST", "", {"app_name": "web"}),
            ("DELETE", "/web", None),
            ("DELETE", "/web", None),
            ("DELETE", "/none", None),
        )
    ]
    assert statuses == [201, 201, 200, 404, 404]
    assert noted(mpg) == [("AttachApp", "web", "done"), ("DetachApp", "web", "done")]


async def test_user_who_is_none_is_not_on_record_as_shown(http: httpx.AsyncClient, mpg: MpgClient, at: str) -> None:
    assert (await http.get(f"{at}/connection", params={"user": "nobody"})).status_code == 404
    assert (await http.get(f"{at}/connection", params={"user": "amy", "database": "none"})).status_code == 404
    assert noted(mpg) == []
    assert (await http.get(f"{at}/connection", params={"user": "amy"})).status_code == 200
    assert noted(mpg) == [("ReadPassword", "amy", "done")]


async def test_with_a_full_disk_clusters_are_shown_without_passwords_and_nothing_is_attached(
    http: httpx.AsyncClient, mpg: MpgClient, at: str
) -> None:
    fill_disk(mpg)
    shown = await http.get(at)
    assert shown.status_code == 200, shown.text
    assert (shown.json()["credentials"]["user"], shown.json()["credentials"]["password"]) == ("fly-user", "")
    assert (await http.get(f"{at}/users/amy/credentials")).status_code == 409
    assert (await http.post(f"{at}/attachments", json={"app_name": "web"})).status_code == 409
    assert (await http.get(at)).json()["data"]["attached_apps"] == []
    rotated = await http.post(f"{at.replace('/api/v1/postgresv2', '/v1/postgres')}/users/amy/rotate_password")
    assert (rotated.status_code, rotated.json()["data"]) == (200, {"username": "amy", "password": ""})


async def test_with_a_full_disk_the_dashboard_shows_no_password(
    http: httpx.AsyncClient, mpg: MpgClient, at: str
) -> None:
    shown = f"/clusters/{at.rpartition('/')[2]}/connect"
    password = (await http.get(f"{at}/users/amy/credentials")).json()["data"]["password"]
    await http.post("/sign-in", data={"token": http.headers["Authorization"].removeprefix("Bearer ")})
    csrf = re.findall(r'name="csrf" value="(\w+)"', (await http.get(shown)).text)[0]
    asked = {"csrf": csrf, "user": "amy", "database": "shop"}
    assert password in (await http.post(shown, data=asked)).text
    fill_disk(mpg)
    mpg._audit._shown.clear()
    page = (await http.post(shown, data=asked)).text
    assert (password in page, "No space left" in page) == (False, True)
