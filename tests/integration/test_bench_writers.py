"""The bench's writers: what they call lost is lost, and an error neither ends them nor loses a row."""

import asyncio

import pytest
from postgres_servers import CLUSTER_ID, MASTER_KEY, Effects

from activities.sql import Connection
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
