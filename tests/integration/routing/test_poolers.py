"""PgBouncers on real Docker: cancel requests, modes, limits, draining."""

import asyncio
import contextlib
import subprocess
from datetime import UTC, datetime, timedelta
from typing import LiteralString

import psycopg
import pytest
from rig import PLAN, Rig, TestCluster, make_poolers, until

from activities.routing.pooler_pause import open_pause, open_transactions_end
from model.cluster import Pooler, PoolerPhase, PoolMode
from model.effects import ConfigurePoolersInput, DrainPoolersInput, RemovePoolersInput, RouteInput
from tests.console_reader import ConsoleReader

pytestmark = pytest.mark.integration


def _docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, capture_output=True)


async def _console(rig: Rig, cluster: TestCluster, pooler: Pooler) -> ConsoleReader:
    address, key = cluster.endpoint.address, rig.master_key
    return await ConsoleReader.open(address, pooler.port, master_key=key, cluster_id=cluster.id)


async def _sleeps(rig: Rig, cluster: TestCluster) -> None:
    """Return when a client's query runs."""

    async def runs() -> bool:
        query: LiteralString = (
            "SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(10)' AND wait_event = 'PgSleep'"
        )
        async with rig.sql.use(cluster.target) as connection:
            return await (await connection.execute(query)).fetchone() is not None

    await until(runs, what="a query that sleeps")


async def _config(rig: Rig, cluster: TestCluster, pooler: Pooler) -> dict[str, str]:
    console = await _console(rig, cluster, pooler)
    try:
        return await console.show_config()
    finally:
        await console.close()


async def _lead_to(rig: Rig, cluster: TestCluster, poolers: tuple[Pooler, ...]) -> None:
    await rig.endpoints.set_routes(
        RouteInput(
            cluster_id=cluster.id,
            pooler_ports=tuple(pooler.port for pooler in poolers),
            direct=cluster.a.address,
            read_only=cluster.a.address,
        )
    )


async def test_poolers_share_new_connections(rig: Rig, cluster: TestCluster) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(6):
            connection = await psycopg.AsyncConnection.connect(cluster.conninfo(cluster.endpoint.pooled))
            await stack.enter_async_context(connection)
        counts: list[int] = []
        for pooler in cluster.poolers:
            console = await _console(rig, cluster, pooler)
            counts.append(len(await console.show_clients()))
            await console.close()
    assert counts == [3, 3]


async def test_cancel_request_reaches_the_pooler_it_is_meant_for(rig: Rig, cluster: TestCluster) -> None:
    cancelled = 0
    for _ in range(20):
        async with await psycopg.AsyncConnection.connect(cluster.conninfo(cluster.endpoint.pooled)) as connection:
            sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(10)"))
            await _sleeps(rig, cluster)
            await connection.cancel_safe(timeout=3)
            with pytest.raises(psycopg.errors.QueryCanceled):
                await asyncio.wait_for(sleeping, 5)
            cancelled += 1
    assert cancelled == 20


async def test_cancel_reaches_a_pooler_of_the_former_generation(rig: Rig, cluster: TestCluster) -> None:
    async with await psycopg.AsyncConnection.connect(cluster.conninfo(cluster.endpoint.pooled)) as connection:
        new = await make_poolers(
            rig, cluster.id, cluster.endpoint, cluster.image, cluster.a.address, generation=2, living=cluster.poolers
        )
        await _lead_to(rig, cluster, new)
        for _ in range(4):
            sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(10)"))
            await _sleeps(rig, cluster)
            await connection.cancel_safe(timeout=3)
            with pytest.raises(psycopg.errors.QueryCanceled):
                await asyncio.wait_for(sleeping, 5)
            await connection.rollback()
    await _lead_to(rig, cluster, cluster.poolers)
    await rig.poolers.remove_poolers(RemovePoolersInput(cluster_id=cluster.id, poolers=new))


async def test_limits_of_both_poolers_add_up_to_the_plans(rig: Rig, cluster: TestCluster) -> None:
    configs = [await _config(rig, cluster, pooler) for pooler in cluster.poolers]
    allowed = PLAN.max_database_connections + PLAN.reserve_pool
    assert sum(int(config["max_db_connections"]) for config in configs) == allowed
    assert {config["max_client_conn"] for config in configs} == {str(PLAN.max_client_connections)}


async def test_configuring_again_with_another_plan_takes_effect_at_once(rig: Rig, cluster: TestCluster) -> None:
    larger = PLAN.model_copy(update={"max_database_connections": 100, "max_client_connections": 321})
    arg = ConfigurePoolersInput(
        cluster_id=cluster.id,
        endpoint=cluster.endpoint,
        poolers=cluster.poolers,
        plan=larger,
        primary_address=cluster.a.address,
    )
    await rig.poolers.configure_poolers(arg)
    assert (await _config(rig, cluster, cluster.poolers[0]))["max_client_conn"] == "321"
    await rig.poolers.configure_poolers(arg.model_copy(update={"plan": PLAN}))


async def test_new_generation_serves_its_mode_and_sessions_of_the_old_one_live_on(
    rig: Rig, cluster: TestCluster
) -> None:
    pooled = cluster.conninfo(cluster.endpoint.pooled)
    old_session = await psycopg.AsyncConnection.connect(pooled, autocommit=True)
    new = await make_poolers(
        rig,
        cluster.id,
        cluster.endpoint,
        cluster.image,
        cluster.a.address,
        generation=2,
        pool_mode=PoolMode.SESSION,
        living=cluster.poolers,
    )
    assert not {p.port for p in new} & {p.port for p in cluster.poolers}
    await _lead_to(rig, cluster, new)
    async with await psycopg.AsyncConnection.connect(pooled, autocommit=True) as session:
        await session.execute("CREATE TEMPORARY TABLE mine (n int)")
        await old_session.execute("SELECT 1")
        await session.execute("SELECT * FROM mine")
        assert (await _config(rig, cluster, new[0]))["pool_mode"] == "session"
        draining = asyncio.create_task(
            rig.poolers.drain_poolers(
                DrainPoolersInput(
                    cluster_id=cluster.id, endpoint=cluster.endpoint, poolers=new, since=datetime.now(UTC)
                )
            )
        )
        await _lead_to(rig, cluster, cluster.poolers)
        await asyncio.sleep(2.5)  # two polls of the drain
        await session.execute("SELECT * FROM mine")
        assert not draining.done()
    await asyncio.wait_for(draining, 10)
    for pooler in new:
        assert await rig.docker.inspect(pooler.container) is None
    await old_session.execute("SELECT 1")
    await old_session.close()


async def test_drain_ends_at_its_limit_though_a_session_stays(rig: Rig, cluster: TestCluster) -> None:
    new = await make_poolers(
        rig, cluster.id, cluster.endpoint, cluster.image, cluster.a.address, generation=3, living=cluster.poolers
    )
    await _lead_to(rig, cluster, new)
    session = await psycopg.AsyncConnection.connect(cluster.conninfo(cluster.endpoint.pooled), autocommit=True)
    await _lead_to(rig, cluster, cluster.poolers)
    long_ago = datetime.now(UTC) - timedelta(days=1)
    await rig.poolers.drain_poolers(
        DrainPoolersInput(cluster_id=cluster.id, endpoint=cluster.endpoint, poolers=new, since=long_ago)
    )
    with pytest.raises(psycopg.OperationalError):
        await session.execute("SELECT 1")
    assert await rig.docker.inspect(new[0].container) is None


async def test_pause_holds_clients_and_cancelling_it_lets_them_go(rig: Rig, cluster: TestCluster) -> None:
    pooler = cluster.poolers[0]
    await _lead_to(rig, cluster, (pooler,))
    pooled = cluster.conninfo(cluster.endpoint.pooled)
    console, watcher = await _console(rig, cluster, pooler), await _console(rig, cluster, pooler)
    async with await psycopg.AsyncConnection.connect(pooled) as busy:
        await busy.execute("SELECT 1")  # a transaction that stays open
        started = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(console.pause(), 0.3)
        assert asyncio.get_running_loop().time() - started < 4  # left to itself, psycopg takes 5 s

        async def resumed() -> bool:
            return not await watcher.is_paused()

        await until(resumed, timeout_s=2, what="the end of the pause")
    await watcher.pause()
    await watcher.pause()
    assert await watcher.is_paused()
    await watcher.resume()
    await watcher.resume()
    assert not await watcher.is_paused()
    await console.close()
    await watcher.close()
    await _lead_to(rig, cluster, cluster.poolers)


async def test_clients_that_were_held_are_served_when_each_has_a_server_connection(
    rig: Rig, cluster: TestCluster
) -> None:
    pooled = cluster.conninfo(cluster.endpoint.pooled)
    async with (
        await psycopg.AsyncConnection.connect(pooled, autocommit=True) as client,
        open_pause(cluster.id, cluster.endpoint, cluster.poolers, rig.master_key) as pause,
    ):
        assert await pause.begin(10)
        held = asyncio.create_task(client.execute("SELECT 1"))
        await until(lambda: _waits(rig, cluster), what="a client that waits")
        _docker("pause", cluster.a.container)
        try:
            await pause.end()
            await pause.served(0.3)
            assert await _waits(rig, cluster)
            assert not held.done()
        finally:
            _docker("unpause", cluster.a.container)
        await pause.served(30)
        assert not await _waits(rig, cluster)
        await asyncio.wait_for(held, 30)


async def test_open_transactions_are_waited_for_and_later_ones_are_not(rig: Rig, cluster: TestCluster) -> None:
    async with (
        await psycopg.AsyncConnection.connect(cluster.conninfo(cluster.endpoint.pooled)) as client,
        rig.sql.use(cluster.target) as primary,
    ):
        await client.execute("SELECT 1")
        waiting = asyncio.create_task(open_transactions_end(primary, cluster.endpoint.address, 60))
        await asyncio.wait([waiting], timeout=0.3)
        assert not waiting.done()
        await client.commit()
        await client.execute("SELECT 1")
        await asyncio.wait_for(waiting, 10)
        assert client.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS
        await open_transactions_end(primary, cluster.endpoint.address, 0.1)


async def _waits(rig: Rig, cluster: TestCluster) -> bool:
    waits: list[float] = []
    for pooler in cluster.poolers:
        console = await _console(rig, cluster, pooler)
        waits.append(await console.longest_wait_s())
        await console.close()
    return max(waits) > 0


async def test_draining_pooler_that_goes_during_a_pause_is_no_failure(rig: Rig, cluster: TestCluster) -> None:
    former = await make_poolers(
        rig, cluster.id, cluster.endpoint, cluster.image, cluster.a.address, generation=5, living=cluster.poolers
    )
    draining = [each.model_copy(update={"phase": PoolerPhase.DRAINING}) for each in former]
    async with open_pause(cluster.id, cluster.endpoint, (*draining, *cluster.poolers), rig.master_key) as pause:
        await rig.poolers.remove_poolers(RemovePoolersInput(cluster_id=cluster.id, poolers=former))
        assert await pause.begin(10)
        await pause.reload()
        await pause.end()
    for pooler in cluster.poolers:
        console = await _console(rig, cluster, pooler)
        assert not await console.is_paused()
        await console.close()


async def test_running_pooler_whose_console_is_silent_is_named(rig: Rig, cluster: TestCluster) -> None:
    silent, other = cluster.poolers
    _docker("pause", silent.container)
    try:
        async with open_pause(cluster.id, cluster.endpoint, cluster.poolers, rig.master_key) as pause:
            assert pause.unreached == (silent.name,)
    finally:
        _docker("unpause", silent.container)
    async with open_pause(cluster.id, cluster.endpoint, (silent, other), rig.master_key) as pause:
        assert pause.unreached == ()


async def test_making_a_generation_again_changes_nothing(rig: Rig, cluster: TestCluster) -> None:
    before = [await rig.docker.inspect(pooler.container) for pooler in cluster.poolers]
    again = await make_poolers(
        rig, cluster.id, cluster.endpoint, cluster.image, cluster.a.address, living=cluster.poolers
    )
    assert again == cluster.poolers
    assert [await rig.docker.inspect(pooler.container) for pooler in cluster.poolers] == before


async def test_endpoint_and_poolers_stay_small(rig: Rig, cluster: TestCluster) -> None:
    resident = 0
    for container in (cluster.endpoint.container, *(pooler.container for pooler in cluster.poolers)):
        shell = await rig.docker.open_exec(container, ("sh",))
        asked = b"for s in /proc/[0-9]*/status; do [ $s = /proc/$$/status ] || grep VmRSS $s; done; echo END.\n"
        answer = await shell.converse(asked, b"END.\n", 5)
        await shell.close()
        resident += sum(int(line.split()[1]) for line in answer.decode().splitlines() if line.startswith("VmRSS"))
    assert resident < 60 * 1024, f"{resident} kB resident"
