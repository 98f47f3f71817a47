"""What `mpg auth` makes of its arguments."""

import pytest

from model.errors import InvalidInput
from starter.cli.auth import seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90m", 5400), ("12h", 43_200), ("30d", 2_592_000), ("never", None)]
)
def test_expiries(text: str, seconds: int | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0d", "-1d", "30", "d", "1w", "1d1h", "99999999d", "٣d", "1e3s"])
def test_what_is_no_expiry(text: str) -> None:
    with pytest.raises(InvalidInput):
        seconds_of(text)
