"""The endpoint's ruleset, rendered from where connections are led."""

import pytest

from activities.routing.rules import Rules, read_pooler_ports, render_rules

GATEWAY = "10.9.0.1"


@pytest.mark.parametrize(
    ("ports", "line"),
    [
        ((6441,), "tcp dport 6432 redirect to :numgen inc mod 1 map { 0 : 6441 }"),
        ((6443, 6444), "tcp dport 6432 redirect to :numgen inc mod 2 map { 0 : 6443, 1 : 6444 }"),
    ],
)
def test_pooled_connections_take_turns(ports: tuple[int, ...], line: str) -> None:
    assert line in render_rules(Rules(pooler_ports=ports, gateway=GATEWAY))


def test_direct_and_read_only_lead_to_their_nodes() -> None:
    text = render_rules(Rules(direct="10.9.0.3", read_only="10.9.0.4", gateway=GATEWAY))
    assert "tcp dport 5432 dnat to 10.9.0.3:5432" in text
    assert "tcp dport 5433 dnat to 10.9.0.4:5432" in text


def test_what_leads_nowhere_is_refused_with_a_reset() -> None:
    text = render_rules(Rules(gateway=GATEWAY))
    assert "dnat to" not in text
    assert "redirect" not in text
    assert "tcp dport { 5432, 5433, 6432 } reject with tcp reset" in text


def test_poolers_own_ports_are_for_the_gateway() -> None:
    lines = [line.strip() for line in render_rules(Rules(gateway=GATEWAY)).splitlines() if "6441-6499" in line]
    assert lines == [
        "tcp dport 6441-6499 ct status dnat accept",
        "tcp dport 6441-6499 iif lo accept",
        f"tcp dport 6441-6499 ip saddr {GATEWAY} accept",
        "tcp dport 6441-6499 reject with tcp reset",
    ]


def test_ruleset_replaces_what_was_there_without_taking_the_hooks_away() -> None:
    text = render_rules(Rules(gateway=GATEWAY))
    assert "flush table ip mpg" in text
    assert "delete" not in text


@pytest.mark.parametrize("ports", [(), (6441,), (6443, 6444)])
def test_ports_are_read_back_from_the_rules(ports: tuple[int, ...]) -> None:
    rules = Rules(pooler_ports=ports, direct="10.0.0.3", read_only="10.0.0.4", gateway="10.0.0.1")
    assert read_pooler_ports(render_rules(rules)) == ports


def test_rules_that_are_not_ours_lead_to_no_pooler() -> None:
    assert read_pooler_ports("") == ()
    assert read_pooler_ports("table ip other { }") == ()
