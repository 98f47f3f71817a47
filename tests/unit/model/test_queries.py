"""Which statements have a plan."""

import pytest

from model.queries import StatementAsked, utility_command


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
