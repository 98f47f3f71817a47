"""Settings from resources, and the order of restarts that they ask for."""

import itertools

import pytest

from model.cluster import Durability
from model.plans import DEFAULT_PLANS, Resources
from model.tuning import (
    EQUAL_ON_ALL_NODES,
    RestartOrder,
    connection_limit,
    postgres_settings,
    restart_order,
    synchronous_standby_names,
)


def resources(plan: str) -> Resources:
    return Resources(cpus=DEFAULT_PLANS[plan].cpus, memory_mb=DEFAULT_PLANS[plan].memory_mb)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("basic", {"shared_buffers": "256MB", "effective_cache_size": "768MB", "work_mem": "7MB"}),
        ("launch", {"shared_buffers": "2048MB", "effective_cache_size": "6144MB", "max_wal_size": "4096MB"}),
        ("performance", {"shared_buffers": "16384MB", "work_mem": "64MB", "max_parallel_workers": "8"}),
    ],
)
def test_settings_follow_the_resources(plan: str, expected: dict[str, str]):
    assert expected.items() <= postgres_settings(resources(plan)).items()


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(DEFAULT_PLANS, 2)))
def test_no_change_of_plan_depends_on_the_order_of_restarts(old: str, new: str):
    order = restart_order(postgres_settings(resources(old)), postgres_settings(resources(new)))
    assert order is RestartOrder.EITHER


@pytest.mark.parametrize(
    ("change", "order"),
    [
        ({}, RestartOrder.EITHER),
        ({"max_connections": "600"}, RestartOrder.REPLICA_FIRST),
        ({"max_connections": "100"}, RestartOrder.PRIMARY_FIRST),
        ({"max_wal_senders": "20", "max_worker_processes": "32"}, RestartOrder.REPLICA_FIRST),
        ({"max_connections": "600", "max_wal_senders": "5"}, RestartOrder.IMPOSSIBLE),
    ],
)
def test_order_of_restarts(change: dict[str, str], order: RestartOrder):
    assert restart_order(EQUAL_ON_ALL_NODES, {**EQUAL_ON_ALL_NODES, **change}) is order


@pytest.mark.parametrize(
    ("durability", "standby", "expected"),
    [
        (Durability.SYNC, "b", 'FIRST 1 ("b")'),
        (Durability.SYNC, None, ""),
        (Durability.ASYNC, "b", ""),
    ],
)
def test_synchronous_standby(durability: Durability, standby: str | None, expected: str):
    assert synchronous_standby_names(durability, standby) == expected


def test_users_may_open_what_the_poolers_may():
    assert connection_limit(DEFAULT_PLANS["launch"]) == 180
