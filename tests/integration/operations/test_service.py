"""What clients are promised while a cluster is changed, and when parts of it are lost: a real stack, with real load."""

import asyncio
import re
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import docker
import psycopg
import pytest
import pytest_asyncio
from live_cluster import BOUND_S, LiveCluster, Session, load, may, rows, still_holds, take_hold
from psycopg.conninfo import make_conninfo

from activities.postgres.sql import SqlSessions
from activities.routing.pooler_console import Console
from model.cluster import Durability, NodePhase, PoolMode, Role
from model.errors import LongTransaction, Refused
from model.settings import Settings
from starter.client import MpgClient
from starter.client.connection import EndpointKind, read_master_key
from starter.stack.state import read_status

pytest_plugins = ("stack_fixtures",)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

NAME = "shop"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(stack: Settings, engine: docker.DockerClient) -> AsyncGenerator[LiveCluster]:
    """One cluster for all tests here; each leaves it whole."""
    async with MpgClient.connect(stack) as mpg:
        await (await mpg.create_cluster(NAME)).result()
        sql = SqlSessions(read_master_key(stack.master_key_file))
        made = LiveCluster(mpg, NAME, engine, sql)
        await made.until_whole()
        yield made


# --- planned ----------------------------------------------------------------------------------------------------------


async def test_switchover_under_load_fails_no_statement_and_loses_no_row(cluster: LiveCluster) -> None:
    primary, replica = await cluster.pair()
    async with load(cluster, writers=8, readers=2) as clients:
        await (await cluster.mpg.switchover(NAME)).result()
    await cluster.until_whole()
    assert await clients.failures() == []
    assert await clients.nothing_lost()
    now, other = await cluster.pair()
    assert (now.name, other.name) == (replica.name, primary.name)
    assert primary.timeline is not None
    assert now.timeline is not None
    assert now.timeline > primary.timeline


async def test_change_of_plan_and_restart_under_load(cluster: LiveCluster) -> None:
    async with load(cluster, writers=8, readers=2) as clients:
        for plan in ("starter", "basic"):
            await (await cluster.mpg.change_plan(NAME, plan)).result()
            await clients.goes_on()
            await has_resources(cluster, plan, {"starter": 2048, "basic": 1024}[plan])
        before = await cluster.started()
        await (await cluster.mpg.restart(NAME)).result()
    nodes = [node.container for node in await cluster.pair()]
    await cluster.until_whole(restarted=nodes, since=before)
    assert await clients.failures() == []
    assert await clients.nothing_lost()


async def test_long_read_ends_before_its_replica_restarts_and_commits_wait_for_the_replica_until_then(
    cluster: LiveCluster,
) -> None:
    primary, replica = await cluster.pair()
    before = await cluster.started()
    async with await cluster.session(EndpointKind.READ_ONLY) as session:
        assert await rows(session, "SELECT pg_is_in_recovery()") == [(True,)]
        reading = asyncio.create_task(rows(session, "SELECT pg_sleep(5)::text"))
        restart = await cluster.mpg.restart(NAME, node=replica.name)
        meanwhile: list[list[tuple[object, ...]]] = []
        while not reading.done():
            seen = await cluster.ask(primary, "SELECT sync_state FROM pg_stat_replication")
            if not reading.done():
                meanwhile.append(seen)
        assert await reading == [("",)]
        assert len(meanwhile) > 1
        assert all(seen == [("sync",)] for seen in meanwhile)
    await restart.result()
    await cluster.until_whole(restarted=[replica.container], since=before)


async def test_read_that_was_led_to_the_primary_meanwhile_ends_before_that_is_switched_away(
    cluster: LiveCluster,
) -> None:
    primary, replica = await cluster.pair()
    before = await cluster.started()
    restart = await cluster.mpg.restart(NAME)
    async with asyncio.timeout(BOUND_S), await read_only_session_on_the_primary(cluster) as session:
        assert await rows(session, "SELECT pg_sleep(5)::text") == [("",)]
        with pytest.raises(psycopg.OperationalError):
            await ask_until_it_ends(session)
    await restart.result()
    await cluster.until_whole(restarted=[primary.container, replica.container], since=before)
    assert (await cluster.pair())[0].name == replica.name


async def ask_until_it_ends(session: Session) -> None:
    """Ask one question after the other: the session is ended when it is seen idle between two of them."""
    while True:
        await rows(session, "SELECT 1")


async def read_only_session_on_the_primary(cluster: LiveCluster) -> Session:
    """Return a session that came in for reads while there was no replica to lead it to."""
    while True:
        session = await cluster.session(EndpointKind.READ_ONLY)
        if await rows(session, "SELECT pg_is_in_recovery()") == [(False,)]:
            return session
        await session.close()


async def has_resources(cluster: LiveCluster, plan: str, memory_mb: int) -> None:
    """Assert that both nodes have what *plan* gives, by the engine's word and by Postgres's."""
    assert (await cluster.state()).spec.plan.name == plan
    for node in await cluster.pair():
        assert (node.plan, node.memory_mb) == (plan, memory_mb)
        assert (await cluster.attributes(node.container))["HostConfig"]["Memory"] == memory_mb * 2**20
        blocks = await cluster.ask(node, "SELECT setting::int / 128 FROM pg_settings WHERE name = 'shared_buffers'")
        assert blocks == [(memory_mb // 4,)]


async def test_transaction_left_open_fails_a_switchover_and_holds_nobody(cluster: LiveCluster) -> None:
    primary, _ = await cluster.pair()
    before = await cluster.started()
    async with await cluster.session(autocommit=False) as idle, load(cluster, writers=4) as clients:
        ((pid,),) = await rows(idle, "SELECT pg_backend_pid()")
        switchover = await cluster.mpg.switchover(NAME, max_pause_s=2)
        next_one = await cluster.mpg.create_database(NAME, "after")
        with pytest.raises(LongTransaction) as raised:
            await switchover.result()
        assert re.match(
            rf"A transaction did not end within 2 s: pid {pid} of user fly-user, \d+ s old; nothing was changed\.",
            str(raised.value),
        )
        await clients.goes_on()
        assert (await next_one.result()).changed
        assert (await cluster.pair())[0].name == primary.name
        assert await cluster.started() == before
        await rows(idle, "SELECT 1")
        await idle.commit()
    await cluster.until_whole()
    assert await clients.failures() == []
    assert await clients.nothing_lost()


async def test_durability_changes_under_load_and_no_client_notices(cluster: LiveCluster) -> None:
    primary, _ = await cluster.pair()
    before = await cluster.started()
    async with load(cluster, writers=4, readers=1) as clients:
        for wanted in (Durability.ASYNC, Durability.SYNC):
            await (await cluster.mpg.set_durability(NAME, wanted)).result()
            assert await cluster.ask(primary, "SELECT sync_state FROM pg_stat_replication") == [(wanted.value,)]
            assert (await cluster.pair())[1].in_sync is (wanted is Durability.SYNC)
            await clients.goes_on()
    assert await cluster.started() == before
    await cluster.until_whole()
    assert await clients.failures() == []
    assert await clients.nothing_lost()


# --- pool mode --------------------------------------------------------------------------------------------------------


async def test_open_sessions_keep_their_state_through_changes_of_pool_mode(cluster: LiveCluster) -> None:
    for mode in (PoolMode.SESSION, PoolMode.TRANSACTION):
        async with await cluster.session(autocommit=False, prepare_threshold=0) as held:
            await take_hold(held)
            await (await cluster.mpg.set_pool_mode(NAME, mode)).result()
            assert await backends_of_idle_sessions(cluster) == {PoolMode.SESSION: 4, PoolMode.TRANSACTION: 2}[mode]
            await still_holds(held)
            await held.commit()
            if mode is PoolMode.TRANSACTION:
                # The session's pooler pools by session: nothing of it ends with the transaction.
                await still_holds(held)
                await held.commit()
    await cluster.until_whole()


async def backends_of_idle_sessions(cluster: LiveCluster) -> int:
    """Return over how many server connections four new idle sessions, two to a pooler, are served."""
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(await cluster.session()) for _ in range(4)]
        return len({(await rows(session, "SELECT pg_backend_pid()"))[0] for session in sessions})


async def test_prepared_statements_work_in_transaction_mode_and_through_a_switchover(cluster: LiveCluster) -> None:
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(await cluster.session(prepare_threshold=0)) for _ in range(4)]
        assert await prepared_by_all(sessions, 10)
        await (await cluster.mpg.switchover(NAME)).result()
        assert await prepared_by_all(sessions, 20)
    await cluster.until_whole()


async def prepared_by_all(sessions: list[Session], number: int) -> bool:
    """Run the same prepared statements in all sessions, mixed: they share server connections."""

    async def one(session: Session, own: int) -> bool:
        cursor = await session.execute(f"SELECT %s::int + {own}".encode(), [number])
        return await cursor.fetchone() == (number + own,)

    return all(await asyncio.gather(*(one(session, own) for own, session in enumerate(sessions * 3))))


# --- losses -----------------------------------------------------------------------------------------------------------


async def test_killed_primary_is_replaced_and_no_acknowledged_row_is_lost(cluster: LiveCluster) -> None:
    primary, replica = await cluster.pair()
    async with load(cluster, writers=4) as clients:
        await cluster.kill(primary.container)
        await replaced(cluster, primary.name, replica.name)
    assert await clients.nothing_lost()


async def test_hung_primary_is_replaced_and_does_not_come_back_as_a_second_one(cluster: LiveCluster) -> None:
    primary, replica = await cluster.pair()
    async with load(cluster, writers=4) as clients:
        await cluster.freeze(primary.container)
        await cluster.until_led_by(replica.name)
        await cluster.thaw(primary.container)
        await replaced(cluster, primary.name, replica.name)
    assert await clients.nothing_lost()


async def replaced(cluster: LiveCluster, lost: str, by: str) -> None:
    """Return when *by* is the primary, and *lost* a replica that commits wait for."""
    await cluster.until_led_by(by)
    await cluster.until_whole()
    assert [node.name for node in await cluster.pair()] == [by, lost]


async def test_killed_replica_comes_back_while_writes_go_on(cluster: LiveCluster) -> None:
    primary, replica = await cluster.pair()
    before = await cluster.started()
    async with load(cluster, writers=4) as clients:
        await cluster.kill(replica.container)
        await clients.goes_on()
        await cluster.until_whole(restarted=[replica.container], since=before)
    assert [node.name for node in await cluster.pair()] == [primary.name, replica.name]
    assert await clients.failures() == []
    assert await clients.nothing_lost()


async def test_killed_pooler_and_endpoint_serve_again_at_the_same_addresses(cluster: LiveCluster) -> None:
    status = (await cluster.state()).status
    assert status.endpoint is not None
    addresses = [await cluster.uri(kind) for kind in EndpointKind]
    async with load(cluster, writers=4, readers=1) as clients:
        for lost in (status.current_poolers[0].container, status.endpoint.container):
            before = await cluster.started()
            await cluster.kill(lost)
            await cluster.until_whole(restarted=[lost], since=before)
            await clients.goes_on()
    assert await clients.nothing_lost()
    assert [await cluster.uri(kind) for kind in EndpointKind] == addresses
    for kind in EndpointKind:
        async with await cluster.session(kind) as session:
            assert await rows(session, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(("plan", "step"), [("starter", "rebuild"), ("basic", "switch over")])
async def test_change_of_plan_survives_the_death_of_its_worker(
    cluster: LiveCluster, stack: Settings, plan: str, step: str
) -> None:
    async with load(cluster, writers=4) as clients:
        operation = await cluster.mpg.change_plan(NAME, plan)
        await cluster.until_doing(operation, step)
        kill_worker(stack)
        assert (await operation.result()).changed
        await cluster.until_whole()
    assert {(node.plan, node.phase) for node in await cluster.pair()} == {(plan, NodePhase.RUNNING)}
    assert await clients.nothing_lost()


async def test_poolers_that_a_dead_worker_left_paused_serve_again(cluster: LiveCluster, stack: Settings) -> None:
    state, key = await cluster.state(), read_master_key(stack.master_key_file)
    endpoint = state.status.endpoint
    assert endpoint is not None
    for pooler in state.status.current_poolers:
        console = await Console.open(endpoint.address, pooler.port, master_key=key, cluster_id=state.spec.id)
        await console.pause()
        await console.close()
    uri = await cluster.uri()  # which a worker is asked for
    kill_worker(stack)
    async with asyncio.timeout(BOUND_S), await psycopg.AsyncConnection.connect(uri, autocommit=True) as session:
        assert await rows(session, "SELECT 1") == [(1,)]
    await cluster.until_whole()


def kill_worker(stack: Settings) -> None:
    status = read_status(stack)
    assert status is not None
    worker = next(part for part in status.parts if part.name == "worker")
    assert worker.process is not None
    worker.process.send(signal.SIGKILL)


# --- databases and users ----------------------------------------------------------------------------------------------


async def test_database_with_a_session_in_it_goes_only_by_force(cluster: LiveCluster) -> None:
    await (await cluster.mpg.create_database(NAME, "busy")).result()
    for kind in (EndpointKind.POOLED, EndpointKind.DIRECT):
        uri = await cluster.uri(kind, database="busy")
        async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as session:
            await rows(session, "SELECT 1")
            with pytest.raises(Refused, match="there is 1 session in it"):
                await (await cluster.mpg.delete_database(NAME, "busy")).result()
            assert await rows(session, "SELECT 1") == [(1,)]
            if kind is EndpointKind.DIRECT:
                await (await cluster.mpg.delete_database(NAME, "busy", force=True)).result()
    assert (await cluster.state()).spec.database("busy") is None


async def test_new_user_works_at_once_in_every_pooler_with_the_rights_of_its_role(cluster: LiveCluster) -> None:
    users = {"first": Role.SCHEMA_ADMIN, "second": Role.SCHEMA_ADMIN, "clerk": Role.WRITER, "auditor": Role.READER}
    for user, role in users.items():
        await (await cluster.mpg.create_user(NAME, user, role)).result()
        await works_in_every_pooler(cluster, user)
    assert await may(cluster, "first", "CREATE TABLE ledger (n int)")
    assert await may(cluster, "second", "ALTER TABLE ledger ADD note text")
    assert await may(cluster, "clerk", "INSERT INTO ledger VALUES (1)")
    assert not await may(cluster, "clerk", "ALTER TABLE ledger ADD other text")
    assert await may(cluster, "auditor", "SELECT * FROM ledger")
    assert not await may(cluster, "auditor", "INSERT INTO ledger VALUES (2)")


async def works_in_every_pooler(cluster: LiveCluster, user: str) -> None:
    status, uri = (await cluster.state()).status, await cluster.uri(user=user)
    assert status.endpoint is not None
    for pooler in status.current_poolers:
        at = make_conninfo(uri, host=status.endpoint.address, port=pooler.port)
        async with await psycopg.AsyncConnection.connect(at) as session:
            assert await rows(session, "SELECT session_user::text") == [(user,)]
