"""What may be believed of a replica, and when commits wait for it."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import LiteralString

import psycopg
import pytest
from postgres_servers import CLUSTER_ID, Effects, Server
from rig import until

from activities.nodes import replication
from activities.postgres.sql import Connection
from model.cluster import NodeRole
from model.effects import AwaitCaughtUpInput, SetSynchronousInput
from model.errors import Refused, ReplicaBehind

pytest_plugins = ("postgres_fixtures",)
pytestmark = pytest.mark.integration

POSTGRES_WAITS_S = 30.0
"""How long Postgres lets a read hold replay up (``max_standby_streaming_delay``)."""
LOCKED: tuple[LiteralString, ...] = ("ALTER TABLE public.held ADD COLUMN m int",)
REMOVED: tuple[LiteralString, ...] = ("DELETE FROM public.held", "VACUUM public.held")


async def wait_for(effects: Effects, standby: str | None) -> None:
    await effects.replication.set_synchronous(SetSynchronousInput(target=effects.server.target, standby=standby))


def caught_up(effects: Effects, replica: Server, timeout_s: float = 20) -> AwaitCaughtUpInput:
    return AwaitCaughtUpInput(
        cluster_id=CLUSTER_ID,
        primary=effects.server.node(NodeRole.PRIMARY),
        replica=replica.node(NodeRole.REPLICA),
        timeout_s=timeout_s,
    )


@asynccontextmanager
async def frozen(server: Server) -> AsyncGenerator[None]:
    server.container.pause()
    try:
        yield
    finally:
        server.container.unpause()


@asynccontextmanager
async def replay_paused(server: Server) -> AsyncGenerator[None]:
    await server.run("postgres", "SELECT pg_wal_replay_pause()", "postgres")
    try:
        yield
    finally:
        await server.run("postgres", "SELECT pg_wal_replay_resume()", "postgres")


@pytest.fixture
async def asynchronous_after(effects: Effects) -> AsyncGenerator[None]:
    yield
    await wait_for(effects, None)


async def commit(connection: Connection) -> None:
    await connection.execute("CREATE TABLE IF NOT EXISTS public.committed (at timestamptz)")
    await connection.execute("INSERT INTO public.committed VALUES (now())")


async def test_replica_has_caught_up_with_what_was_committed_before(effects: Effects, standby: Server) -> None:
    async with await effects.server.connect() as connection:
        await connection.execute("DROP TABLE IF EXISTS big")
        await connection.execute("CREATE TABLE big AS SELECT generate_series(1, 200000) AS n")
    seen = await effects.replication.await_caught_up(caught_up(effects, standby))
    assert await standby.run("postgres", "SELECT count(*) FROM big") == [(200000,)]
    assert seen.timeline == 1
    assert seen.lag_bytes < 1_000_000


async def test_idle_replica_is_seen_caught_up_at_once(effects: Effects, standby: Server) -> None:
    await effects.replication.await_caught_up(caught_up(effects, standby))
    took: list[float] = []
    for _ in range(5):
        began = time.monotonic()
        await effects.replication.await_caught_up(caught_up(effects, standby))
        took.append(time.monotonic() - began)
    assert sorted(took)[2] < 0.25


async def test_replica_that_does_not_replay_is_behind_and_the_error_has_the_numbers(
    effects: Effects, standby: Server
) -> None:
    async with replay_paused(standby):
        with pytest.raises(ReplicaBehind, match=r"bytes behind\) on timeline 1; the primary was at 0/.*timeline 1"):
            await effects.replication.await_caught_up(caught_up(effects, standby, timeout_s=0.3))
    await effects.replication.await_caught_up(caught_up(effects, standby))


@pytest.mark.parametrize(("wait", "changes"), [("relation", LOCKED), ("RecoveryConflictSnapshot", REMOVED)])
async def test_read_that_holds_replay_up_is_ended_where_that_is_asked_and_nobody_else_is(
    effects: Effects, standby: Server, wait: str, changes: tuple[LiteralString, ...]
) -> None:
    async with held_replay(effects, standby, wait, changes) as (reader, other):
        with pytest.raises(ReplicaBehind):
            await effects.replication.await_caught_up(caught_up(effects, standby, timeout_s=0.5))
        arg = caught_up(effects, standby, timeout_s=POSTGRES_WAITS_S / 2).model_copy(update={"reads_end_s": 0.2})
        await effects.replication.await_caught_up(arg)
        with pytest.raises(psycopg.OperationalError):
            await reader.execute("SELECT 1")
        await other.execute("SELECT 1")


async def test_replay_that_no_read_holds_up_ends_no_read(effects: Effects, standby: Server) -> None:
    async with await standby.connect(database="postgres") as reader, reader.transaction():
        await reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await reader.execute("SELECT count(*) FROM pg_class")
        async with replay_paused(standby):
            arg = caught_up(effects, standby, timeout_s=0.5).model_copy(update={"reads_end_s": 0.0})
            with pytest.raises(ReplicaBehind):
                await effects.replication.await_caught_up(arg)
        await reader.execute("SELECT 1")
    await effects.replication.await_caught_up(caught_up(effects, standby))


@asynccontextmanager
async def held_replay(
    effects: Effects, standby: Server, wait: str, changes: tuple[LiteralString, ...]
) -> AsyncGenerator[tuple[Connection, Connection]]:
    """Lend a session on the standby that holds replay up, and one that does not; both are idle in a transaction."""
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(await effects.server.connect(database="postgres"))
        await primary.execute("DROP TABLE IF EXISTS public.held")
        await primary.execute("CREATE TABLE public.held AS SELECT generate_series(1, 1000) AS n")
        await effects.replication.await_caught_up(caught_up(effects, standby))
        reader, other = [await stack.enter_async_context(await standby.connect(database="postgres")) for _ in range(2)]
        await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await reader.execute("SELECT count(*) FROM public.held")
        await other.execute("BEGIN")
        for change in changes:
            await primary.execute(change)

        async def waits() -> bool:
            asked = "SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'"
            return await standby.run("postgres", asked, "postgres") == [(wait,)]

        await until(waits, timeout_s=POSTGRES_WAITS_S / 2, what="replay that waits")
        yield reader, other


async def test_replica_of_another_primary_is_not_believed(effects: Effects, standby: Server) -> None:
    arg = caught_up(effects, standby, timeout_s=0.3)
    elsewhere = arg.primary.model_copy(update={"address": effects.server.target.address, "name": "a"})
    # The receiver is connected to the address it was given; asked about another, it must not count.
    async with await standby.connect(database="postgres") as connection:
        await connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
        await connection.execute("SELECT pg_reload_conf()")
        try:
            with pytest.raises(ReplicaBehind, match="does not stream"):
                await effects.replication.await_caught_up(arg.model_copy(update={"primary": elsewhere}))
        finally:
            await connection.execute("ALTER SYSTEM RESET primary_conninfo")
            await connection.execute("SELECT pg_reload_conf()")
    await effects.replication.await_caught_up(caught_up(effects, standby))


async def test_a_primary_is_not_taken_for_a_replica(effects: Effects) -> None:
    with pytest.raises(ReplicaBehind, match="it is not a replica"):
        await effects.replication.await_caught_up(caught_up(effects, effects.server, timeout_s=0.2))


@pytest.mark.usefixtures("asynchronous_after")
async def test_commit_waits_for_a_synchronous_standby_and_goes_on_when_it_is_released(
    effects: Effects, standby: Server
) -> None:
    await wait_for(effects, "b")
    await wait_for(effects, "b")
    async with await effects.server.connect() as connection:
        await commit(connection)
        async with frozen(standby):
            waiting = asyncio.create_task(commit(connection))
            done, _ = await asyncio.wait({waiting}, timeout=0.5)
            assert not done
            await wait_for(effects, None)
            await asyncio.wait_for(waiting, 10)


@pytest.mark.usefixtures("asynchronous_after")
async def test_commit_of_an_operation_that_waits_for_a_lost_standby_does_not_keep_it_from_being_released(
    effects: Effects, standby: Server
) -> None:
    async def step() -> None:
        async with effects.sql.use(effects.server.target) as kept:
            await commit(kept)

    await wait_for(effects, "b")
    await step()
    async with frozen(standby):
        waiting = asyncio.create_task(step())
        done, _ = await asyncio.wait({waiting}, timeout=0.5)
        assert not done
        await asyncio.wait_for(wait_for(effects, None), 10)
        await asyncio.wait_for(waiting, 10)


@pytest.mark.usefixtures("asynchronous_after")
async def test_no_commit_is_made_to_wait_for_a_standby_that_does_not_stream(
    effects: Effects, standby: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "IN_FORCE_S", 0.3)
    with pytest.raises(ReplicaBehind, match=r"Replica c does not stream after 0\.3 s; no commit waits for it"):
        await wait_for(effects, "c")
    assert await effects.server.run("postgres", "SHOW synchronous_standby_names", "postgres") == [("",)]


@pytest.mark.usefixtures("asynchronous_after")
async def test_commits_are_released_from_a_standby_that_is_lost_while_they_are_made_to_wait(
    effects: Effects, standby: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def streamed(*_: object) -> None:
        """As if it had been lost just after it was seen."""

    monkeypatch.setattr(replication, "_require_standby", streamed)
    with pytest.raises(ReplicaBehind, match="Replica c has stopped streaming"):
        await wait_for(effects, "c")
    assert await effects.server.run("postgres", "SHOW synchronous_standby_names", "postgres") == [("",)]


async def test_a_standby_never_gets_a_synchronous_standby(effects: Effects, standby: Server) -> None:
    with pytest.raises(Refused, match="only the primary"):
        await effects.replication.set_synchronous(SetSynchronousInput(target=standby.target, standby="a"))
    assert await standby.run("postgres", "SHOW synchronous_standby_names", "postgres") == [("",)]


@pytest.mark.usefixtures("asynchronous_after")
async def test_mark_does_not_wait_for_a_synchronous_standby_that_is_away(effects: Effects, standby: Server) -> None:
    await effects.replication.await_caught_up(caught_up(effects, standby))
    await wait_for(effects, "b")
    async with replay_paused(standby):
        with pytest.raises(ReplicaBehind):
            await asyncio.wait_for(effects.replication.await_caught_up(caught_up(effects, standby, 0.2)), 3)
