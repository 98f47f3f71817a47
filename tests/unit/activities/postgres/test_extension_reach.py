"""What an extension can reach is said of each that may be enabled."""

import pytest

from activities.postgres.extensions import ALLOWED, REACH, reach


def test_each_that_is_allowed_without_being_trusted_has_its_line() -> None:
    assert set(REACH) == ALLOWED


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_its_line_does_not_depend_on_what_postgres_says_of_it(name: str) -> None:
    assert reach(name, trusted=True) == reach(name, trusted=False) == REACH[name]


def test_trusted_ones_reach_no_files_and_what_nobody_looked_at_is_not_known() -> None:
    assert "no files" in reach("hstore", trusted=True)
    assert reach("file_fdw", trusted=False).startswith("Not known")
