"""What an Authorization header holds."""

import pytest

from starter.api.authentication import tokens_of


@pytest.mark.parametrize(
    ("header", "tokens"),
    [
        ("", []),
        ("Bearer", []),
        ("fm2_a", []),
        ("Basic fm2_a", []),
        ("Bearer fm2_a", ["fm2_a"]),
        ("bearer  fm2_a ", ["fm2_a"]),
        ("FlyV1 fm2_a,fm2_b", ["fm2_a", "fm2_b"]),
        ("FLYV1 fm2_a , , fm2_b,", ["fm2_a", "fm2_b"]),
        ("Bearer " + ",".join(["x"] * 1000), ["x"] * 16),
    ],
)
def test_both_schemes_and_lists(header: str, tokens: list[str]) -> None:
    assert tokens_of(header) == tokens
