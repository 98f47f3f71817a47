"""A primary that ends within a record: its replica holds the beginning of one that nobody will ever complete."""

from collections.abc import AsyncGenerator

import docker
import pytest
from live_cluster import LiveCluster, rows
from rig import until

from activities.postgres.sql import SqlSessions
from model.effects import Target
from model.settings import Settings
from starter.client import MpgClient
from starter.client.connection import read_master_key

pytest_plugins = ("stack_fixtures",)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
NAME = "cut"
LENGTH = 170_000
"""Of a record that is not flushed: Postgres's own writer flushes its whole pages, and they are sent."""


@pytest.fixture(scope="module")
async def sql(stack: Settings) -> AsyncGenerator[SqlSessions]:
    sessions = SqlSessions(read_master_key(stack.master_key_file))
    yield sessions
    await sessions.close()


@pytest.fixture(scope="module")
async def cluster(stack: Settings, engine: docker.DockerClient, sql: SqlSessions) -> AsyncGenerator[LiveCluster]:
    async with MpgClient.connect(stack) as mpg:
        await (await mpg.create_cluster(NAME)).result()
        yield LiveCluster(mpg, NAME, engine, sql)


async def test_failover_does_not_wait_for_the_rest_of_a_record(cluster: LiveCluster, sql: SqlSessions):
    primary, replica = await cluster.pair()
    target = Target.of((await cluster.state()).spec.id, primary)
    async with await cluster.session() as client, await sql.open(target) as writer:
        await client.execute("CREATE TABLE kept (n int)")
        await client.execute("INSERT INTO kept VALUES (1)")

        async def holds_part_of_a_record() -> bool:
            # Not transactional, so nobody flushes it at once.
            await writer.execute("SELECT pg_logical_emit_message(false, 'test', repeat('x', %s))", [LENGTH])
            await until(sent, timeout_s=5, what="whole pages at the replica")
            ((behind,),) = await cluster.ask(replica, "SELECT pg_last_wal_receive_lsn() - pg_last_wal_replay_lsn()")
            return behind > 0

        async def sent() -> bool:
            ((flushed,),) = await cluster.ask(primary, "SELECT pg_current_wal_flush_lsn()")
            ((received,),) = await cluster.ask(replica, "SELECT pg_last_wal_receive_lsn()")
            return received == flushed

        await until(holds_part_of_a_record, timeout_s=30, what="part of a record on the replica")
        await cluster.kill(primary.container)
    await cluster.until_led_by(replica.name)
    async with await cluster.session() as client:
        assert await rows(client, "SELECT n FROM kept") == [(1,)]
        await client.execute("INSERT INTO kept VALUES (2)")
    await cluster.until_whole(restarted=[primary.container])
