"""A cluster of 1 GB that fills, on a stack of its own: conditions, refused writes, room made, failover, growth."""

import contextlib
from collections.abc import AsyncGenerator

import docker
import psycopg
import pytest
from cli_program import Mpg
from live_cluster import LiveCluster, Session, rows
from psycopg.errors import ReadOnlySqlTransaction
from rig import until

from activities.engine.disk_promises import DiskPromises
from activities.postgres.sql import SqlSessions
from model.disk import Promise
from model.errors import Refused
from model.settings import Settings
from model.storage import GB, StorageLevel
from model.storage_facts import STORAGE_FULL, STORAGE_LOW
from starter.client import MpgClient
from starter.client.connection import EndpointKind, read_master_key
from starter.client.temporal import connect

pytest_plugins = ("stack_fixtures",)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

LOOKED_S = 150.0
"""For a look to be due and what it sees to be on record."""
BATCH = 15
"""Rows at a time: WAL of more would fill a cluster that has room again after the next checkpoint."""


@pytest.fixture(scope="module")
async def mpg(stack: Settings) -> AsyncGenerator[MpgClient]:
    async with MpgClient.connect(stack) as client:
        yield client


@pytest.fixture(scope="module")
async def cluster(mpg: MpgClient, stack: Settings, engine: docker.DockerClient) -> AsyncGenerator[LiveCluster]:
    await (await mpg.create_cluster("filling", storage_gb=1)).result()
    sql = SqlSessions(read_master_key(stack.master_key_file))
    made = LiveCluster(mpg, "filling", engine, sql)
    async with await made.session() as session:
        # What does not compress is stored as it is, out of line.
        await session.execute("CREATE TABLE filler (n serial PRIMARY KEY, payload bytea)")
        await session.execute("ALTER TABLE filler ALTER payload SET STORAGE EXTERNAL")
    yield made
    await sql.close()


async def used(cluster: LiveCluster) -> tuple[float, float]:
    """Ask now, which has what is worth it recorded; return the shares that all and that data alone take."""
    look = (await cluster.mpg.storage(cluster.name)).state.status.storage.look
    assert look is not None
    return look.used_bytes / GB, max(node.data_bytes for node in look.nodes) / GB


async def fill(cluster: LiveCluster, session: Session, *, all_of_it: float = 9, data: float = 9) -> None:
    """Add rows of 1 MB until all, or data alone, takes such a share.

    WAL is kept small meanwhile, and none is written that a replica which was lost will lack.
    """
    while (now := await used(cluster))[0] < all_of_it and now[1] < data:
        await session.execute(
            "INSERT INTO filler (payload) SELECT decode(repeat('ab', 1048576), 'hex') FROM generate_series(1, %s)",
            (BATCH,),
        )
        await make_checkpoints(cluster)
        if not (await cluster.pair())[1].in_sync:
            await cluster.until_whole()


async def make_checkpoints(cluster: LiveCluster) -> None:
    for node in await cluster.pair():
        with contextlib.suppress(psycopg.OperationalError):
            await cluster.checkpoint(node)


async def fill_up(cluster: LiveCluster) -> None:
    """Add rows although clients can only read, until there is no doubt: whatever becomes of the WAL."""
    while (await used(cluster))[1] < 0.93:
        await cluster.until_whole()
        # A busy machine may lose a node meanwhile, and with it the session.
        with contextlib.suppress(psycopg.OperationalError):
            async with await cluster.session(EndpointKind.DIRECT) as session:
                await session.execute("SET default_transaction_read_only = off")
                await fill(cluster, session, data=0.93)
    await until_level(cluster, StorageLevel.FULL, STORAGE_FULL)


async def until_level(cluster: LiveCluster, level: StorageLevel, condition: str | None) -> None:
    async def met() -> bool:
        await used(cluster)
        status = (await cluster.state()).status
        kinds = {each.type for each in status.conditions} & {STORAGE_LOW, STORAGE_FULL}
        return status.storage.level is level and kinds == ({condition} if condition else set())

    await until(met, timeout_s=LOOKED_S, what=f"storage {level}")


async def until_writes(session: Session, *, work: bool) -> None:
    async def met() -> bool:
        try:
            await session.execute("INSERT INTO filler (payload) VALUES ('x')")
        except ReadOnlySqlTransaction:
            return not work
        return work

    await until(met, timeout_s=30, what="writes" if work else "no writes")


async def test_new_cluster_of_one_gigabyte_takes_writes_and_says_what_it_uses(cluster: LiveCluster):
    assert (await used(cluster))[0] < 0.5
    view = await cluster.mpg.storage("filling")
    look = view.state.status.storage.look
    assert look is not None
    assert {node.name for node in look.nodes} == {"a", "b"}
    assert {"fly-db", "postgres"} <= {each.name for each in look.databases}
    assert look.read_only is False
    for node in await cluster.pair():
        (found,) = await cluster.ask(node, "SELECT sum(pg_database_size(oid))::bigint FROM pg_database")
        seen = next(each for each in look.nodes if each.name == node.name)
        assert seen.data_bytes == pytest.approx(found[0], rel=0.1)


async def test_host_knows_what_it_promised(cluster: LiveCluster, stack: Settings):
    promises = DiskPromises(await connect(stack), stack.host_name)
    (asked,) = await promises.all()
    assert (asked.cluster_id, asked.promised_bytes) == ((await cluster.state()).spec.id, 2 * GB)
    promises.note(asked.model_copy(update={"used_bytes": 7}))
    assert [each.used_bytes for each in await promises.all()] == [7]
    promises.note(Promise(cluster_id="gone", promised_bytes=1))
    assert len(await promises.all()) == 1


async def test_watch_records_by_itself_what_is_used(cluster: LiveCluster):
    async def recorded() -> bool:
        return (await cluster.state()).status.storage.look is not None

    await until(recorded, timeout_s=LOOKED_S, what="a look on record")


async def test_full_cluster_refuses_writes(cluster: LiveCluster, program: Mpg):
    async with await cluster.session() as filling, await cluster.session() as idle:
        await until_writes(idle, work=True)
        await fill(cluster, filling, all_of_it=0.86)
        await until_level(cluster, StorageLevel.LOW, STORAGE_LOW)
        await until_writes(idle, work=True)
        await fill_up(cluster)
        await until_writes(idle, work=False)
        with pytest.raises(ReadOnlySqlTransaction) as refused:
            await filling.execute("CREATE TABLE more (n int)")
        assert refused.value.sqlstate == "25006"
        assert (await rows(idle, "SELECT count(*) > 0 FROM filler")) == [(True,)]
        status = program("status", "filling", "--json").json
        assert status["storage_provisioned_bytes"] == GB
        assert status["storage_used_bytes"] > 0.94 * GB
        # The platform's own work goes on: it writes rows of its own there.
        await (await cluster.mpg.create_user("filling", "late", "writer")).result()
        async with await cluster.session(user="late") as late:
            with pytest.raises(ReadOnlySqlTransaction):
                await late.execute("INSERT INTO filler (payload) VALUES ('x')")


async def test_read_only_outlives_switchover_and_failover_and_restart(cluster: LiveCluster):
    async def refused() -> None:
        # At once: not first with the next look.
        async with await cluster.session() as session:
            with pytest.raises(ReadOnlySqlTransaction):
                await session.execute("INSERT INTO filler (payload) VALUES ('x')")

    await cluster.until_whole()
    await refused()
    await (await cluster.mpg.switchover("filling")).result()
    await refused()
    await cluster.until_whole()
    lost, promoted = await cluster.pair()
    await cluster.kill(lost.container)
    await cluster.until_led_by(promoted.name)
    await refused()
    await until(cluster.whole, timeout_s=300, what="the lost node in sync again")
    primary, _ = await cluster.pair()
    await (await cluster.mpg.restart("filling", node=primary.name)).result()
    await refused()
    await cluster.until_whole()


async def test_room_lets_writes_go_on(cluster: LiveCluster):
    async with await cluster.session() as waiting:
        await until_writes(waiting, work=False)
        async with await cluster.session() as session:
            async with session.transaction():
                await session.execute("SET TRANSACTION READ WRITE")
                await session.execute("DELETE FROM filler WHERE n % 2 = 0")
            await session.execute("VACUUM FULL filler")
        await make_checkpoints(cluster)

        async def lifted() -> bool:
            await used(cluster)
            return (await cluster.state()).status.condition(STORAGE_FULL) is None

        await until(lifted, timeout_s=LOOKED_S, what="room")
        await until_writes(waiting, work=True)


async def test_growth_lets_writes_go_on_and_never_shrinks(cluster: LiveCluster, program: Mpg):
    await fill_up(cluster)
    async with await cluster.session() as session:
        await until_writes(session, work=False)
    program.done("storage", "filling", "--grow-to", "2")
    async with await cluster.session() as session:
        await session.execute("INSERT INTO filler (payload) VALUES ('x')")
    shown = program("storage", "filling", "--json").json
    assert (shown["storage_provisioned_bytes"], shown["read_only"], shown["level"]) == (2 * GB, False, "ok")
    assert {node["name"] for node in shown["nodes"]} == {"a", "b"}
    with pytest.raises(Refused, match="never shrinks"):
        await cluster.mpg.grow_storage("filling", 1)
    primary, _ = await cluster.pair()
    noted = await cluster.ask(
        primary, "SELECT unnest(setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
    )
    assert ("mpg.storage_gb=2",) in noted
