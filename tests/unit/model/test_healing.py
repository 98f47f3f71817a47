"""What is done about a loss."""

import pytest

from model.cluster import Durability
from model.effects import Alarm, AlarmKind
from model.facts import InSync, apply
from model.healing import LONGEST_PAUSE_S, Remedy, pause_s, remedy
from tests.workflows.samples import ready_cluster, without_replica


def lost(name: str) -> Alarm:
    return Alarm(kind=AlarmKind.NODE, name=name, how="its process ended")


@pytest.mark.parametrize(
    ("durability", "in_sync", "replica", "name", "wanted"),
    [
        (Durability.SYNC, True, True, "a", Remedy.FAIL_OVER),
        (Durability.SYNC, False, True, "a", Remedy.RESTART_PRIMARY),
        (Durability.SYNC, True, False, "a", Remedy.RESTART_PRIMARY),
        (Durability.ASYNC, False, True, "a", Remedy.FAIL_OVER),
        (Durability.ASYNC, False, False, "a", Remedy.RESTART_PRIMARY),
        (Durability.SYNC, True, True, "b", Remedy.REPAIR_REPLICA),
    ],
)
def test_what_a_lost_node_calls_for(
    durability: Durability, in_sync: bool, replica: bool, name: str, wanted: Remedy
) -> None:
    state = apply(ready_cluster(durability=durability), [InSync(name="b", value=in_sync)])
    if not replica:
        state = without_replica(state)
    assert remedy(state, lost(name)) is wanted


def test_lost_pooler_is_mended_and_promotes_nobody() -> None:
    alarm = Alarm(kind=AlarmKind.WAY_IN, name="pooler-1-1", how="its container does not run")
    assert remedy(ready_cluster(), alarm) is Remedy.MEND_WAY_IN


def test_pause_between_vain_attempts_doubles_up_to_its_bound() -> None:
    assert [pause_s(failures) for failures in (0, 1, 2, 3)] == [0, 2, 4, 8]
    assert pause_s(50) == LONGEST_PAUSE_S
