"""The same calls by the client over Temporal and by the one over HTTP, on one stack."""

import secrets
from collections.abc import AsyncGenerator, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from cli_program import Mpg, running_stack

from model.cluster import PoolMode, Role
from model.errors import AlreadyExists, InvalidInput, NotFound, Refused
from model.operations import OperationOutcome
from model.settings import load_settings
from starter.client import MpgClient
from starter.client.connection import EndpointKind
from starter.client.http import HttpMpgClient

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

NAME = "orders"
DAY = timedelta(days=1)
Either = MpgClient | HttpMpgClient


@pytest.fixture(scope="module")
def stack() -> Generator[Mpg]:
    with running_stack() as program:
        program.done("create", "--name", NAME, timeout=240)
        yield program


@pytest.fixture(params=["temporal", "http"])
async def mpg(request: pytest.FixtureRequest, stack: Mpg, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Either]:
    for name in ("MPG_HOME", "MPG_TEMPORAL_PORT", "MPG_API_PORT"):
        monkeypatch.setenv(name, stack.environment[name])
    settings = load_settings(home=Path(stack.environment["MPG_HOME"]))
    if request.param == "temporal":
        async with MpgClient.connect(settings) as over_temporal:
            yield over_temporal
        return
    token = stack.done("auth", "token").out.strip()
    async with MpgClient.connect_http(f"http://127.0.0.1:{settings.api_port}", token) as over_http:
        yield over_http


async def log_in(mpg: Either, user: str) -> None:
    for kind in EndpointKind:
        uri = await mpg.connection_uri(NAME, user=user, kind=kind)
        with psycopg.connect(uri, prepare_threshold=None) as session:
            assert session.execute("select session_user").fetchone() == (user,)


async def test_reads(mpg: Either) -> None:
    cluster = await mpg.show_cluster(NAME)
    assert cluster == await mpg.show_cluster(cluster.id)
    assert [each.id for each in await mpg.list_clusters()] == [cluster.id]
    assert {each.role for each in await mpg.list_nodes(NAME)} == {"primary", "replica"}
    assert [each.name for each in await mpg.list_databases(NAME)] == ["fly-db"]
    assert (await mpg.operations(NAME))[-1].type == "CreateCluster"
    assert isinstance(await mpg.backups(NAME), tuple)
    assert "CreateCluster" in {mark.kind for mark in (await mpg.metrics(NAME)).marks}
    with pytest.raises(NotFound):
        await mpg.metrics(NAME, database="none")


async def test_users_and_databases_come_and_go(mpg: Either) -> None:
    name, key = f"u{secrets.token_hex(4)}", secrets.token_hex(8)
    made = await mpg.create_user(NAME, name, Role.WRITER, request_id=key)
    assert made.id == f"create-user/{NAME}/{key}"
    result = await made.result()
    assert result.changed
    assert (await made.describe()).status is OperationOutcome.DONE
    assert (await made.progress()).status is OperationOutcome.DONE
    again = await mpg.create_user(NAME, name, Role.WRITER, request_id=key)
    assert (again.id, await again.result()) == (made.id, result)
    with pytest.raises(InvalidInput):
        await mpg.create_user(NAME, name, Role.READER, request_id=key)
    with pytest.raises(AlreadyExists):
        await mpg.create_user(NAME, name, Role.WRITER)
    await log_in(mpg, name)
    await (await mpg.set_user_role(NAME, name, Role.READER)).result()
    assert {each.name: each.role for each in await mpg.list_users(NAME)}[name] is Role.READER
    await (await mpg.rotate_password(NAME, name)).result()
    await (await mpg.delete_user(NAME, name)).result()
    with pytest.raises(NotFound):
        await mpg.delete_user(NAME, name)
    database = f"d{secrets.token_hex(4)}"
    await (await mpg.create_database(NAME, database)).result()
    await (await mpg.enable_extension(NAME, database, "hstore", schema="public")).result()
    found = {each.name: each.installed for each in await mpg.list_extensions(NAME, database)}
    assert found["hstore"] is not None
    assert found["hstore"].schema_name == "public"
    await (await mpg.disable_extension(NAME, database, "hstore")).result()
    await (await mpg.delete_database(NAME, database)).result()
    assert database not in {each.name for each in await mpg.list_databases(NAME)}


async def test_what_fly_has_no_call_for(mpg: Either) -> None:
    attached = await mpg.attach_app(NAME, "web")
    assert attached.made
    assert not (await mpg.attach_app(NAME, "web")).made
    assert (await mpg.attach_app(NAME, "web")).app == attached.app
    await mpg.detach_app(NAME, "web")
    await (await mpg.set_allow_list(NAME, add=["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12"])).result()
    assert not (await (await mpg.set_allow_list(NAME, add=["10.0.0.0/8"])).result()).changed
    await (await mpg.set_allow_list(NAME, clear=True)).result()
    await (await mpg.set_tls(NAME, required=False)).result()
    assert not (await (await mpg.set_durability(NAME, "sync")).result()).changed
    await (await mpg.set_backup_policy(NAME, keep_days=9, drill="off")).result()
    assert (await mpg.backup_schedule(NAME)).keep_days == 9
    with pytest.raises(Refused):
        await mpg.failover(NAME, accept_loss=True)
    entries = await mpg.audit(org="personal", since=datetime.now(UTC) - DAY, until=datetime.now(UTC) + DAY, limit=99)
    assert {"CreateCluster", "AttachApp"} <= {each.action for each in entries}
    assert await mpg.organizations() == ["personal"]
    assert await mpg.list_deleted() == ()


async def test_operation_is_begun_awaited_and_too_late_to_cancel(mpg: Either) -> None:
    operation = await mpg.set_pool_mode(NAME, PoolMode.SESSION)
    result = await operation.result()
    assert result.cluster_id == (await mpg.show_cluster(NAME)).id
    await (await mpg.set_pool_mode(NAME, PoolMode.TRANSACTION)).result()
    with pytest.raises(Refused):
        await operation.cancel()
    with pytest.raises(Refused):  # it did what was asked for
        await mpg.retry(operation.id)
    assert operation.id in {each.id for each in await mpg.operations(NAME)}


async def test_refusals_are_the_same(mpg: Either) -> None:
    with pytest.raises(NotFound):
        await mpg.restart("none")
    with pytest.raises(InvalidInput):
        await mpg.change_plan(NAME, "gigantic")
    with pytest.raises(InvalidInput):
        await mpg.create_user(NAME, "postgres", Role.READER)
    with pytest.raises(AlreadyExists):
        await (await mpg.create_cluster(NAME)).result()
    with pytest.raises(NotFound):
        await mpg.operation("change-plan/orders/none").result()
