"""The metrics of a stack's clusters as its own Prometheus keeps them."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
import pytest_asyncio
from cli_program import Mpg, free_port, running_stack
from live_cluster import LiveCluster
from rig import until

from activities.postgres.sql import SqlSessions
from model.settings import Settings, load_settings
from starter.client import MpgClient
from starter.client.connection import EndpointKind, read_master_key
from starter.prerequisites.prometheus_binary import ensure_prometheus

pytest_plugins = ("stack_fixtures",)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

NAME = "measured"
DASHBOARD = Path(__file__).resolve().parents[3] / "deploy" / "grafana" / "dashboards" / "cluster.json"
SOON_S = 30.0
"""For what happens to be seen: a round each second, and a scrape each second."""


@pytest.fixture(scope="module")
def program(prometheus: None) -> Generator[Mpg]:
    with running_stack(MPG_PROMETHEUS_PORT=str(free_port()), MPG_METRICS_SECONDS="1") as made:
        yield made


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The program, got as `mpg doctor --fix` gets it where it is not there yet."""
    ensure_prometheus(load_settings(home=tmp_path_factory.mktemp("home")), print)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(program: Mpg, stack: Settings, engine: docker.DockerClient) -> AsyncGenerator[LiveCluster]:
    program.done("create", "--name", NAME)
    sql = SqlSessions(read_master_key(stack.master_key_file))
    async with MpgClient.connect(stack) as mpg:
        yield LiveCluster(mpg, NAME, engine, sql)
    await sql.close()


class Prometheus:
    """Asks the stack's own."""

    def __init__(self, stack: Settings) -> None:
        self._url = f"{stack.prometheus_target}/api/v1/query"

    async def ask(self, query: str) -> dict[str, float]:
        """Return the values of *query* by the labels that it leaves, as JSON."""
        async with httpx.AsyncClient() as client:
            answer: Any = (await client.get(self._url, params={"query": query})).json()
        assert answer["status"] == "success", answer
        return {
            json.dumps(each["metric"], sort_keys=True): float(each["value"][1]) for each in answer["data"]["result"]
        }

    async def value(self, query: str) -> float | None:
        """Return the one value of *query*; None where there is none."""
        values = list((await self.ask(query)).values())
        assert len(values) <= 1, values
        return values[0] if values else None

    async def until(self, query: str, met: Callable[[float | None], bool]) -> None:
        async def now() -> bool:
            return met(await self.value(query))

        await until(now, timeout_s=SOON_S, what=query)

    async def roles(self) -> dict[str, float]:
        """Return whether each node answers, by its name and role."""
        found = await self.ask("max by (node, role) (mpg_node_up)")
        return {"{node} {role}".format(**json.loads(labels)): value for labels, value in found.items()}

    async def until_roles(self, **wanted: str) -> None:
        """Return when every node that answers has the role of *wanted*, and no other."""
        expected = {f"{node} {role}": 1.0 for node, role in wanted.items()}

        async def met() -> bool:
            return await self.roles() == expected

        await until(met, timeout_s=SOON_S, what=f"{expected}")


@pytest.fixture
def asked(stack: Settings) -> Prometheus:
    return Prometheus(stack)


async def test_a_new_cluster_has_every_series_of_its_nodes(cluster: LiveCluster, asked: Prometheus) -> None:
    await asked.until_roles(a="primary", b="replica")
    state = await cluster.state()
    assert await asked.value(f'count(mpg_node_up{{cluster="{state.spec.id}", org="personal"}})') == 2
    for container, role in (("a", "primary"), ("b", "replica"), ("pooler-1-1", "pooler")):
        where = f'{{container="{container}", role="{role}"}}'
        await asked.until(f"mpg_container_cpu_seconds_total{where}", lambda value: (value or 0) > 0)
    primary, _ = await cluster.pair()
    memory = await asked.value('mpg_container_memory_limit_bytes{container="a"}')
    assert memory == primary.memory_mb * 2**20
    assert await asked.value('mpg_container_cpu_limit_cores{container="a"}') == primary.cpus
    assert await asked.value('mpg_replication_lag_bytes{node="b"}') is not None
    await asked.until('mpg_replication_lag_seconds{node="b"}', lambda value: value is not None and value < 5)
    await asked.until("mpg_storage_provided_bytes", lambda value: value == state.spec.storage_gb * 2**30)
    assert await asked.value("count(mpg_storage_used_bytes)") == 2
    databases = await asked.ask("group by (database) (mpg_database_size_bytes)")
    assert {json.loads(labels)["database"] for labels in databases} == {"fly-db", "postgres"}


async def test_rows_and_clients_are_counted(cluster: LiveCluster, asked: Prometheus) -> None:
    rows = 'mpg_database_rows_total{role="primary", database="fly-db", operation="inserted"}'
    await asked.until(rows, lambda value: value is not None)
    before = await asked.value(rows) or 0
    async with await cluster.session() as session, await cluster.session(EndpointKind.DIRECT) as direct:
        await session.execute("CREATE TABLE counted AS SELECT n FROM generate_series(1, 1000) AS n")
        await session.execute("INSERT INTO counted SELECT generate_series(1, 234)")
        await direct.execute("BEGIN")
        await direct.execute("SELECT 1")
        await asked.until(rows, lambda value: (value or 0) >= before + 1234)
        await asked.until('sum(mpg_pooler_clients{database="fly-db", state="active"})', lambda value: value == 1)
        idle = 'mpg_database_connections{role="primary", database="fly-db", state="idle_in_transaction"}'
        await asked.until(idle, lambda value: value == 1)


async def test_queries_of_the_dashboard_for_grafana_have_answers(cluster: LiveCluster, asked: Prometheus) -> None:
    given = {"$cluster": (await cluster.state()).spec.id, "$__rate_interval": "10s"}
    dashboard = json.loads(DASHBOARD.read_text())
    for query in [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]:
        for name, value in given.items():
            query = query.replace(name, value)

        async def answered(query: str = query) -> bool:
            return bool(await asked.ask(query))

        await until(answered, timeout_s=SOON_S, what=query)


async def test_roles_swap_with_a_switchover_which_is_counted(cluster: LiveCluster, asked: Prometheus) -> None:
    done = 'sum(mpg_operations_total{type="Switchover", outcome="done"})'
    assert await asked.value(done) == 0
    await (await cluster.mpg.switchover(NAME)).result()
    await asked.until_roles(a="replica", b="primary")
    await asked.until(done, lambda value: value == 1)
    assert await asked.value("sum(mpg_failovers_total)") == 0


async def test_replica_that_does_not_answer_is_down_and_the_primary_is_measured(
    cluster: LiveCluster, asked: Prometheus
) -> None:
    primary, replica = await cluster.pair()
    await cluster.freeze(replica.container)
    try:
        await asked.until(f'mpg_node_up{{node="{replica.name}"}}', lambda value: value == 0)
        assert await asked.value(f'mpg_node_up{{node="{primary.name}"}}') == 1
        of_replica = f'count(mpg_database_connections_limit{{node="{replica.name}"}})'
        await asked.until(of_replica, lambda value: value is None)
        of_primary = f'count(mpg_database_connections_limit{{node="{primary.name}"}})'
        await asked.until(of_primary, lambda value: value == 1)
    finally:
        await cluster.thaw(replica.container)
    await cluster.until_whole()
    await asked.until(f'mpg_node_up{{node="{replica.name}"}}', lambda value: value == 1)


async def test_a_lost_primary_is_a_failover(cluster: LiveCluster, asked: Prometheus) -> None:
    primary, _ = await cluster.pair()
    await cluster.kill(primary.container)
    await asked.until("sum(mpg_failovers_total)", lambda value: value == 1)


async def test_series_of_a_destroyed_cluster_end_and_those_of_the_worker_go_on(
    program: Mpg, cluster: LiveCluster, asked: Prometheus
) -> None:
    await asked.until("sum(mpg_worker_clusters)", lambda value: value == 1)
    await asyncio.to_thread(program.done, "destroy", NAME, "--yes", "--keep-backups", "0")
    await asked.until('count({__name__=~"mpg_.*", cluster!=""})', lambda value: value is None)
    await asked.until("sum(mpg_worker_clusters)", lambda value: value == 0)
    await asked.until('sum(mpg_operations_total{type="DestroyCluster", outcome="done"})', lambda value: value == 1)
    assert await asked.value("count(temporal_request_total)") is not None
