"""Clusters whose backups are in an S3-compatible store: copied, restored after they are gone, and without the store."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from datetime import timedelta

import docker
import pytest
import pytest_asyncio
from cli_program import Mpg, running_stack
from docker.errors import NotFound
from live_cluster import LiveCluster, rows
from rig import until
from s3_server import S3Server, address_for_containers, s3_server

from activities.engine.docker_engine import DockerEngine
from activities.postgres.sql import SqlSessions
from model.backups import ARCHIVE_GAP, ARCHIVE_UNKNOWN, RepositoryKind
from model.cluster import ARCHIVING_FAILS
from model.names import drill_container, restore_container
from model.settings import Settings
from starter.client import MpgClient
from starter.client.connection import read_master_key

pytest_plugins = ("stack_fixtures",)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

NAME = "stored"
TOLD_WITHIN = timedelta(minutes=2)
"""docs/backups.md: archiving that fails is shown, and that it works again is, within two minutes."""
LATE_S = 60.0
"""For a machine that has other things to do."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def outside(docker: DockerEngine) -> str:
    return await address_for_containers(docker)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, outside: str) -> Generator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3"), outside) as made:
        yield made


@pytest.fixture(scope="module")
def program(store: S3Server) -> Generator[Mpg]:
    """A stack whose new clusters archive into the store."""
    with running_stack(**{f"MPG_{name.upper()}": str(value) for name, value in store.settings.items()}) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(stack: Settings, engine: docker.DockerClient) -> AsyncGenerator[LiveCluster]:
    async with MpgClient.connect(stack) as mpg:
        await (await mpg.create_cluster(NAME)).result()
        sql = SqlSessions(read_master_key(stack.master_key_file))
        made = LiveCluster(mpg, NAME, engine, sql)
        async with await made.session() as session:
            await session.execute("CREATE TABLE marks AS SELECT 1 AS n")
        yield made
        await sql.close()


async def backed_up(cluster: LiveCluster) -> str:
    """The node that the cluster's last backup was read from, once there is one."""

    async def made() -> bool:
        return (await cluster.state()).status.backups.latest() is not None

    await until(made, timeout_s=180, what=f"a backup of {cluster.name}")
    # Its end is noted in whole seconds: moments from the next one on can be restored.
    await asyncio.sleep(1.1)
    latest = (await cluster.state()).status.backups.latest()
    assert latest is not None
    return latest.node or ""


async def marks(cluster: LiveCluster) -> list[tuple[object, ...]]:
    async with await cluster.session() as session:
        return await rows(session, "SELECT n FROM marks ORDER BY n")


async def test_fork_of_a_cluster_whose_backups_are_in_a_store(cluster: LiveCluster, store: S3Server) -> None:
    spec = (await cluster.state()).spec
    assert spec.backups is not None
    assert spec.backups.repository.kind is RepositoryKind.S3
    assert await backed_up(cluster) in {"a", "b"}
    async with await cluster.session() as session:
        await session.execute("INSERT INTO marks VALUES (2)")
    await (await cluster.mpg.fork_cluster(NAME, name="copy")).result()
    copy = cluster.other("copy")
    assert await marks(copy) == [(1,), (2,)]
    copied = (await copy.state()).spec
    assert any(f"/{copied.id}/" in name for name in store.files()), "it has a repository of its own there"
    await (await cluster.mpg.destroy_cluster("copy", keep_backups_days=0)).result()
    assert not any(f"/{copied.id}/" in name for name in store.files())


@pytest.mark.faults
async def test_store_that_is_gone_is_told_and_archived_to_when_it_is_back(
    cluster: LiveCluster, store: S3Server
) -> None:
    """Also by a cluster that failed over meanwhile: until it is back nobody knows what its archive lacks."""
    await backed_up(cluster)
    primary, replica = await cluster.pair()

    async def fails() -> bool:
        return (await cluster.state()).status.condition(ARCHIVING_FAILS) is not None

    async def works() -> bool:
        return not await fails()

    async def unknown() -> bool:
        return (await cluster.state()).status.condition(ARCHIVE_UNKNOWN) is not None

    async def known() -> bool:
        return not await unknown()

    bound_s = TOLD_WITHIN.total_seconds() + LATE_S
    with store.stopped():
        async with await cluster.session() as session:
            await session.execute("INSERT INTO marks VALUES (3)")
        await cluster.ask(primary, "SELECT pg_switch_wal()")
        taking = await cluster.mpg.create_backup(NAME)
        await until(fails, timeout_s=bound_s, what="ArchivingFails")
        await cluster.kill(primary.container)
        await cluster.until_led_by(replica.name)
        await until(unknown, timeout_s=bound_s, what="ArchiveUnknown")
        async with await cluster.session() as session:
            await session.execute("INSERT INTO marks VALUES (4)")
    await until(works, timeout_s=bound_s, what="ArchivingFails to be lifted")
    await until(known, timeout_s=bound_s, what="ArchiveUnknown to be lifted")
    assert (await cluster.state()).status.condition(ARCHIVE_GAP) is None
    assert (await taking.result()).changed, "it was begun again until the store answered"


@pytest.mark.faults
async def test_store_and_primary_that_go_in_the_middle_of_a_restore_and_a_drill(
    cluster: LiveCluster, store: S3Server
) -> None:
    """Both are held once they have begun, so that neither is over before."""
    await backed_up(cluster)
    await cluster.until_whole()
    before, source = await marks(cluster), (await cluster.state()).spec.id
    restoring = await cluster.mpg.restore_cluster(NAME, latest=True, name="through")
    drilling = await cluster.mpg.verify_backup(NAME)
    names = restore_container((await restoring.progress()).cluster_id), drill_container(source)
    first = [await _begun(cluster, name) for name in names]
    primary, _ = await cluster.pair()
    await cluster.kill(primary.container)
    with store.stopped():
        for each in first:
            await cluster.thaw(each)
        await cluster.until_whole()
        # pgBackRest asks again for minutes before it gives up; then the step is begun again.
        assert [(await each.describe()).status for each in (restoring, drilling)] == ["running", "running"]
    assert (await restoring.result()).changed
    assert (await drilling.result()).changed
    assert await marks(cluster.other("through")) == before
    assert await marks(cluster) == before
    status = (await cluster.state()).status
    assert status.backups.proofs[-1].fault is None
    assert [await _ended(cluster, name) for name in names] == [True, True]
    await (await cluster.mpg.destroy_cluster("through", keep_backups_days=0)).result()


async def _begun(cluster: LiveCluster, container: str) -> str:
    """Have a container stand still as soon as it runs, and return its id."""

    async def runs() -> bool:
        return not await _ended(cluster, container)

    await until(runs, timeout_s=LATE_S, what=container)
    found = (await cluster.attributes(container))["Id"]
    await cluster.freeze(found)
    return found


async def _ended(cluster: LiveCluster, container: str) -> bool:
    try:
        return not (await cluster.attributes(container))["State"]["Running"]
    except NotFound:
        return True


async def test_destroyed_cluster_comes_back_from_the_store(cluster: LiveCluster, store: S3Server) -> None:
    await backed_up(cluster)
    before = await marks(cluster)
    gone = (await cluster.state()).spec.id
    await (await cluster.mpg.destroy_cluster(NAME, keep_backups_days=1)).result()
    await (await cluster.mpg.restore_cluster(gone, latest=True, name=NAME)).result()
    assert await marks(cluster) == before
    assert (await cluster.state()).spec.id != gone
    assert any(f"/{gone}/" in name for name in store.files()), "what it came from is kept"
