"""Errors of a restore that another try meets again, and those that it may not."""

import pytest

from activities.backups.damage import is_for_good


@pytest.mark.parametrize(
    ("sentence", "code", "for_good"),
    [
        ("zst error: [-20] Data corruption detected", 29, True),
        ("unable to open missing file", 55, True),
        ("recovery ended before configured recovery target was reached", 1, True),
        ("the archive has a hole after 000000010000000000000004", 1, True),
        ("unable to connect to 's3.example'", 49, False),
        ("it was ended (exit code 137)", 137, False),
        ("unable to write '/var/lib/postgresql/data/x': No space left on device", 39, False),
        ("it ran out of memory", None, False),
    ],
)
def test_only_what_is_wrong_with_the_repository_is_for_good(sentence: str, code: int | None, for_good: bool) -> None:
    assert is_for_good(sentence, code) is for_good
