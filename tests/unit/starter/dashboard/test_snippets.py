"""What clients are told."""

import ast

import pytest

from model.cluster import PoolMode
from starter.dashboard.connect.snippets import Snippet, snippets

URI = "postgresql://app:s%3Acret@127.0.0.1:6432/shop"


def by_client(*, pooled: bool, mode: PoolMode) -> dict[str, Snippet]:
    return {each.client: each for each in snippets(URI, pooled=pooled, mode=mode)}


@pytest.mark.parametrize("client", ["psycopg", "SQLAlchemy", "Django"])
@pytest.mark.parametrize("mode", list(PoolMode))
def test_python_is_python(client: str, mode: PoolMode) -> None:
    ast.parse(by_client(pooled=True, mode=mode)[client].code)


def test_prepared_statements_are_off_only_where_a_transaction_may_meet_another_server() -> None:
    pooled = by_client(pooled=True, mode=PoolMode.TRANSACTION)
    for client, setting in (
        ("psycopg", "prepare_threshold=None"),
        ("pgx", "QueryExecModeExec"),
        ("JDBC", "prepareThreshold=0"),
        ("Django", "DISABLE_SERVER_SIDE_CURSORS"),
    ):
        assert setting in pooled[client].code
        assert setting not in by_client(pooled=False, mode=PoolMode.TRANSACTION)[client].code
        assert setting not in by_client(pooled=True, mode=PoolMode.SESSION)[client].code


def test_parts_of_the_address_are_taken_apart() -> None:
    found = by_client(pooled=True, mode=PoolMode.SESSION)
    assert found["JDBC"].code.splitlines()[0] == "jdbc:postgresql://127.0.0.1:6432/shop"
    for part in ('"HOST": "127.0.0.1"', '"PORT": "6432"', '"USER": "app"', '"NAME": "shop"'):
        assert part in found["Django"].code
