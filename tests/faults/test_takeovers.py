"""Takeovers that something stands in the way of: reads that hold replay up, workers that freeze. A real stack."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from unittest.mock import patch

import psycopg
import pytest
import pytest_asyncio
from cli_program import Mpg, running_stack
from live_cluster import LiveCluster, Session, load, rows
from rig import until

from activities.postgres.sql import SqlSessions
from activities.takeover_lock import Holder
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
