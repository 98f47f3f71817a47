"""The table of an allow list, and what nft says of who was refused."""

import json

from activities.routing.allow_list import allow_files, read_refused, render_allow_list
from activities.routing.rules import Rules, render_rules

GATEWAY = "10.9.0.17"


def test_empty_list_refuses_nobody_and_makes_no_files() -> None:
    assert "jump refuse" not in render_allow_list((), GATEWAY)
    assert allow_files((), GATEWAY) == {}


def test_networks_that_overlap_are_one_and_loopback_stands_for_what_the_host_sends() -> None:
    text = render_allow_list(("192.0.2.0/24", "192.0.2.7/32"), GATEWAY)
    assert "ip saddr != { 192.0.2.0/24 } jump refuse" in text
    text = render_allow_list(("127.0.0.0/8",), GATEWAY)
    assert f"{GATEWAY}/32" in text
    assert len(allow_files(("127.0.0.0/8",), GATEWAY)) == 2


def test_routes_have_a_table_of_their_own_and_load_the_lists() -> None:
    assert "table ip mpg_access" not in render_rules(Rules(gateway=GATEWAY))
    assert render_rules(Rules(gateway=GATEWAY)).rstrip().endswith('include "/etc/mpg/access*.nft"')


def test_addresses_that_were_refused_are_read_with_their_counts() -> None:
    element = {"elem": {"val": "192.0.2.1", "expires": 3599, "counter": {"packets": 3, "bytes": 180}}}
    said = {"nftables": [{"metainfo": {}}, {"set": {"name": "refused", "elem": [element]}}]}
    assert read_refused(json.dumps(said)) == {"192.0.2.1": 3}
    assert read_refused(json.dumps({"nftables": [{"set": {"name": "refused"}}]})) == {}
