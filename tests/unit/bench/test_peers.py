"""What the bench's section about Patroni renders and reads; what it measures is not asserted anywhere."""

import json

import pytest

from bench.__main__ import BY_DEFAULT, SECTIONS, arguments
from bench.gaps import Gap
from bench.peers.members import Member, is_whole, leader, parse_members, postmaster, processes_of_node
from bench.peers.section import Met
from bench.peers.settings import SETTINGS, Setting, haproxy_cfg, patroni_json, pgbouncer_ini
from bench.writers import Written

ANSWER = """{"members": [
  {"name": "a", "role": "sync_standby", "state": "streaming", "host": "10.0.0.3", "port": 5432, "lag": 0},
  {"name": "b", "role": "leader", "state": "running", "host": "10.0.0.4", "port": 5432, "timeline": 2}
], "scope": "bench"}"""
PASSWORDS = {"postgres": "p", "replicator": "r", "bench": "b"}


def member(name: str, role: str, state: str) -> Member:
    return Member(name=name, role=role, state=state)


def test_sections_that_need_more_than_others_run_only_when_they_are_named() -> None:
    assert "peers" in SECTIONS
    assert "peers" not in BY_DEFAULT
    assert set(SECTIONS) - set(BY_DEFAULT) == {"peers", "dashboard", "tabs"}
    assert arguments(["peers"]).sections == ["peers"]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_settings_are_ones_that_patroni_accepts(setting: Setting) -> None:
    assert setting.ttl >= 20
    assert setting.loop_wait >= 1
    assert setting.retry_timeout >= 3
    assert setting.loop_wait + 2 * setting.retry_timeout <= setting.ttl


def test_names_of_settings_tell_them_apart() -> None:
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS) == 3


def test_agent_has_its_setting_and_waits_for_the_standby() -> None:
    config = json.loads(patroni_json("a", "10.0.0.3", "10.0.0.10", SETTINGS[1], PASSWORDS))
    dcs = config["bootstrap"]["dcs"]
    assert (dcs["ttl"], dcs["loop_wait"], dcs["synchronous_mode"]) == (20, 1, True)
    assert config["etcd3"]["hosts"] == ["10.0.0.10:2379"]
    assert config["postgresql"]["authentication"]["replication"] == {"username": "replicator", "password": "r"}


def test_haproxy_leads_to_each_nodes_pooler_and_asks_its_agent() -> None:
    text = haproxy_cfg({"a": "10.0.0.3", "b": "10.0.0.4"}, SETTINGS[2])
    assert "default-server inter 300ms fall 1 rise 1 on-marked-down shutdown-sessions\n" in text
    assert "retries 0\n" in text
    assert "server a 10.0.0.3:6432 maxconn 100 check port 8008\n" in text
    assert "server b 10.0.0.4:6432 maxconn 100 check port 8008\n" in text


def test_pooler_waits_before_it_logs_in_again_as_long_as_the_setting_says() -> None:
    waits = [line for setting in SETTINGS for line in pgbouncer_ini(setting).splitlines() if "login_retry" in line]
    assert waits == ["server_login_retry = 15", "server_login_retry = 15", "server_login_retry = 1"]


def test_members_are_read_from_the_agents_answer() -> None:
    members = parse_members(ANSWER)
    assert leader(members) == member("b", "leader", "running")
    assert is_whole(members)


@pytest.mark.parametrize(
    "members",
    [
        (),
        (member("b", "leader", "running"),),
        (member("a", "replica", "streaming"), member("b", "leader", "running")),
        (member("a", "sync_standby", "stopped"), member("b", "leader", "running")),
        (member("a", "sync_standby", "streaming"), member("b", "leader", "starting")),
    ],
)
def test_cluster_is_not_whole_without_a_leader_and_a_synchronous_standby(members: tuple[Member, ...]) -> None:
    assert not is_whole(members)


@pytest.mark.parametrize("answer", ["", "{", '{"members": [{"name": "a"}]}', "{}"])
def test_answer_of_another_form_is_refused(answer: str) -> None:
    with pytest.raises(ValueError):
        parse_members(answer)


ROWS = [
    ["5", "tini -- bash -c pgbouncer … & wait; exec sleep infinity"],
    ["6", "bash -c pgbouncer … & wait; exec sleep infinity"],
    ["7", "/opt/patroni/bin/python3 /opt/patroni/bin/patroni /etc/patroni.json"],
    ["8", "pgbouncer /etc/pgbouncer/pgbouncer.ini"],
    ["12", "postgres: bench: checkpointer "],
    ["11", "/usr/lib/postgresql/17/bin/postgres -D /var/lib/postgresql/data --config-file=…"],
]


def test_postmaster_is_told_from_its_children_and_from_the_agent() -> None:
    assert postmaster(ROWS) == 11
    with pytest.raises(LookupError):
        postmaster(ROWS[:5])


def test_node_that_is_lost_keeps_only_its_address() -> None:
    assert processes_of_node(ROWS) == [7, 8, 12, 11]


def test_wait_is_the_longest_of_any_writer_that_ended_after_the_event() -> None:
    gaps = ((Gap(began_s=1, ended_s=9),), (Gap(began_s=10, ended_s=12.5), Gap(began_s=13, ended_s=14)))
    written = Written(acknowledged=4, errors=0, lost=0, unknown=0, gaps=gaps, gaps_of_all=())
    assert Met(written, at_s=10).wait_s == 2.5
    assert Met(written, at_s=20).wait_s == 0


def test_somebody_writes_again_while_another_still_waits() -> None:
    gaps = ((Gap(began_s=10, ended_s=40),), (Gap(began_s=10, ended_s=31),))
    written = Written(
        acknowledged=4, errors=9, lost=0, unknown=0, gaps=gaps, gaps_of_all=(Gap(began_s=10, ended_s=31),)
    )
    met = Met(written, at_s=11)
    assert (met.wait_s, met.writable_s) == (30, 20)
