"""WAL positions as Postgres writes them."""

import pytest

from model.pg_control import format_lsn, parse_lsn


@pytest.mark.parametrize(("text", "number"), [("0/0", 0), ("0/4F00028", 0x4F00028), ("16/B374D848", 0x16B374D848)])
def test_position_is_read_and_written_as_postgres_does(text: str, number: int) -> None:
    assert parse_lsn(text) == number
    assert format_lsn(number) == text
