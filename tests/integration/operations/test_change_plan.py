"""Changes of plan through every plan there is, up and down, on a host smaller than most of them."""

from collections.abc import Generator

import psycopg
import pytest
from api_service import api, eventually, token
from cli_program import Mpg, running_stack
from docker import DockerClient
from trace_collector import Collector, Seen, collecting

from model.plans import DEFAULT_PLANS, HostCapacity, fit
from model.settings import load_settings
from model.tuning import postgres_settings, wal_bound_mb
from starter.prerequisites.engine import connect

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def collector() -> Generator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def mpg(collector: Collector) -> Generator[Mpg]:
    with running_stack(MPG_TRACES_URL=collector.url) as program:
        program.done("create", "--name", "walker")
        yield program


@pytest.fixture(scope="module")
def engine() -> Generator[DockerClient]:
    client = connect(load_settings())
    yield client
    client.close()


@pytest.mark.parametrize("plan", ["starter", "launch", "scale", "performance", "basic"])
def test_every_plan_gives_nodes_and_poolers_what_it_promises(mpg: Mpg, engine: DockerClient, plan: str) -> None:
    uri = mpg.done("url", "walker", "--direct").out.strip()
    mpg.done("change-plan", "walker", plan)
    status = mpg.done("status", "walker", "--json").json
    assert status["plan"] == plan

    info = engine.info()
    host = HostCapacity(cpus=info["NCPU"], memory_mb=info["MemTotal"] // 1024**2)
    wanted = fit(DEFAULT_PLANS[plan], host, allow_overcommit=True)
    for node in status["nodes"]:
        limits = engine.containers.get(node["container"]).attrs["HostConfig"]
        assert (limits["Memory"], limits["NanoCpus"]) == (wanted.memory_mb * 1024**2, wanted.cpus * 10**9)
        assert (node["plan"], node["status"]) == (plan, "running")
    settings = postgres_settings(wanted, wal_bound_mb(wanted, status["disk"]))
    with psycopg.connect(uri, autocommit=True) as connection:
        for name in ("shared_buffers", "effective_cache_size", "max_connections", "max_wal_size"):
            row = connection.execute(
                "SELECT pg_size_bytes(current_setting(%s)) = pg_size_bytes(%s)", (name, settings[name])
            ).fetchone()
            assert row == (True,), name
        limit = connection.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'fly-user'").fetchone()
    promised = DEFAULT_PLANS[plan]
    assert limit == (promised.max_database_connections + promised.reserve_pool,)


def test_same_plan_again_is_done_and_restarts_nothing(mpg: Mpg, engine: DockerClient) -> None:
    nodes = mpg.done("status", "walker", "--json").json["nodes"]
    before = [engine.containers.get(node["container"]).attrs["State"]["StartedAt"] for node in nodes]
    ended = mpg.done("change-plan", "walker", "basic")
    assert "already" in ended.out + ended.err
    assert [engine.containers.get(node["container"]).attrs["State"]["StartedAt"] for node in nodes] == before


def test_one_trace_leads_from_the_request_to_the_statements_and_has_no_secret(mpg: Mpg, collector: Collector) -> None:
    service = api(mpg, token(mpg))
    cluster = mpg.done("status", "walker", "--json").json["id"]
    service("PATCH", f"/api/v1/postgresv2/{cluster}", {"plan": "starter"}, status=202)
    service("POST", f"/api/v1/postgresv2/{cluster}/users", {"username": "traced", "role": "reader"}, status=201)

    def ended(operation: str) -> list[Seen]:
        return [each for each in collector.spans if each.name == f"CompleteWorkflow:{operation}"]

    (changed,) = eventually(lambda: ended("ChangePlan"), seconds=120)
    eventually(lambda: ended("CreateUser"))
    mpg.done("down")  # which sends what is left
    mpg.done("up", "--detach")
    trace = [each for each in collector.spans if each.trace == changed.trace]
    (root,) = (each for each in trace if not each.parent)
    assert (root.service, root.name) == ("mpg-api", "PATCH /api/v1/postgresv2/{cluster}")
    assert {each.service for each in trace} == {"mpg-api", "mpg-worker"}
    promoted = next(each for each in trace if each.name == "RunActivity:switch_primary")
    above = ["StartActivity:switch_primary", "StartWorkflow:ChangePlan", root.name]
    assert collector.ancestors(promoted) == above
    in_it = [each for each in trace if "RunActivity:switch_primary" in collector.ancestors(each)]
    statements = [each for each in in_it if each.attributes.get("db.system.name") == "postgresql"]
    assert statements
    assert all(promoted.start_ns <= each.start_ns <= each.end_ns for each in statements)
    by_themselves = [each for each in collector.spans if not each.parent and each.service == "mpg-worker"]
    assert by_themselves == [], "what clusters do by themselves begins no trace"
    created = {each.attributes["db.operation.name"] for each in collector.spans if "db.namespace" in each.attributes}
    assert "CREATE" in created
    sent = b"".join(collector.raw)
    assert b"SCRAM-SHA-256" not in sent
    assert token(mpg).encode() not in sent
