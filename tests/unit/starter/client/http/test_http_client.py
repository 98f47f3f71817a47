"""The client over HTTP against the real API, without a stack: what answers behind the routes is a stub."""

import inspect
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from model.backups import BackupType
from model.cluster import Durability, PoolMode
from model.errors import (
    AlreadyExists,
    Cancelled,
    HostFull,
    InvalidInput,
    MpgError,
    NotFound,
    Refused,
    StackDown,
    Unconfirmed,
)
from model.names import request_id_in
from model.operations import (
    BackupRequest,
    ChangePlanRequest,
    CreateUserRequest,
    DestroyClusterRequest,
    GrowStorageRequest,
    OperationOutcome,
    RestartRequest,
    RestoreClusterRequest,
    SetAllowListRequest,
    SetDurabilityRequest,
    SetPoolModeRequest,
    workflow_id,
)
from model.settings import load_settings
from starter.client import MpgClient, shapes
from starter.client.connection import EndpointKind
from starter.client.http import HttpMpgClient
from starter.client.http.wire import Wire
from starter.client.metric_shapes import MetricsRange
from tests.unit.starter.api.stub_service import (
    BACKUP,
    EXTENSIONS,
    GONE,
    ID,
    KNOWN,
    METRICS,
    NAME,
    PLAN,
    RESULT,
    SCHEDULE,
    StubClient,
    StubOperation,
    service,
)  # fmt: skip

DOCS = Path(__file__).parents[5] / "docs" / "api.md"


@pytest.fixture
def stub(tmp_path: Path) -> StubClient:
    return StubClient(load_settings(home=tmp_path))


@pytest_asyncio.fixture
async def http(stub: StubClient, tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient]:
    async with service(stub, tmp_path) as client:
        yield client


@pytest.fixture
def mpg(http: httpx.AsyncClient) -> HttpMpgClient:
    return HttpMpgClient(Wire(http))


def public(client: type[Any]) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(found)
        for name, found in inspect.getmembers(client, inspect.isfunction)
        if not name.startswith("_")
    }


ONLY_OVER_TEMPORAL = {
    "acting_as", "adopt_cluster", "cluster_rows", "clusters", "clusters_of_host", "connect_http", "deleted_clusters",
    "ends_of_deleted", "extensions", "find", "found_clusters", "has_organization", "keeping_views", "kept_clusters",
    "look", "note", "operations_of", "remove_kept_backups", "retryable", "storage", "view", "views", "view_with_phase",
    "webhooks", "webhook", "create_webhook",
    "delete_webhook", "webhook_secret", "test_webhook", "webhook_deliveries", "replay_delivery", "replay_failed",
    "database_connections", "queries", "signal_session", "statement_histories", "verdict",
}  # fmt: skip
OTHER_PARAMETERS = {"audit": {"clusters"}, "operations": {"cluster"}}
"""What one of the two is not told, or has to be."""


def test_both_clients_have_the_same_methods_with_the_same_arguments_and_the_page_names_the_rest() -> None:
    temporal, http = public(MpgClient), public(HttpMpgClient)
    assert set(http) - set(temporal) == set()
    assert set(temporal) - set(http) == ONLY_OVER_TEMPORAL
    for name, signature in http.items():
        other = temporal[name].parameters
        found = {each: (about.kind, about.default) for each, about in signature.parameters.items()}
        expected = {each: (about.kind, about.default) for each, about in other.items()}
        differ = {each for each in {*found, *expected} if found.get(each) != expected.get(each)}
        assert differ == OTHER_PARAMETERS.get(name, set()), name
    page = DOCS.read_text().partition("## From Python")[2].partition("\n## ")[0]
    missing = {name for name in ONLY_OVER_TEMPORAL if f"`{name}`" not in page}
    assert missing == set()


async def test_reads_are_the_shapes_that_the_api_serves(mpg: HttpMpgClient) -> None:
    assert await mpg.organizations() == ["personal"]
    assert await mpg.list_clusters() == (shapes.cluster(KNOWN),)
    assert await mpg.list_deleted() == (shapes.deleted_cluster(GONE),)
    assert await mpg.show_cluster(ID) == await mpg.show_cluster(NAME) == shapes.cluster(KNOWN)
    assert await mpg.list_nodes(NAME) == shapes.cluster_status(KNOWN).nodes
    assert await mpg.list_users(NAME) == shapes.users(KNOWN)
    assert await mpg.list_databases(NAME) == shapes.databases(KNOWN)
    assert await mpg.list_extensions(NAME, "fly-db") == tuple(shapes.extension(each) for each in EXTENSIONS)
    assert await mpg.backups(NAME) == (BACKUP,)
    assert await mpg.backups(NAME, since=datetime.now(UTC)) == ()
    assert await mpg.backup_schedule(NAME) == SCHEDULE
    assert await mpg.metrics(NAME) == METRICS
    week = METRICS.model_copy(update={"range": MetricsRange.DAYS_7, "database": 'a"b'})
    assert await mpg.metrics(ID, range=MetricsRange.DAYS_7, database='a"b') == week
    assert await mpg.statement_plan(NAME, PLAN.id) == PLAN
    assert (await mpg.statement_plan(ID, "42", database="fly-db", user="a/b")).user == "a/b"
    assert [each.id for each in await mpg.operations(NAME, limit=2)] == [f"change-plan/{NAME}/{n}" for n in (0, 1)]
    uri = await mpg.connection_uri(NAME, user="app", kind=EndpointKind.READ_ONLY)
    assert uri == "postgresql://app@read_only/fly-db"
    [entry] = await mpg.audit(org="personal", since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime.now(UTC), limit=5)
    assert entry.action == "Restart"


async def test_applications_are_attached_once(mpg: HttpMpgClient, stub: StubClient) -> None:
    first, again = await mpg.attach_app(NAME, "web"), await mpg.attach_app(NAME, "web")
    assert (first.made, again.made) == (True, False)
    assert first.app == again.app
    await mpg.detach_app(NAME, "web")
    assert stub.started == [("detach_app", "web")]


async def test_operation_is_awaited_and_the_request_id_is_the_key(mpg: HttpMpgClient, stub: StubClient) -> None:
    operation = await mpg.change_plan(NAME, "launch", max_pause_s=5, request_id="ticket-1")
    assert operation.id == f"change-plan/{NAME}/ticket-1"
    assert stub.started == [(ChangePlanRequest(cluster_id=ID, plan="launch", max_pause_s=5), "ticket-1")]
    assert (await operation.progress()).status is OperationOutcome.RUNNING
    assert await operation.result() == RESULT
    assert (await operation.describe()).status is OperationOutcome.DONE
    await operation.cancel()
    assert stub.started[-1] == ("cancel", operation.id)


async def test_requests_arrive_as_they_were_made(mpg: HttpMpgClient, stub: StubClient) -> None:
    await mpg.grow_storage(NAME, auto_grow_step_gb=5, auto_grow_max_gb=50)
    await mpg.set_pool_mode(NAME, PoolMode.SESSION)
    await mpg.set_allow_list(NAME, add=["10.0.0.0/8"], clear=True)
    await mpg.set_durability(NAME, "async")
    await mpg.restart(NAME, node="b")
    await mpg.create_backup(NAME, "incr")
    await mpg.create_user(NAME, "ben", "writer")
    await mpg.destroy_cluster(ID, keep_backups_days=0)
    assert [request for request, _ in stub.started] == [
        GrowStorageRequest(cluster_id=ID, auto_grow_step_gb=5, auto_grow_max_gb=50),
        SetPoolModeRequest(cluster_id=ID, pool_mode=PoolMode.SESSION),
        SetAllowListRequest(cluster_id=ID, add=("10.0.0.0/8",), clear=True),
        SetDurabilityRequest(cluster_id=ID, durability=Durability.ASYNC),
        RestartRequest(cluster_id=ID, node="b"),
        BackupRequest(cluster_id=ID, type=BackupType.INCR),
        CreateUserRequest.model_validate({"cluster_id": ID, "username": "ben", "role": "writer"}),
        DestroyClusterRequest(cluster_id=ID, keep_backups_days=0),
    ]


async def test_misspelled_field_of_an_operation_is_refused(http: httpx.AsyncClient, stub: StubClient) -> None:
    for body in (
        {"operation": "Restart", "nodes": "b"},
        {"operation": "Backup", "scheduled": True},
        {"operation": "Fly"},
    ):
        answer = await http.post(f"/api/v1/postgresv2/{ID}/operations", json=body)
        assert answer.status_code == 422, answer.text
    assert stub.started == []


async def test_destruction_repeated_with_its_key_is_answered_though_the_name_is_free(mpg: HttpMpgClient) -> None:
    assert (await mpg.destroy_cluster("gone", request_id="k")).id == "destroy-cluster/gone/k"
    with pytest.raises(NotFound):
        await mpg.destroy_cluster("gone")


async def test_restore_is_known_by_the_name_of_the_new_cluster(mpg: HttpMpgClient, stub: StubClient) -> None:
    operation = await mpg.restore_cluster(NAME, backup_id="20260301-000000F", request_id="k")
    started = await StubOperation(stub, operation.id).first_request()
    assert isinstance(started, RestoreClusterRequest)
    assert operation.id == workflow_id(started, started.name, "k")
    assert stub.started[-1][:2] == ("restore_cluster", ID)
    assert stub.started[-1][-1]["name"] == started.name


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("No."),
        AlreadyExists("There is one."),
        Refused("Not now."),
        HostFull("No room."),
        StackDown("Temporal does not answer."),
    ],
)
async def test_errors_are_raised_as_what_they_were(mpg: HttpMpgClient, stub: StubClient, error: MpgError) -> None:
    stub.refuses = error
    with pytest.raises(type(error)) as raised:
        await mpg.create_user(NAME, "ben", "writer")
    assert type(raised.value) is type(error)
    assert raised.value.message == error.message


async def test_failed_and_cancelled_operations_raise(mpg: HttpMpgClient, stub: StubClient) -> None:
    for error in (HostFull("No room is left."), Cancelled("Operation was cancelled.")):
        stub.looks, stub.ends_with = 0, error
        with pytest.raises(type(error)):
            await (await mpg.restart(NAME)).result()


async def test_silent_stack_is_given_patience_and_no_more(mpg: HttpMpgClient, stub: StubClient) -> None:
    stub.silent = True
    with pytest.raises(StackDown):
        await mpg.operation(f"restart/{NAME}/1").result(patience_s=0)


async def test_unknown_clusters_tokens_and_bad_names(
    mpg: HttpMpgClient, http: httpx.AsyncClient, stub: StubClient
) -> None:
    with pytest.raises(NotFound):
        await mpg.change_plan("none", "launch")
    with pytest.raises(InvalidInput):
        await mpg.change_plan("../x", "launch")
    with pytest.raises(InvalidInput):
        await mpg.change_plan(NAME, "launch", request_id="no key")
    http.headers["Authorization"] = "Bearer fm2_wrong"
    with pytest.raises(Refused):
        await mpg.list_clusters()
    assert stub.started == []


async def test_api_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with MpgClient.connect_http("http://127.0.0.1:1", "fm2_x") as nobody:
        with pytest.raises(StackDown, match=r"127\.0\.0\.1:1"):
            await nobody.list_clusters()


def test_keys_of_other_organizations_are_mixed_with_their_names() -> None:
    assert request_id_in("personal", "k") == "k"
    assert len({request_id_in(org, "k") for org in ("personal", "shop", "web")}) == 3


@pytest.mark.parametrize(
    ("method", "status", "error"),
    [("GET", 502, StackDown), ("GET", 504, StackDown), ("POST", 502, Unconfirmed), ("POST", 504, Unconfirmed)],
)
async def test_proxy_without_an_answer_is_a_silent_stack_to_reads_and_leaves_changes_unconfirmed(
    method: str, status: int, error: type[MpgError]
) -> None:
    proxy = httpx.MockTransport(lambda _: httpx.Response(status, text="<html>Bad gateway</html>"))
    async with httpx.AsyncClient(transport=proxy, base_url="http://proxy") as http:
        with pytest.raises(error):
            await Wire(http).call(method, "/api/v1/organizations")


async def test_success_that_is_no_json_is_an_error_of_ours() -> None:
    page = httpx.MockTransport(lambda _: httpx.Response(200, text="<html>Hello</html>"))
    async with httpx.AsyncClient(transport=page, base_url="http://proxy") as http:
        with pytest.raises(MpgError, match="does not understand"):
            await Wire(http).call("GET", "/api/v1/organizations")
