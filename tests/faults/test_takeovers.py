"""Takeovers that something stands in the way of: reads that hold replay up, logins refused, workers that freeze."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from typing import LiteralString
from unittest.mock import patch

import psycopg
import pytest
import pytest_asyncio
from cli_program import Mpg, running_stack
from live_cluster import LiveCluster, Session, load, rows
from rig import until

from activities.nodes.files import CONF_DIR
from activities.postgres.sql import SqlSessions, outcome_of
from activities.takeover_lock import Holder
from model.cluster import Node
from model.effects import Target
from model.probing import ENDING_S, Outcome
from model.settings import Settings, load_settings
from starter.client import MpgClient
from starter.client.connection import EndpointKind, read_master_key
from starter.client.operation import Operation
from starter.client.temporal import connect as connect_temporal
from starter.prerequisites.engine import connect
from tests.faults.invariants import Eyes
from tests.faults.losses import Injury, names

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

NAME = "shop"
POSTGRES_WAITS_S = 30
"""How long Postgres lets a read hold replay up (``max_standby_streaming_delay``)."""
END_SESSIONS: LiteralString = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
FROZEN_S = 5.0
"""Longer than the 3 s after which a worker counts as lost, so that the switchover is tried again meanwhile."""


@pytest.fixture(scope="module")
def program() -> Generator[Mpg]:
    with running_stack(MPG_WORKER_PROCESSES="2") as made:
        yield made


@pytest.fixture(scope="module")
def stack(program: Mpg) -> Settings:
    with patch.dict("os.environ", program.environment):
        return load_settings()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(stack: Settings) -> AsyncGenerator[Injury]:
    """One cluster for all tests here; each leaves it whole."""
    engine, sql = connect(stack), SqlSessions(read_master_key(stack.master_key_file))
    async with MpgClient.connect(stack) as mpg:
        await (await mpg.create_cluster(NAME)).result()
        eyes = Eyes(mpg=mpg, temporal=await connect_temporal(stack), engine=engine, sql=sql)
        made = Injury(LiveCluster(mpg, NAME, engine, sql), eyes)
        await made.until_whole()
        yield made
    await sql.close()
    engine.close()


# --- reads that hold replay up ----------------------------------------------------------------------------------------


async def test_idle_read_that_holds_replay_up_is_ended_when_the_primary_is_lost(shop: Injury) -> None:
    primary, replica = await shop.cluster.pair()
    async with shop.suffered() as clients, read_that_holds_replay_up(shop.cluster) as reader:
        begun = time.monotonic()
        await shop.cluster.kill(primary.container)
        await clients.goes_on()
        assert time.monotonic() - begun < POSTGRES_WAITS_S * 2 / 3
        await is_ended(reader)
    assert names(await shop.cluster.pair()) == [replica.name, primary.name]


async def test_switchover_ends_an_idle_read_that_holds_replay_up(shop: Injury) -> None:
    primary, replica = await shop.cluster.pair()
    async with load(shop.cluster, writers=4) as clients, read_that_holds_replay_up(shop.cluster) as reader:
        await (await shop.cluster.mpg.switchover(NAME)).result()
        await is_ended(reader)
    assert await clients.failures() == []
    assert await clients.nothing_lost()
    await shop.until_whole()
    assert names(await shop.cluster.pair()) == [replica.name, primary.name]


async def test_read_that_holds_nothing_up_outlives_a_switchover(shop: Injury) -> None:
    async with await shop.cluster.session(EndpointKind.READ_ONLY, autocommit=False) as reader:
        assert await rows(reader, "SELECT pg_is_in_recovery()") == [(True,)]
        await (await shop.cluster.mpg.switchover(NAME)).result()
        assert await rows(reader, "SELECT 1") == [(1,)]
    await shop.until_whole()


@asynccontextmanager
async def read_that_holds_replay_up(cluster: LiveCluster) -> AsyncGenerator[Session]:
    """Lend a session on the replica that sits idle on the lock for which the replica's replay waits."""
    _, replica = await cluster.pair()
    async with (
        await cluster.session(EndpointKind.DIRECT) as primary,
        await cluster.session(EndpointKind.READ_ONLY, autocommit=False) as reader,
    ):
        await primary.execute("CREATE TABLE IF NOT EXISTS held (i int)")

        async def read() -> bool:
            try:
                return await rows(reader, "SELECT count(*), pg_is_in_recovery() FROM held") == [(0, True)]
            except psycopg.errors.UndefinedTable:
                await reader.rollback()
                return False

        async def waits() -> bool:
            asked = "SELECT wait_event_type FROM pg_stat_activity WHERE backend_type = 'startup'"
            return await cluster.ask(replica, asked) == [("Lock",)]

        await until(read, timeout_s=20, what="the table on the replica")
        await primary.execute("ALTER TABLE held ADD COLUMN IF NOT EXISTS n int")
        await primary.execute("ALTER TABLE held DROP COLUMN n")
        await until(waits, timeout_s=20, what="replay that waits")
        yield reader


async def is_ended(session: Session) -> None:
    with pytest.raises(psycopg.OperationalError):
        await session.execute("SELECT 1")


# --- nodes that live and do not answer --------------------------------------------------------------------------------


async def test_replica_that_lets_nobody_in_is_waited_for_when_the_primary_hangs(shop: Injury, stack: Settings) -> None:
    primary, replica = await shop.cluster.pair()
    logs = {each: each.stat().st_size for each in stack.logs_dir.glob("worker*.log")}

    async def met() -> bool:
        return any(b"is asked again" in each.read_bytes()[size:] for each, size in logs.items())

    async def fenced() -> bool:
        return not await shop.runs(primary.container)

    async with shop.suffered() as clients:
        async with letting_nobody_in(shop, replica, stack):
            await shop.signal(primary.container, "SIGSTOP")
            await until(met, timeout_s=60, what="a failover that is refused")
            await until(fenced, timeout_s=5, what="the end of the primary, before the replica is waited for")
        await clients.goes_on()
    assert names(await shop.cluster.pair()) == [replica.name, primary.name]


@asynccontextmanager
async def letting_nobody_in(shop: Injury, node: Node, stack: Settings) -> AsyncGenerator[None]:
    """Have a node refuse every login until the block ends, and end the sessions that it has."""
    hba, kept = f"{CONF_DIR}/pg_hba.conf", f"{CONF_DIR}/kept"
    sql = SqlSessions(read_master_key(stack.master_key_file))
    target = Target.of((await shop.cluster.state()).spec.id, node)

    async def refused() -> bool:
        try:
            await (await sql.open(target)).close()
        except psycopg.OperationalError as error:
            return outcome_of(error) is Outcome.REFUSED
        return False

    async with await sql.open(target) as let_in:
        await shop.run(node.container, f"cp -p {hba} {kept} && echo 'host all all all reject' > {hba} && kill -HUP 1")
        try:
            await until(refused, timeout_s=20, what="a login that is refused")
            await let_in.execute(END_SESSIONS)
            yield
        finally:
            await shop.run(node.container, f"mv {kept} {hba} && kill -HUP 1")


async def test_replica_that_waits_for_its_sessions_to_end_is_ended_and_brought_back(shop: Injury) -> None:
    """SIGTERM is Postgres's smart shutdown: it lets nobody in, and waits for those that are there."""
    _, replica = await shop.cluster.pair()
    before = await shop.cluster.started()

    async def started_again() -> bool:
        return (await shop.cluster.started()).get(replica.container) != before[replica.container]

    async with shop.suffered(), await shop.cluster.session(EndpointKind.READ_ONLY) as reader:
        assert await rows(reader, "SELECT pg_is_in_recovery()") == [(True,)]
        begun = time.monotonic()
        await shop.signal(replica.container, "SIGTERM")
        await until(started_again, timeout_s=ENDING_S * 2, what="the replica started again")
        assert time.monotonic() - begun > ENDING_S, "the reader had that long to leave"


# --- workers that freeze ----------------------------------------------------------------------------------------------


async def test_switchover_whose_worker_was_frozen_in_the_pause_is_not_tried_beside_itself(
    shop: Injury, stack: Settings
) -> None:
    primary, replica = await shop.cluster.pair()
    async with shop.suffered():
        operation, worker = await switchover_frozen_in_the_pause(shop, stack)
        await asyncio.sleep(FROZEN_S)
        os.kill(worker, signal.SIGCONT)
        await operation.result()
    assert names(await shop.cluster.pair()) == [replica.name, primary.name]


async def test_switchover_whose_worker_stays_frozen_in_the_pause_is_completed_by_another(
    shop: Injury, stack: Settings
) -> None:
    primary, replica = await shop.cluster.pair()
    async with shop.suffered():
        operation, worker = await switchover_frozen_in_the_pause(shop, stack)
        await operation.result()
        with pytest.raises(ProcessLookupError):
            os.kill(worker, signal.SIGCONT)
    assert names(await shop.cluster.pair()) == [replica.name, primary.name]


async def switchover_frozen_in_the_pause(shop: Injury, stack: Settings) -> tuple[Operation, int]:
    """Begin a switchover, freeze its worker while it waits for a transaction, and end that; return the worker's id."""
    cluster_id = (await shop.cluster.state()).spec.id

    async def paused() -> bool:
        """New direct connections are refused from the pause on."""
        try:
            await (await shop.cluster.session(EndpointKind.DIRECT, connect_timeout=2)).close()
        except psycopg.OperationalError:
            return True
        return False

    async with await shop.cluster.session(autocommit=False) as transaction:
        await rows(transaction, "SELECT 1")
        operation = await shop.cluster.mpg.switchover(NAME, max_pause_s=60)
        await until(paused, timeout_s=60, what="the pause")
        holder = Holder.model_validate_json((stack.fences_dir / f"{cluster_id}.takeover").read_bytes())
        os.kill(holder.pid, signal.SIGSTOP)
        await transaction.commit()
    return operation, holder.pid
