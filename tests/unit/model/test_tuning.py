"""Settings from resources."""

import pytest

from model.cluster import Durability
from model.plans import DEFAULT_PLANS, Resources
from model.tuning import (
    EQUAL_ON_ALL_NODES,
    connection_limit,
    postgres_settings,
    synchronous_standby_names,
    wal_bound_mb,
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


@pytest.mark.parametrize(
    ("plan", "storage_gb", "max_wal", "kept", "least"),
    [
        ("basic", 1, "128MB", "128MB", "32MB"),
        ("basic", 4, "512MB", "512MB", "128MB"),
        ("basic", 10, "1024MB", "512MB", "256MB"),
        ("launch", 10, "1280MB", "512MB", "256MB"),
        ("launch", 100, "4096MB", "512MB", "256MB"),
        ("performance", 1000, "16384MB", "512MB", "256MB"),
    ],
)
def test_wal_leaves_most_of_the_storage_to_the_data(plan: str, storage_gb: int, max_wal: str, kept: str, least: str):
    settings = postgres_settings(resources(plan), wal_bound_mb(resources(plan), storage_gb))
    assert (settings["max_wal_size"], settings["wal_keep_size"], settings["min_wal_size"]) == (max_wal, kept, least)


@pytest.mark.parametrize("plan", DEFAULT_PLANS)
def test_what_a_standby_must_have_as_high_as_its_primary_is_equal_on_every_plan(plan: str):
    assert EQUAL_ON_ALL_NODES.items() <= postgres_settings(resources(plan)).items()


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
