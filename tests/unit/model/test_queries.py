"""Which statements have a plan, and how much a look may hold."""

from datetime import UTC, datetime

import pytest

from model.converter import DATA_CONVERTER
from model.queries import (
    MOST_CHARACTERS,
    MOST_SESSIONS,
    MOST_STATEMENTS,
    Queries,
    Session,
    Statement,
    StatementAsked,
    StatementOrder,
    utility_command,
)

BLOB_BYTES = 2 * 2**20
"""What Temporal takes at most for one payload (limit.blobSize.error)."""


async def test_fullest_look_is_no_more_than_temporal_takes() -> None:
    at, name, text = datetime.now(UTC), "n" * 63, "\N{GRINNING FACE}" * MOST_CHARACTERS
    session = Session(
        pid=4_194_304, began=at, user=name, database=name, application=name, client="2001:db8::ffff:ffff:ffff:ffff",
        state="idle in transaction (aborted)", waits_for="Lock: transactionid", blocked_by=(4_194_304,) * 8,
        state_seconds=1e9 / 3, transaction_seconds=1e9 / 3, query=text,
    )  # fmt: skip
    statement = Statement(
        id="-" + "9" * 19, user=name, database=name, query=text, calls=2**62, total_ms=1e15 / 3, mean_ms=1e15 / 3,
        rows=2**62, hit_ratio=1 / 3,
    )  # fmt: skip
    look = Queries(
        at=at,
        sessions=(session,) * MOST_SESSIONS,
        statements=(statement,) * (MOST_STATEMENTS * len(StatementOrder)),
        statements_since=at,
    )
    (payload,) = await DATA_CONVERTER.encode([look])
    assert payload.ByteSize() < BLOB_BYTES


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        "select 1",
        "  \n\t((SELECT 1) UNION (SELECT 2))",
        "-- of the shop\nUPDATE t SET a = $1",
        "/* a /* nested */ comment */ -- and one\n DELETE FROM t",
        "/*;VACUUM*/INSERT INTO t VALUES ($1)",
        "MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "VALUES ($1)",
        "TABLE t",
        "SELECT/**/1",
    ],
)
def test_has_a_plan(query: str) -> None:
    assert utility_command(query) is None


@pytest.mark.parametrize(
    ("query", "command"),
    [
        ("VACUUM (ANALYZE) t", "VACUUM"),
        ("create table t as select 1", "CREATE"),
        ("/* SELECT */ -- SELECT\n BEGIN", "BEGIN"),
        ("EXPLAIN ANALYZE SELECT 1", "EXPLAIN"),
        ("SELECTED", "SELECTED"),
        ("/* SELECT 1", "?"),
        ("; SELECT 1", "?"),
        ("", "?"),
    ],
)
def test_has_none(query: str, command: str) -> None:
    assert utility_command(query) == command


@pytest.mark.parametrize("text", ["", "1 OR 1=1", "+1", "--1", "1\n", "1" * 20, "1e5"])
def test_id_of_a_statement_is_a_number(text: str) -> None:
    with pytest.raises(ValueError, match="id"):
        StatementAsked(id=text, users=())
