"""What caveats mean, alone and together."""

import pytest

from starter.tokens.grants import (
    CaveatType,
    Grant,
    UnknownCaveat,
    grant_of,
    only_cluster,
    only_organization,
    read_only,
    validity,
)
from starter.tokens.macaroon import Caveat, decode, mint

A, B = "a" * 16, "b" * 16


def grant(*caveats: Caveat) -> Grant:
    return grant_of(decode(mint(b"k" * 32, b"id", b"r" * 16, caveats)))


def test_without_caveats_everything_is_allowed() -> None:
    found = grant()
    assert found == Grant(token_id=(b"r" * 16).hex())
    assert found.covers_cluster("personal", A)
    assert found.holds_at(0)


@pytest.mark.parametrize(
    ("caveats", "org", "cluster", "seen"),
    [
        ([only_organization("shop")], "shop", A, True),
        ([only_organization("shop")], "personal", A, False),
        ([only_cluster(A)], "shop", A, True),
        ([only_cluster(A)], "shop", B, False),
        ([only_organization("shop"), only_cluster(A)], "personal", A, False),
        ([only_cluster(A), only_cluster(B)], "shop", A, False),
        ([only_organization("shop"), only_organization("personal")], "shop", A, False),
    ],
)
def test_caveats_narrow_and_never_widen(caveats: list[Caveat], org: str, cluster: str, seen: bool) -> None:
    assert grant(*caveats).covers_cluster(org, cluster) is seen


@pytest.mark.parametrize(("now", "holds"), [(99.9, False), (100, True), (200, True), (200.1, False)])
def test_the_window_has_both_its_ends(now: float, holds: bool) -> None:
    assert grant(validity(100, 200)).holds_at(now) is holds
    assert grant(validity(100, 200), validity(0, 1000)).holds_at(now) is holds


def test_read_only_is_read_only_with_whatever_else() -> None:
    assert grant(read_only(), only_organization("shop")).read_only


@pytest.mark.parametrize(
    ("type", "body"),
    [
        (5, []),
        (0, []),
        (-1, []),
        (2**64 - 1, []),
        (CaveatType.VALIDITY, [1]),
        (CaveatType.VALIDITY, ["1", "2"]),
        (CaveatType.READ_ONLY, [True]),
        (CaveatType.ORGANIZATION, []),
        (CaveatType.ORGANIZATION, [1]),
        (CaveatType.CLUSTER, [A, B]),
    ],
)
def test_what_is_not_understood_is_never_ignored(type: int, body: list[object]) -> None:
    with pytest.raises(UnknownCaveat):
        grant(Caveat.of(type, body))
