"""What clients are told."""

import ast
from pathlib import Path

import pytest

from model.cluster import PoolMode
from starter.client.connection import verifying
from starter.dashboard.connect import clients_page
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


def test_the_page_of_clients_is_made_of_what_the_connect_tab_shows() -> None:
    page = clients_page.render()
    assert clients_page.PAGE.read_text(encoding="utf-8") == page, "run python -m starter.dashboard.connect.clients_page"
    assert page.count("prepare_threshold=None") == 1
    for client in by_client(pooled=True, mode=PoolMode.TRANSACTION):
        assert page.count(f"\n## {client}\n") == 1


def test_verified_address_has_its_options_where_each_client_looks_for_them() -> None:
    verified = f"{URI}?{verifying(Path('/srv/my ca.crt'))}"
    found = {each.client: each.code for each in snippets(verified, pooled=True, mode=PoolMode.TRANSACTION)}
    query = "sslmode=verify-full&sslrootcert=/srv/my%20ca.crt"
    assert found["JDBC"].splitlines()[0] == f"jdbc:postgresql://127.0.0.1:6432/shop?prepareThreshold=0&{query}"
    assert "password = s%3Acret" in found["JDBC"]
    django = ast.literal_eval(found["Django"].removeprefix("DATABASES = "))["default"]
    assert django["NAME"] == "shop"
    assert django["OPTIONS"] == {"sslmode": "verify-full", "sslrootcert": "/srv/my ca.crt"}
    for client in set(found) - {"JDBC", "Django"}:
        assert f"@127.0.0.1:6432/shop?{query}" in found[client]


def test_plain_address_asks_for_no_options() -> None:
    found = by_client(pooled=False, mode=PoolMode.TRANSACTION)
    assert "OPTIONS" not in found["Django"].code
    assert "?" not in found["JDBC"].code
