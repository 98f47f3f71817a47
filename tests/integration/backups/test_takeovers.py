"""The archive across takeovers: no hole, whoever archives, and nobody waits for a repository that cannot be written."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import docker
import pytest
import pytest_asyncio
from backed_up import Archive
from live_cluster import LiveCluster, load

from activities.engine.docker_engine import DockerEngine
from activities.nodes.repository_conf import RepositoryKeys
from activities.postgres.sql import SqlSessions
from model.backups import ARCHIVE_GAP
from model.names import NODES, node_container
from model.settings import Settings
from starter.client import MpgClient
from starter.client.connection import read_master_key

pytest_plugins = ("stack_fixtures",)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

NAME = "kept"
LONGEST_WAIT_MS = 5000
"""For a switchover beside a repository that hangs: its minute would show."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(stack: Settings, engine: docker.DockerClient) -> AsyncGenerator[LiveCluster]:
    """One cluster for all tests here; each leaves it whole, and its archive writable."""
    async with MpgClient.connect(stack) as mpg:
        await (await mpg.create_cluster(NAME)).result()
        sql = SqlSessions(read_master_key(stack.master_key_file))
        made = LiveCluster(mpg, NAME, engine, sql)
        await made.until_whole()
        yield made
        await sql.close()


@pytest_asyncio.fixture(loop_scope="session")
async def archive(stack: Settings, cluster: LiveCluster) -> AsyncGenerator[Archive]:
    """The archive of the cluster, as its nodes and the repository tell of it."""
    key = read_master_key(stack.master_key_file)
    engine, sql = DockerEngine(stack.docker_host), SqlSessions(key)
    yield Archive(engine, sql, RepositoryKeys(key), (await cluster.state()).spec)
    await sql.close()
    await engine.close()


async def test_archive_has_no_hole_across_a_switchover(cluster: LiveCluster, archive: Archive) -> None:
    async with load(cluster, writers=4) as clients:
        before = await archive.finish_segment((await cluster.pair())[0])
        await (await cluster.mpg.switchover(NAME)).result()
    assert await clients.failures() == []
    await cluster.until_whole()
    after = await archive.finish_segment((await cluster.pair())[0])
    assert after[:8] > before[:8], "on the next timeline"
    await archive.until_whole((await cluster.pair())[0], before, after)


async def test_archive_has_no_hole_across_a_failover(cluster: LiveCluster, archive: Archive) -> None:
    primary, replica = await cluster.pair()
    async with load(cluster, writers=4) as clients:
        before = await archive.finish_segment(primary)
        async with unwritable(archive, primary.container):
            await archive.switch_segments(primary, 3)
            await cluster.kill(primary.container)
            await cluster.until_led_by(replica.name)
            await cluster.until_whole()
    assert await clients.nothing_lost()
    after = await archive.finish_segment((await cluster.pair())[0])
    await archive.until_whole((await cluster.pair())[0], before, after)


async def test_switchover_beside_an_archive_that_cannot_be_written(cluster: LiveCluster, archive: Archive) -> None:
    primary, _ = await cluster.pair()
    before = await archive.finish_segment(primary)
    async with load(cluster, writers=2) as clients, unwritable(archive, primary.container):
        await archive.switch_segments(primary, 3)
        await (await cluster.mpg.switchover(NAME)).result()
    assert await clients.failures() == []
    await cluster.until_whole()
    now, _ = await cluster.pair()
    after = await archive.finish_segment(now)
    await archive.until_whole(now, before, after)
    assert (await cluster.state()).status.condition(ARCHIVE_GAP) is None


async def test_switchover_beside_an_archive_that_does_not_answer(cluster: LiveCluster, archive: Archive) -> None:
    primary, _ = await cluster.pair()
    before = await archive.finish_segment(primary)
    async with hanging(archive, primary.container):
        await archive.switch_segments(primary, 2)
        async with load(cluster, writers=2) as clients:
            await (await cluster.mpg.switchover(NAME)).result()
        assert await clients.failures() == []
        assert max(report.longest_wait_ms for report in await clients.reports()) < LONGEST_WAIT_MS
        await cluster.until_whole()
        now, _ = await cluster.pair()
        await archive.until_failing(now, "gives no answer")
    after = await archive.finish_segment(now)
    await archive.until_whole(now, before, after)


async def test_switchover_that_turns_back_archives_on(cluster: LiveCluster, archive: Archive) -> None:
    primary, replica = await cluster.pair()
    async with await cluster.session() as session:
        await session.execute("BEGIN")
        await session.execute("SELECT 1")
        operation = await cluster.mpg.switchover(NAME, max_pause_s=1)
        with pytest.raises(Exception, match="transaction"):
            await operation.result()
        await session.execute("ROLLBACK")
    await cluster.until_whole()
    assert (await cluster.pair())[0].name == primary.name != replica.name
    before = await archive.finish_segment(primary)
    await archive.until_whole(primary, before, await archive.finish_segment(primary))


@asynccontextmanager
async def unwritable(archive: Archive, container: str) -> AsyncGenerator[None]:
    """Have nothing added to the repository."""
    await archive.script(container, f"chmod -R a-w {archive.directory}")
    try:
        yield
    finally:
        other = await archive.running_container()
        await archive.script(other, f"chmod -R u+w {archive.directory}")


@asynccontextmanager
async def hanging(archive: Archive, container: str) -> AsyncGenerator[None]:
    """Have the repository give no answer: who opens the file for reading waits for a writer that does not come."""
    info = f"{archive.directory}/archive/{archive.id}/archive.info"
    await archive.script(container, f"mv {info} {info}.away && mkfifo -m 666 {info}")
    try:
        yield
    finally:
        await archive.script(await archive.running_container(), f"mv {info}.away {info}")
        # Who waits does so for ever, where a store's connection would end after a minute.
        for name in NODES:
            await archive.script(node_container(archive.id, name), "pkill -x pgbackrest || true")
