"""The bench's clients: what writers call lost is lost; an error ends neither them nor a probe, and is counted."""

import asyncio
from typing import LiteralString

import pytest
from postgres_servers import CLUSTER_ID, MASTER_KEY, Effects

from activities.postgres.sql import Connection
from bench.probe import probing
from bench.writers import writing
from model.names import DEFAULT_DATABASE, DEFAULT_USER, SUPERUSER
from model.secrets import derive_password

pytest_plugins = ("postgres_fixtures",)
pytestmark = pytest.mark.integration

BOUND_S = 30
CLIENTS = 2


@pytest.fixture
def uri(effects: Effects) -> str:
    password = derive_password(MASTER_KEY, CLUSTER_ID, DEFAULT_USER)
    return f"postgresql://{DEFAULT_USER}:{password}@{effects.server.address}/{DEFAULT_DATABASE}"


async def await_rows_beyond(connection: Connection, count: int) -> int:
    async with asyncio.timeout(BOUND_S):
        while (found := await rows(connection)) <= count:
            await asyncio.sleep(0.02)
        return found


async def rows(connection: Connection) -> int:
    row = await (await connection.execute("SELECT count(*) FROM bench_written")).fetchone()
    assert row is not None
    return int(row[0])


async def test_row_that_vanished_is_lost_and_one_that_nobody_heard_of_is_counted_apart(
    effects: Effects, uri: str
) -> None:
    async with (
        await effects.server.connect(SUPERUSER, DEFAULT_DATABASE) as connection,
        writing((uri,), CLIENTS) as writers,
    ):
        await connection.set_autocommit(True)
        row = await (await connection.execute("SELECT run FROM bench_written ORDER BY ctid DESC LIMIT 1")).fetchone()
        assert row is not None
        await connection.execute("DELETE FROM bench_written WHERE run = %s AND client = 0 AND n = 1", row)
        await connection.execute("INSERT INTO bench_written VALUES (%s, 0, 1000000)", row)
        (written,) = await writers.finish()
    assert (written.lost, written.unknown, written.errors) == (1, 1, 0)
    assert written.acknowledged >= CLIENTS


async def test_writers_whose_sessions_are_cut_connect_again_and_lose_nothing(effects: Effects, uri: str) -> None:
    async with (
        await effects.server.connect(SUPERUSER, DEFAULT_DATABASE) as connection,
        writing((uri,), CLIENTS) as writers,
    ):
        await connection.set_autocommit(True)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (DEFAULT_USER,)
        )
        await await_rows_beyond(connection, await rows(connection) + 10)
        (written,) = await writers.finish()
    assert written.lost == 0
    assert written.errors == CLIENTS
    assert written.acknowledged > 10


SESSIONS = "SELECT sessions FROM pg_stat_database WHERE datname = %s"


@pytest.mark.parametrize("reconnect", [False, True])
async def test_probe_goes_on_after_its_session_was_ended_and_counts_that(
    effects: Effects, uri: str, reconnect: bool
) -> None:
    async with (
        await effects.server.connect(SUPERUSER, DEFAULT_DATABASE) as connection,
        probing(uri, reconnect=reconnect) as probe,
    ):
        await connection.set_autocommit(True)
        before = await value(connection, SESSIONS)
        if not reconnect:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (DEFAULT_USER,)
            )
        async with asyncio.timeout(BOUND_S):
            while await value(connection, SESSIONS) == before:
                await asyncio.sleep(0.02)
    assert (probe.met.errors, probe.met.ended) == (0, 0 if reconnect else 1)
    assert probe.met.asked > 1
    assert 0 < probe.met.longest_ms < BOUND_S * 1000


async def value(connection: Connection, statement: LiteralString) -> object:
    row = await (await connection.execute(statement, (DEFAULT_DATABASE,))).fetchone()
    assert row is not None
    return row[0]
