"""The audit over HTTP, of what Temporal keeps: which times can be asked for, and what a token for one cluster gets."""

import json
import secrets
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client

from model.operations import RestartRequest, workflow_id
from model.settings import load_settings
from starter.client import MpgClient
from starter.client.audit import AuditAction
from starter.client.submission import shown_by
from starter.tokens.grants import only_cluster
from tests.unit.starter.api.stub_service import service
from tests.workflows.bench import until
from tests.workflows.samples import new_id, ready_cluster

AUDIT = "/api/v1/organizations/personal/audit"
ORG = "audited"
MINUTE = timedelta(minutes=1)
FIRST_DAY, LAST_DAY = "0001-01-01T00:00:00", "9999-12-31T23:59:59"


async def test_days_of_the_record_are_those_of_utc(mpg: MpgClient) -> None:
    spec, now = ready_cluster().spec, datetime.now(UTC)
    user = f"amy-{secrets.token_hex(4)}"  # others' acts are on record too
    mpg.note(AuditAction.READ_PASSWORD, spec, user)
    tomorrow = timezone(timedelta(hours=23, minutes=59))
    since, until = (now - MINUTE).astimezone(tomorrow), (now + MINUTE).astimezone(timezone(-timedelta(hours=23)))
    found = await mpg.audit(org=spec.org, since=since, until=until, limit=1000)
    assert [entry.about for entry in found].count(user) == 1


@pytest.mark.parametrize(
    ("bounds", "status"),
    [
        ({"since": f"{FIRST_DAY}Z", "until": f"{LAST_DAY}Z"}, 200),
        ({"since": f"{FIRST_DAY}-14:00", "until": f"{LAST_DAY}+14:00"}, 200),
        ({"since": f"{FIRST_DAY}+14:00"}, 422),
        ({"until": f"{LAST_DAY}-14:00"}, 422),
    ],
)
async def test_first_and_last_day_elsewhere_are_no_error_of_ours(
    http: httpx.AsyncClient, bounds: dict[str, str], status: int
) -> None:
    answer = await http.get(AUDIT, params=bounds)
    assert (answer.status_code, "error" in answer.text) == (status, status != 200)


async def operations(client: Client, cluster_id: str, count: int) -> None:
    """Have that many operations of a cluster on record, which nobody has to take up."""
    for _ in range(count):
        request = RestartRequest(cluster_id=cluster_id)
        await client.start_workflow(
            request.operation,
            request,
            id=workflow_id(request, "orders", secrets.token_hex(4)),
            task_queue="nobody's",
            search_attributes=shown_by(request, "orders", ORG, "cli/amy"),
        )


async def test_token_for_a_cluster_gets_its_operations_however_many_newer_ones_others_have(
    temporal: Client, tmp_path: Path
) -> None:
    mpg = MpgClient(temporal, load_settings(home=tmp_path, organizations=ORG))
    ours, theirs = new_id(), new_id()
    await operations(temporal, ours, 1)
    await operations(temporal, theirs, 3)
    bounds = {"limit": "2", "since": (datetime.now(UTC) - MINUTE).isoformat()}

    async def clusters(http: httpx.AsyncClient) -> list[str]:
        answer = await http.get(f"/api/v1/organizations/{ORG}/audit", params=bounds)
        assert answer.status_code == 200, answer.text
        return [json.loads(line)["cluster_id"] for line in answer.text.splitlines()]

    async with (
        service(mpg, tmp_path) as everything,
        service(mpg, tmp_path, only_cluster(ours)) as of_one,
        service(mpg, tmp_path, only_cluster(ours), only_cluster(theirs)) as of_none,
        service(mpg, tmp_path, only_cluster("'")) as of_no_id,
    ):

        async def listed() -> bool:
            return await clusters(everything) == [theirs] * 2

        await until(listed)  # lists are behind by up to a second
        assert await clusters(of_one) == [ours]
        assert await clusters(of_none) == await clusters(of_no_id) == []
