"""Somebody watches the cluster while it has something to lose, and what was seen is told."""

import pytest

from model import effects
from model.cluster import ClusterPhase
from model.effects import Alarm
from model.errors import Refused
from model.facts import InSync, PhaseIs
from tests.unit.workflows.cluster.alarms import A, B
from tests.unit.workflows.runtime import Runtime, ScriptedRecord
from tests.workflows.samples import ready_cluster
from workflows.cluster.watch import Watch

READY = PhaseIs(phase=ClusterPhase.READY)
DESTROYING = PhaseIs(phase=ClusterPhase.DESTROYING)


class Watched:
    """A watch, its cluster, and what it told."""

    def __init__(self, runtime: Runtime) -> None:
        self.record = ScriptedRecord(ready_cluster(), runtime)
        self.told: list[Alarm] = []
        self.watch = Watch(self.record, self.told.append)


@pytest.fixture
def watched(runtime: Runtime) -> Watched:
    return Watched(runtime)


def begun(runtime: Runtime) -> int:
    return len(runtime.args[effects.WATCH_CLUSTER.name])


async def test_cluster_is_watched_once_however_often_that_is_begun(runtime: Runtime, watched: Watched):
    runtime.lasts(effects.WATCH_CLUSTER)
    assert watched.watch.missing
    for _ in range(3):
        watched.watch.begin()
        assert not watched.watch.missing
        await runtime.rest()
    assert begun(runtime) == 1


@pytest.mark.parametrize(
    ("phase", "is_watched"),
    [
        (ClusterPhase.READY, True),
        (ClusterPhase.NEEDS_OPERATOR, True),
        (ClusterPhase.INITIALIZING, False),
        (ClusterPhase.DESTROYING, False),
        (ClusterPhase.DESTROYED, False),
    ],
)
async def test_cluster_is_watched_while_it_has_something_to_lose(
    runtime: Runtime, watched: Watched, phase: ClusterPhase, is_watched: bool
):
    runtime.lasts(effects.WATCH_CLUSTER)
    watched.record.learn(PhaseIs(phase=phase))
    assert watched.watch.missing is is_watched
    watched.watch.begin()
    await runtime.rest()
    assert begun(runtime) == is_watched


async def test_what_was_lost_is_told_and_the_watch_goes_on_with_what_is_recorded_by_then(
    runtime: Runtime, watched: Watched
):
    first, second = runtime.lasts(effects.WATCH_CLUSTER), runtime.lasts(effects.WATCH_CLUSTER)
    runtime.lasts(effects.WATCH_CLUSTER)
    watched.watch.begin()
    await runtime.until(lambda: begun(runtime) == 1)
    watched.record.learn(InSync(name="b", value=False))
    first.set_result(B)
    await runtime.until(lambda: begun(runtime) == 2)
    second.set_result(A)
    await runtime.until(lambda: begun(runtime) == 3)
    assert watched.told == [B, A]
    seen = [arg.status.replica.in_sync for arg in runtime.args[effects.WATCH_CLUSTER.name]]
    assert seen == [True, False, False]


async def test_watch_that_fails_is_tried_again_after_longer_pauses_until_one_tells(runtime: Runtime, watched: Watched):
    refused = Refused("There is no such host.")
    runtime.plan(effects.WATCH_CLUSTER, refused, refused, B, refused)
    runtime.lasts(effects.WATCH_CLUSTER)
    watched.watch.begin()
    tries: list[int] = []
    for _ in range(9):
        await runtime.rest()
        tries.append(begun(runtime))
        await runtime.pass_time(1)
    # Pauses of 2 s and 4 s; then the third try tells, the fourth fails, and the pause is 2 s again.
    assert tries == [1, 1, 2, 2, 2, 2, 4, 4, 5]
    assert watched.told == [B]
    assert not watched.watch.missing


async def test_watch_of_a_cluster_that_is_destroyed_ends_and_begins_with_the_next(runtime: Runtime, watched: Watched):
    first = runtime.lasts(effects.WATCH_CLUSTER)
    runtime.lasts(effects.WATCH_CLUSTER)
    watched.watch.begin()
    await runtime.until(lambda: begun(runtime) == 1)
    watched.record.learn(DESTROYING)
    first.set_result(B)
    await runtime.rest()
    assert begun(runtime) == 1
    assert not watched.watch.missing
    watched.record.learn(READY)
    assert watched.watch.missing
    watched.watch.begin()
    await runtime.until(lambda: begun(runtime) == 2)


async def test_stopped_watch_is_cancelled_and_tells_nothing(runtime: Runtime, watched: Watched):
    watching = runtime.lasts(effects.WATCH_CLUSTER)
    watched.watch.stop()
    watched.watch.begin()
    await runtime.until(lambda: begun(runtime) == 1)
    watched.watch.stop()
    await runtime.until(watching.cancelled)
    await runtime.rest()
    assert begun(runtime) == 1
    assert watched.told == []
