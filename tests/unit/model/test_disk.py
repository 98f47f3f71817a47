"""Whether a disk can hold what clusters were promised."""

import pytest

from model.disk import Promise, require_room
from model.errors import HostFull
from model.storage import GB


def promise(name: str, promised_gb: float, used_gb: float = 0) -> Promise:
    return Promise(cluster_id=name, promised_bytes=int(promised_gb * GB), used_bytes=int(used_gb * GB))


@pytest.mark.parametrize(
    ("free_gb", "others", "wanted", "fits"),
    [
        (20, [], promise("new", 20), True),
        (19.9, [], promise("new", 20), False),
        (40, [promise("x", 20)], promise("new", 20), True),
        (39.9, [promise("x", 20)], promise("new", 20), False),
        # What is used is not free any more, and is not claimed again.
        (30, [promise("x", 20, 10)], promise("new", 20), True),
        # One that uses more than it was promised gives the others nothing.
        (20, [promise("x", 20, 90)], promise("new", 20), True),
        (19, [promise("x", 20, 90)], promise("new", 20), False),
        # A cluster that grows has its own claim already.
        (15, [promise("grows", 20, 15)], promise("grows", 30, 15), True),
        (14.9, [promise("grows", 20, 15)], promise("grows", 30, 15), False),
    ],
)
def test_promises_have_to_fit(free_gb: float, others: list[Promise], wanted: Promise, fits: bool):
    if fits:
        require_room(int(free_gb * GB), others, wanted)
    else:
        with pytest.raises(HostFull):
            require_room(int(free_gb * GB), others, wanted)


def test_refusal_has_the_numbers_and_the_way_out():
    with pytest.raises(HostFull) as refused:
        require_room(30 * GB, [promise("x", 20, 4), promise("y", 20, 10)], promise("new", 20))
    for said in ("30.0 GB free", "2 other clusters were promised 40.0 GB", "26.0 GB are not used yet", "20.0 GB more"):
        assert said in refused.value.message
    assert "MPG_ALLOW_STORAGE_OVERCOMMIT" in refused.value.remedy
    with pytest.raises(HostFull, match="No other cluster has a claim to it"):
        require_room(GB, [], promise("new", 20))
