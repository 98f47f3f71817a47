"""PgBouncer's limits and configuration, rendered from the plan."""

import configparser

import pytest

from activities.routing.pooler_files import limits_by_pooler, pgbouncer_ini, pooler_limits, userlist
from model.cluster import Pooler, PoolerPhase, PoolMode, Tls
from model.plans import DEFAULT_PLANS


def _pooler(number: int, *, generation: int = 1, mode: PoolMode = PoolMode.TRANSACTION) -> Pooler:
    return Pooler(
        name=f"pooler-{generation}-{number}",
        container=f"c{generation}{number}",
        generation=generation,
        port=6440 + number + 10 * generation,
        peer_id=number + 10 * generation,
        phase=PoolerPhase.RUNNING,
        pool_mode=mode,
    )


@pytest.mark.parametrize(
    ("plan", "first", "second"),
    [
        ("basic", (200, 25, 5, 30), (200, 25, 5, 30)),
        ("launch", (500, 75, 15, 90), (500, 75, 15, 90)),
        ("performance", (1000, 150, 25, 175), (1000, 150, 25, 175)),
    ],
)
def test_two_poolers_share_a_plans_servers(plan: str, first: tuple[int, ...], second: tuple[int, ...]) -> None:
    for index, expected in enumerate((first, second)):
        limits = pooler_limits(DEFAULT_PLANS[plan], index, 2)
        assert (limits.clients, limits.pool, limits.reserve, limits.servers) == expected


@pytest.mark.parametrize("servers", range(2, 60, 7))
@pytest.mark.parametrize("reserve", [0, 1, 9])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_poolers_together_never_open_more_than_the_plan_allows(servers: int, reserve: int, count: int) -> None:
    plan = DEFAULT_PLANS["basic"].model_copy(
        update={"max_database_connections": max(servers, count), "reserve_pool": reserve}
    )
    total = sum(pooler_limits(plan, index, count).servers for index in range(count))
    assert total == plan.max_database_connections + reserve


def test_each_generation_has_the_plan_to_itself() -> None:
    poolers = [_pooler(1), _pooler(2), _pooler(1, generation=2), _pooler(2, generation=2)]
    limits = limits_by_pooler(DEFAULT_PLANS["basic"], poolers)
    assert {each.servers for each in limits.values()} == {30}


def _parsed(pooler: Pooler, *peers: Pooler) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    limits = pooler_limits(DEFAULT_PLANS["basic"], 0, 2)
    parser.read_string(pgbouncer_ini(pooler, [pooler, *peers], limits, "10.9.0.3"))
    return parser


def test_every_living_pooler_is_a_peer_by_its_socket() -> None:
    peers = _parsed(_pooler(1), _pooler(2), _pooler(1, generation=2))["peers"]
    assert dict(peers) == {
        "11": "host=/run/mpg port=6451",
        "12": "host=/run/mpg port=6452",
        "21": "host=/run/mpg port=6461",
    }


def test_prepared_statements_are_followed_in_transaction_mode_only() -> None:
    assert _parsed(_pooler(1))["pgbouncer"]["max_prepared_statements"] == "200"
    assert _parsed(_pooler(1, mode=PoolMode.SESSION))["pgbouncer"]["max_prepared_statements"] == "0"


def test_clients_sit_out_the_longest_pause() -> None:
    assert int(_parsed(_pooler(1))["pgbouncer"]["query_wait_timeout"]) >= 60


def test_every_database_leads_to_the_primary() -> None:
    databases = _parsed(_pooler(1))["databases"]
    assert dict(databases) == {"*": "host=10.9.0.3 port=5432 auth_user=mpg_pooler"}


def test_userlist_has_the_platforms_two_users_and_nobody_else() -> None:
    lines = userlist("abcdefgh12345678", b"k" * 32).splitlines()
    assert [line.split()[0] for line in lines] == ['"mpg_pooler"', '"mpg_admin"']


@pytest.mark.parametrize(
    ("tls", "client", "server"),
    [(Tls.OFF, None, None), (Tls.OFFERED, "allow", "disable"), (Tls.REQUIRED, "require", "require")],
)
def test_poolers_encrypt_what_clients_ask_for_and_to_nodes_where_those_insist(
    tls: Tls, client: str | None, server: str | None
) -> None:
    found = _parsed(_pooler(1).model_copy(update={"tls": tls}))["pgbouncer"]
    assert (found.get("client_tls_sslmode"), found.get("server_tls_sslmode")) == (client, server)
    # Else a RELOAD reads the system's bundle of authorities.
    assert ("client_tls_ca_file" in found, "server_tls_ca_file" in found) == (tls is not Tls.OFF,) * 2
