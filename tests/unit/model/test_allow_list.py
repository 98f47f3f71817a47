"""Allow lists: how networks are written, and how a list is changed."""

import pytest

from model.allow_list import MOST_NETWORKS, admits, changed
from model.errors import InvalidInput
from model.operations import SetAllowListRequest
from model.validation import validated

ID = "abcdefgh01234567"


def test_address_is_a_network_of_one() -> None:
    assert SetAllowListRequest(cluster_id=ID, add=("192.0.2.1",)).add == ("192.0.2.1/32",)


@pytest.mark.parametrize(
    "network", ["", "192.0.2.1/24", "192.0.2.0/33", "example.org", "2001:db8::/32", "10.0.0.0/8; drop"]
)
def test_what_is_no_network_is_refused_with_a_sentence(network: str) -> None:
    with pytest.raises(InvalidInput):
        validated(SetAllowListRequest, cluster_id=ID, add=(network,))


def test_request_that_asks_for_nothing_or_for_too_much_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Say which networks"):
        validated(SetAllowListRequest, cluster_id=ID)
    with pytest.raises(InvalidInput):
        validated(SetAllowListRequest, cluster_id=ID, add=("192.0.2.1",) * (MOST_NETWORKS + 1))


def test_list_is_emptied_then_removed_from_then_added_to() -> None:
    old = ("10.0.0.0/8", "192.0.2.0/24")
    assert changed(old, ("9.0.0.0/8",), ("10.0.0.0/8",), clear=False) == ("9.0.0.0/8", "192.0.2.0/24")
    assert changed(old, ("9.0.0.0/8",), (), clear=True) == ("9.0.0.0/8",)
    assert changed(old, old, (), clear=False) == old
    assert changed(old, (), old, clear=False) == ()


def test_empty_list_admits_everybody_and_any_other_its_networks_only() -> None:
    assert admits((), "127.0.0.1")
    assert admits(("192.0.2.0/24", "127.0.0.0/8"), "127.0.0.1")
    assert not admits(("192.0.2.0/24",), "127.0.0.1")
