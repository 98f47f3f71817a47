"""Which ports and peer ids a generation of poolers gets."""

import pytest

from model.cluster import Pooler, PoolMode
from model.errors import HostFull
from model.names import LAST_POOLER_PORT
from model.poolers import next_generation, plan_generation

ID = "0123456789abcdef"


def test_generation_of_poolers_gets_what_no_living_one_has():
    first = plan_generation(ID, 1, PoolMode.SESSION, ())
    second = plan_generation(ID, 2, PoolMode.TRANSACTION, first)
    third = plan_generation(ID, 3, PoolMode.SESSION, second)
    assert [pooler.port for pooler in (*first, *second, *third)] == [6441, 6442, 6443, 6444, 6441, 6442]
    assert [pooler.peer_id for pooler in (*first, *second)] == [1, 2, 3, 4]
    assert [next_generation(()), next_generation((*first, *second))] == [1, 3]


def test_generation_planned_again_is_the_same():
    first = plan_generation(ID, 1, PoolMode.SESSION, ())
    assert plan_generation(ID, 1, PoolMode.SESSION, first) == first


def test_generation_is_refused_where_the_ports_inside_the_endpoint_give_out():
    living: list[Pooler] = []
    for generation in range(1, 30):
        living += plan_generation(ID, generation, PoolMode.SESSION, tuple(living))
    assert living[-1].port == LAST_POOLER_PORT - 1
    with pytest.raises(HostFull):
        plan_generation(ID, 30, PoolMode.SESSION, tuple(living))
