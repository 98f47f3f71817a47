"""The production stack: it serves, it keeps its secrets, and it loses nothing whichever of its containers is killed."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio
import yaml
from production import ONCE, REPOSITORY, Production, production_stack
from rig import until

from model.cluster import PoolMode, Role
from model.settings import LOOPBACK, Settings, load_settings
from starter.client import MpgClient
from starter.prerequisites.temporal_flags import TEMPORAL_DYNAMIC_CONFIG
from starter.quickstart.counting_writer import CREATE_TABLE, CountingWriter
from starter.stack.production import KEPT_UP

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

NAME = "shop"


@pytest.fixture(scope="module")
def production() -> Generator[Production]:
    with production_stack() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mpg(production: Production) -> AsyncGenerator[MpgClient]:
    """A client on the host: another service, which starts operations."""
    address = f"{LOOPBACK}:{production.environment['MPG_TEMPORAL_PORT']}"
    async with MpgClient.connect(load_settings(temporal_address=address)) as client:
        yield client


@pytest.fixture(scope="module")
def uri(production: Production) -> str:
    """The pooled address of a cluster that was made through the API's container."""
    production.mpg("create", "--name", NAME, "--plan", "basic", service="api")
    found = production.mpg("url", NAME).strip()
    with psycopg.connect(found, autocommit=True, prepare_threshold=None) as session:
        session.execute(CREATE_TABLE)
    return found


def test_all_of_it_serves_on_loopback_only(production: Production) -> None:
    paths = {"MPG_TEMPORAL_UI_PORT": "/", "MPG_API_PORT": "/healthz", "MPG_PROMETHEUS_PORT": "/-/healthy"}
    for service, path in paths.items():
        with urllib.request.urlopen(f"http://{LOOPBACK}:{production.environment[service]}{path}", timeout=10) as answer:
            assert answer.status == 200
    for service in ONCE:
        assert production.container(service).attrs["State"]["ExitCode"] == 0
    published = [
        binding["HostIp"]
        for service in KEPT_UP
        for bindings in (production.container(service).attrs["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings
    ]
    assert published
    assert set(published) == {LOOPBACK}


def test_the_password_of_the_database_is_in_no_environment(production: Production) -> None:
    said = production.compose("exec", "-T", "postgresql", "cat", "/run/mpg-secrets/temporal-db").strip()
    assert len(said) > 40
    for service in (*KEPT_UP, *ONCE):
        assert said not in json.dumps(production.container(service).attrs)
    assert "/run/mpg-secrets" not in json.dumps(production.container("worker").attrs["Mounts"])


def test_brought_up_again_it_keeps_what_is_there(production: Production) -> None:
    before = {service: production.incarnation(service) for service in KEPT_UP}
    secret = production.compose("exec", "-T", "postgresql", "cat", "/run/mpg-secrets/temporal-db")
    production.compose("up", "--detach")
    assert {service: production.incarnation(service) for service in KEPT_UP} == before
    assert production.compose("exec", "-T", "postgresql", "cat", "/run/mpg-secrets/temporal-db") == secret


def test_no_second_stack_is_started_beside_it(production: Production) -> None:
    said = production.compose("exec", "-T", "worker", "sh", "-c", "mpg up --detach 2>&1 || true")
    assert "are the production stack's" in said
    assert "This is the production stack's state directory" in production.mpg("doctor")


def test_temporal_is_set_as_the_embedded_one_is() -> None:
    given = yaml.safe_load((REPOSITORY / "deploy" / "temporal-dynamic.yaml").read_text())
    for name, value in TEMPORAL_DYNAMIC_CONFIG.items():
        assert given[name] == [{"value": json.loads(value)}]


async def test_main_job_is_done_and_no_client_notices(mpg: MpgClient, uri: str) -> None:
    async with CountingWriter(uri, "main") as writer:
        await (await mpg.set_pool_mode(NAME, PoolMode.SESSION)).result()
        await (await mpg.set_pool_mode(NAME, PoolMode.TRANSACTION)).result()
        await (await mpg.create_user(NAME, "ann", Role.READER)).result()
        await (await mpg.create_database(NAME, "stock")).result()
        await (await mpg.change_plan(NAME, "starter")).result()
    report = await writer.report()
    assert (report.errors, report.lost) == (0, 0)
    assert report.acknowledged > 0
    state = (await mpg.view(NAME)).state
    assert {each.name for each in state.spec.users} >= {"ann"}
    assert {each.name for each in state.spec.databases} >= {"stock"}
    assert state.spec.plan.name == "starter"


async def test_prometheus_asks_the_worker_and_has_a_cluster_s_metrics_and_the_rules(
    production: Production, uri: str
) -> None:
    async def ask(path: str, **parameters: str) -> Any:
        async with httpx.AsyncClient() as client:
            url = f"http://{LOOPBACK}:{production.environment['MPG_PROMETHEUS_PORT']}/api/v1/{path}"
            return (await client.get(url, params=parameters)).json()["data"]

    async def seen() -> bool:
        found = await ask("query", query="sum by (role) (mpg_node_up)")
        return {each["metric"]["role"]: each["value"][1] for each in found["result"]} == {
            "primary": "1",
            "replica": "1",
        }

    await until(seen, timeout_s=60, what="both nodes' metrics")
    memory = await ask("query", query='mpg_container_memory_bytes{container="a"}')
    assert float(memory["result"][0]["value"][1]) > 2**20
    rules = (await ask("rules"))["groups"][0]["rules"]
    assert {"NodeDown", "WorkerAbsent"} <= {rule["name"] for rule in rules}
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}


@pytest.mark.parametrize("service", KEPT_UP)
async def test_whichever_container_is_killed_nothing_is_lost(
    production: Production, mpg: MpgClient, uri: str, service: str
) -> None:
    primary = (await mpg.view(NAME)).state.status.primary
    assert primary is not None
    async with CountingWriter(uri, service) as writer:
        operation = await mpg.switchover(NAME)
        before = await asyncio.to_thread(production.kill, service)
        result = await operation.result()
        await asyncio.to_thread(production.await_well)
        after = await asyncio.to_thread(production.incarnation, service)
    assert (after.container, after.pid != before.pid) == (before.container, True)
    assert result.changed
    report = await writer.report()
    assert (report.errors, report.lost) == (0, 0)
    status = (await mpg.view(NAME)).state.status
    assert status.primary is not None
    assert status.primary.name != primary.name


def test_every_setting_can_be_given_but_those_that_are_settled_or_secret() -> None:
    given = set(yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["x-control"]["environment"])
    settled = {"MPG_DOCKER_HOST", "MPG_WORKER_PROCESSES", "MPG_WORKER_MODULE", "MPG_TEMPORAL_PORT"}
    settled.add("MPG_PROMETHEUS_BINARY")
    secret = {
        f"MPG_{name.upper()}" for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)
    }
    tls = {f"MPG_{name.upper()}" for name in Settings.model_fields if name.startswith("temporal_tls")}
    assert given == {f"MPG_{name.upper()}" for name in Settings.model_fields} - settled - secret - tls
