"""What a node says it uses, how seldom its files are looked at, and who may write while it is read-only."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial

import psycopg
import pytest
import pytest_asyncio
from psycopg.errors import ReadOnlySqlTransaction
from rig import Rig, TestCluster, until

from activities.nodes.storage import WALK_AFTER_WAL_BYTES, ClusterStorage, NodeStorage, StorageActivities
from activities.postgres.storage_notes import StorageNoteActivities, read_notes
from model.effects import NoteStorageInput, ReadStorageInput, SetReadOnlyInput, Target
from model.errors import NotYet
from model.storage import AutoGrow

pytestmark = pytest.mark.integration

MB = 2**20


async def wal_position(rig: Rig, cluster: TestCluster) -> int:
    async with rig.sql.use(cluster.target) as connection:
        row = await (await connection.execute("SELECT (pg_current_wal_lsn() - '0/0')::bigint")).fetchone()
    assert row is not None
    return row[0]


async def run(rig: Rig, cluster: TestCluster, *statements: str) -> None:
    async with rig.sql.use(cluster.target) as connection:
        for statement in statements:
            await connection.execute(statement.encode())


async def client(cluster: TestCluster) -> psycopg.AsyncConnection[tuple[object, ...]]:
    return await psycopg.AsyncConnection.connect(cluster.conninfo(cluster.endpoint.direct), autocommit=True)


@pytest_asyncio.fixture
async def read_only(rig: Rig, cluster: TestCluster) -> AsyncGenerator[StorageActivities]:
    """The cluster is read-only until the test ends."""
    storage = StorageActivities(rig.sql)
    await storage.set_read_only(SetReadOnlyInput(target=cluster.target, read_only=True))
    yield storage
    await storage.set_read_only(SetReadOnlyInput(target=cluster.target, read_only=False))


async def test_both_nodes_say_what_they_use(rig: Rig, cluster: TestCluster):
    assert cluster.b is not None
    arg = ReadStorageInput(cluster_id=cluster.id, nodes=(cluster.a, cluster.b))
    look = await StorageActivities(rig.sql).read_storage(arg)
    assert [node.name for node in look.nodes] == ["a", "b"]
    sizes = {each.name: each.bytes for each in look.databases}
    assert {"postgres", "template1", "testing"} <= set(sizes)
    for node in look.nodes:
        # Beside the databases there is what they share, and nothing large.
        assert 0 < node.data_bytes - sum(sizes.values()) < 2 * MB
        assert node.wal_bytes >= 4 * MB
        assert node.temp_bytes == 0
    assert look.read_only is False
    assert look.used_bytes == max(node.used_bytes for node in look.nodes)


async def test_node_that_does_not_answer_is_left_out(rig: Rig, cluster: TestCluster):
    nobody = cluster.a.model_copy(update={"address": cluster.endpoint.address, "name": "gone"})
    look = await ClusterStorage(rig.sql, cluster.id, (nobody, cluster.a)).look()
    assert [node.name for node in look.nodes] == ["a"]


async def test_files_are_looked_at_again_only_after_wal_was_written(rig: Rig, cluster: TestCluster):
    storage = NodeStorage(rig.sql, cluster.a, cluster.id)
    before = (await storage.look()).usage.data_bytes
    # Unlogged: it grows without WAL.
    await run(
        rig, cluster, "CREATE UNLOGGED TABLE public.unseen AS SELECT repeat('x', 900) FROM generate_series(1, 9999)"
    )
    assert (await storage.look()).usage.data_bytes == before
    position = await wal_position(rig, cluster)
    while await wal_position(rig, cluster) - position < WALK_AFTER_WAL_BYTES:
        await run(rig, cluster, "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000), true)")

    async def grown() -> bool:
        return (await storage.look()).usage.data_bytes - before > 5 * MB

    # Not before what the first walk took is a small part of the time.
    await until(grown, timeout_s=30, what="another look at the files")
    await run(rig, cluster, "DROP TABLE public.unseen")


@pytest.mark.parametrize("workers", [0, 2])
async def test_temporary_files_count_those_of_parallel_queries_too(rig: Rig, cluster: TestCluster, workers: int):
    query = (
        f"SET max_parallel_workers_per_gather = {workers}; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;"
        "SET min_parallel_table_scan_size = 0; SET work_mem = '64kB'; SET enable_sort = off; SET enable_hashagg = off;"
        "SELECT count(*) FROM public.many a JOIN public.many b ON a.s = b.s || ''"
    )
    await run(
        rig,
        cluster,
        "CREATE TABLE IF NOT EXISTS public.many AS SELECT n, repeat(n::text, 40) s FROM generate_series(1, 60000) n",
        "ANALYZE public.many",
    )
    storage = NodeStorage(rig.sql, cluster.a, cluster.id)
    seen = 0
    async with await rig.sql.open(cluster.target) as connection:
        while not seen:
            joining = asyncio.create_task(connection.execute(query.encode()))
            while not joining.done():
                seen = max(seen, (await storage.look()).usage.temp_bytes)
            await joining
    assert seen > MB
    assert (await storage.look()).usage.temp_bytes == 0


async def test_open_sessions_are_read_only_from_their_next_transaction_on(rig: Rig, cluster: TestCluster):
    storage = StorageActivities(rig.sql)

    async def takes_writes(session: psycopg.AsyncConnection) -> bool:
        try:
            await session.execute("INSERT INTO kept VALUES (3)")
        except ReadOnlySqlTransaction:
            return False
        return True

    async def takes_none(session: psycopg.AsyncConnection) -> bool:
        return not await takes_writes(session)

    async with await client(cluster) as idle, await client(cluster) as working:
        await idle.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        async with working.transaction():
            await working.execute("INSERT INTO kept VALUES (1)")
            await storage.set_read_only(SetReadOnlyInput(target=cluster.target, read_only=True))
            await working.execute("INSERT INTO kept VALUES (2)")
        # Each session hears of it by a signal of its own: one heard is not all heard.
        try:
            for session in (idle, working):
                await until(partial(takes_none, session), what="the end of writes")
        finally:
            await storage.set_read_only(SetReadOnlyInput(target=cluster.target, read_only=False))
        for session in (idle, working):
            await until(partial(takes_writes, session), what="writes")


async def test_who_says_so_may_make_room(read_only: StorageActivities, cluster: TestCluster):
    async with await client(cluster) as session:
        with pytest.raises(ReadOnlySqlTransaction):
            await session.execute("CREATE TABLE room (n int)")
        await session.execute("SET default_transaction_read_only = off")
        await session.execute("CREATE TABLE room (n int)")
        await session.execute("INSERT INTO room SELECT generate_series(1, 1000)")
        await session.execute("DELETE FROM room")
        await session.execute("VACUUM FULL room")
    async with await client(cluster) as session:
        await session.execute("VACUUM FULL room")
        async with session.transaction():
            await session.execute("SET TRANSACTION READ WRITE")
            await session.execute("DROP TABLE room")


async def test_platform_writes_all_the_same(read_only: StorageActivities, rig: Rig, cluster: TestCluster):
    async with rig.sql.use(cluster.target) as kept, rig.sql.use(cluster.target, fresh=True) as fresh:
        for connection in (kept, fresh):
            await connection.execute("CREATE TABLE public.platforms (n int)")
            await connection.execute("DROP TABLE public.platforms")


async def test_look_tells_what_the_primary_really_has(read_only: StorageActivities, rig: Rig, cluster: TestCluster):
    assert cluster.b is not None
    storage = ClusterStorage(rig.sql, cluster.id, (cluster.a, cluster.b))
    assert (await storage.look()).read_only is True
    await read_only.set_read_only(SetReadOnlyInput(target=cluster.target, read_only=False))
    assert (await storage.look()).read_only is False


async def test_standby_is_not_told(rig: Rig, cluster: TestCluster):
    assert cluster.b is not None
    standby = SetReadOnlyInput(target=Target.of(cluster.id, cluster.b), read_only=True)
    with pytest.raises(NotYet, match="still a standby"):
        await StorageActivities(rig.sql).set_read_only(standby)


@pytest.mark.parametrize("growth", [None, AutoGrow(step_gb=5, max_gb=50)])
async def test_notes_are_read_as_they_were_written(rig: Rig, cluster: TestCluster, growth: AutoGrow | None):
    notes = StorageNoteActivities(rig.sql)
    for storage_gb in (20, 30):
        await notes.note_storage(NoteStorageInput(target=cluster.target, storage_gb=storage_gb, auto_grow=growth))
        async with rig.sql.use(cluster.target) as connection:
            assert await read_notes(connection) == (storage_gb, growth)
