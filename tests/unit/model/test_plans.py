"""The table of plans, and what of a plan a host can give."""

from pathlib import Path

import pytest

from model.errors import HostTooSmall, InvalidInput
from model.plans import DEFAULT_PLANS, HostCapacity, Resources, find_plan, fit, load_plans

SMALL = HostCapacity(cpus=2, memory_mb=4096)


def test_unknown_plan_is_answered_with_those_there_are():
    with pytest.raises(InvalidInput, match="There is no plan 'huge'; the plans are basic, starter, launch"):
        find_plan(DEFAULT_PLANS, "huge")


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("performance", "Plan performance needs 8 CPUs, this host has 2."),
        ("launch", "Plan launch needs 8 GB of memory, this host has 4.0 GB."),
    ],
)
def test_plan_larger_than_the_host_is_refused_with_the_numbers(plan: str, said: str):
    with pytest.raises(HostTooSmall) as caught:
        fit(DEFAULT_PLANS[plan], SMALL, allow_overcommit=False)
    assert caught.value.message == said
    assert "MPG_ALLOW_OVERCOMMIT" in caught.value.remedy


def test_overcommit_gives_what_the_host_has():
    fitted = fit(DEFAULT_PLANS["performance"], SMALL, allow_overcommit=True)
    assert fitted == Resources(cpus=2, memory_mb=4096)


def test_plan_that_fits_is_given_whole():
    assert fit(DEFAULT_PLANS["starter"], SMALL, allow_overcommit=False) == Resources(cpus=2, memory_mb=2048)


def test_operator_replaces_the_table(tmp_path: Path):
    path = tmp_path / "plans.toml"
    path.write_text(
        "[plans.tiny]\ncpus = 1\nmemory_mb = 512\n"
        "max_client_connections = 10\nmax_database_connections = 5\nreserve_pool = 1\n"
    )
    assert list(load_plans(path)) == ["tiny"]
    assert load_plans(None) is DEFAULT_PLANS


@pytest.mark.parametrize("text", ["", "[plans]", "[plans.tiny]\ncpus = 0", "plans = 3", "[plans.tiny"])
def test_table_that_cannot_be_used_is_named(tmp_path: Path, text: str):
    path = tmp_path / "plans.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"plans\.toml"):
        load_plans(path)
