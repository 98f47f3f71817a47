"""Which names people may choose, and that a refusal says why."""

from collections.abc import Callable

import pytest

from model import names

IDENTIFIERS = {
    "user": names.check_username,
    "database": names.check_database_name,
    "schema": names.check_schema_name,
}


@pytest.mark.parametrize("check", IDENTIFIERS.values(), ids=IDENTIFIERS)
@pytest.mark.parametrize(
    "name",
    ["a", "app", "App", 'a"b', '""', "a-b", "a.b", "a_b", "ä", "用户", "1", "select", "{x}", "$1", "a=b", "a*b", "a,b",
     "a(b)", "a" * 63, "ä" * 31, "pg", "pgx", "-", "fly-user"],
)  # fmt: skip
def test_identifier_is_allowed(check: Callable[[str], str], name: str) -> None:
    assert check(name) == name


EXCLUDED: dict[str, tuple[str, ...]] = {
    "must not be empty": ("",),
    "is too long: 64 bytes, Postgres allows 63": ("a" * 64, "ä" * 32),
    "no spaces or control characters": ("a b", " a", "a ", "a\tb", "a\nb", "a\x00b", "a\x7fb", "a\u00a0b", "a\u200bb"),
    "none of ' \\ / : @ % # ? & ; in it": tuple(f"a{character}b" for character in "'\\/:@%#?&;"),
    "names that begin with pg_ or mpg_ are": ("pg_x", "pg_", "mpg_x", "mpg_replicator"),
}


@pytest.mark.parametrize("kind", IDENTIFIERS)
@pytest.mark.parametrize(("said", "name"), [(said, name) for said, many in EXCLUDED.items() for name in many])
def test_identifier_is_refused_and_the_sentence_says_why(kind: str, said: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"(?i){kind} name") as refusal:
        IDENTIFIERS[kind](name)
    sentence = str(refusal.value)
    assert said in sentence
    assert sentence.endswith(".")
    assert len(sentence) < 160


@pytest.mark.parametrize(
    ("check", "name"),
    [
        *((names.check_username, name) for name in ("postgres", "public", "none", "pgbouncer", "schema_admin",
                                                    "writer", "reader", "current_user", "user")),
        *((names.check_database_name, name) for name in ("postgres", "template0", "template1", "pgbouncer")),
        *((names.check_schema_name, name) for name in ("information_schema", "mpg")),
    ],
)  # fmt: skip
def test_reserved_name_is_refused(check: Callable[[str], str], name: str) -> None:
    with pytest.raises(ValueError, match="is reserved"):
        check(name)


@pytest.mark.parametrize("name", ["a", "orders", "orders-2", "a" * 48])
def test_cluster_name_is_allowed(name: str) -> None:
    assert names.check_cluster_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "A", "1a", "-a", "a-", "a_b", "a b", "a/b", "ä", "a" * 49, "a\n", "a.b", "'", "a--", "a\x00"]
)
def test_cluster_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not allowed: use 1 to 48 lowercase letters"):
        names.check_cluster_name(name)


@pytest.mark.parametrize("value", ["a" * 15, "a" * 17, "A" * 16, "a" * 15 + "-", "a" * 16 + "\n"])
def test_cluster_id_is_16_lowercase_letters_and_digits(value: str) -> None:
    with pytest.raises(ValueError, match="16 lowercase letters and digits"):
        names.check_cluster_id(value)
    assert names.check_cluster_id("0123456789abcdef")


def test_workflow_ids_are_readable_and_take_only_safe_request_ids() -> None:
    assert names.operation_workflow_id("ChangePlan", "orders", "r1") == "change-plan/orders/r1"
    for bad in ("", "a/b", "a b", "a" * 65):
        with pytest.raises(ValueError, match="Request id"):
            names.check_request_id(bad)
