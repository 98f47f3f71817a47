"""Changes of plan through every plan there is, up and down, on a host smaller than most of them."""

from collections.abc import Generator

import psycopg
import pytest
from cli_program import Mpg, running_stack
from docker import DockerClient

from model.plans import DEFAULT_PLANS, HostCapacity, fit
from model.settings import load_settings
from model.tuning import postgres_settings, wal_bound_mb
from starter.prerequisites.engine import connect

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def mpg() -> Generator[Mpg]:
    with running_stack() as program:
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
