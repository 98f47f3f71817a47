"""Each pooler of a former generation is followed until it is gone, and only then leaves the record."""

from datetime import UTC, datetime

import pytest

from model import effects
from model.cluster import ClusterState, Pooler, PoolerPhase, PoolMode
from model.errors import Refused
from model.facts import PoolersAre
from model.poolers import plan_generation
from tests.unit.workflows.runtime import Runtime, ScriptedRecord
from tests.workflows.samples import ready_cluster
from workflows.cluster.draining import Draining

SINCE = datetime(2025, 12, 31, tzinfo=UTC)


def drains(pooler: Pooler, since: datetime | None = SINCE) -> Pooler:
    return pooler.model_copy(update={"phase": PoolerPhase.DRAINING, "draining_since": since})


def two_generations(*, since: datetime | None = SINCE) -> ClusterState:
    """A cluster whose first generation drains beside the second."""
    state = ready_cluster()
    old = state.status.poolers
    new = plan_generation(state.spec.id, 2, PoolMode.SESSION, old)
    poolers = (*(drains(each, since) for each in old), *new)
    return state.model_copy(update={"status": state.status.model_copy(update={"poolers": poolers})})


class Drained:
    """A cluster two of whose poolers drain, each until the test says so."""

    def __init__(self, runtime: Runtime, state: ClusterState) -> None:
        self.record = ScriptedRecord(state, runtime)
        self.draining = Draining(self.record)
        self.old, self.new = state.status.poolers[:2], state.status.poolers[2:]

    @property
    def names(self) -> list[str]:
        return [pooler.name for pooler in self.record.status.poolers]


@pytest.fixture
def drained(runtime: Runtime) -> Drained:
    return Drained(runtime, two_generations())


def followed(runtime: Runtime) -> list[str]:
    return [pooler.name for arg in runtime.args[effects.DRAIN_POOLERS.name] for pooler in arg.poolers]


async def test_each_draining_pooler_is_followed_once_and_no_other(runtime: Runtime, drained: Drained):
    for _ in drained.old:
        runtime.lasts(effects.DRAIN_POOLERS)
    for _ in range(3):
        drained.draining.begin()
        await runtime.rest()
    assert followed(runtime) == [pooler.name for pooler in drained.old]


async def test_drained_pooler_leaves_the_record_as_it_is_by_then(runtime: Runtime, drained: Drained):
    first, second = (runtime.lasts(effects.DRAIN_POOLERS) for _ in drained.old)
    drained.draining.begin()
    await runtime.until(lambda: len(followed(runtime)) == 2)
    # A third generation comes meanwhile.
    more = plan_generation(drained.record.spec.id, 3, PoolMode.TRANSACTION, drained.record.status.poolers)
    drained.record.learn(PoolersAre(poolers=(*drained.record.status.poolers, *more)))
    second.set_result(effects.Nothing())
    await runtime.until(lambda: drained.old[1].name not in drained.names)
    assert drained.names == [each.name for each in (drained.old[0], *drained.new, *more)]
    first.set_result(effects.Nothing())
    await runtime.until(lambda: drained.names == [each.name for each in (*drained.new, *more)])


async def test_pooler_that_could_not_be_drained_stays_on_record_and_is_followed_again(
    runtime: Runtime, drained: Drained
):
    runtime.plan(effects.DRAIN_POOLERS, Refused("Its console does not answer."))
    other = runtime.lasts(effects.DRAIN_POOLERS)
    drained.draining.begin()
    await runtime.until(lambda: len(followed(runtime)) == 2)
    await runtime.rest()
    assert drained.old[0].name in drained.names
    drained.draining.begin()
    await runtime.until(lambda: drained.old[0].name not in drained.names)
    assert followed(runtime) == [drained.old[0].name, drained.old[1].name, drained.old[0].name]
    assert not other.done()


@pytest.mark.parametrize("since", [SINCE, None])
async def test_time_to_drain_counts_from_its_beginning_or_from_now(runtime: Runtime, since: datetime | None):
    runtime.passed = 60
    drained = Drained(runtime, two_generations(since=since))
    drained.draining.begin()
    await runtime.until(lambda: drained.names == [each.name for each in drained.new])
    asked = runtime.args[effects.DRAIN_POOLERS.name]
    assert [arg.since for arg in asked] == [since or runtime.now()] * 2
    assert [arg.endpoint for arg in asked] == [drained.record.status.endpoint] * 2


async def test_poolers_followed_no_more_stay_on_record_as_draining(runtime: Runtime, drained: Drained):
    ends = [runtime.lasts(effects.DRAIN_POOLERS) for _ in drained.old]
    drained.draining.begin()
    await runtime.until(lambda: len(followed(runtime)) == 2)
    drained.draining.stop()
    await runtime.until(lambda: all(end.cancelled() for end in ends))
    await runtime.rest()
    assert drained.record.status.poolers == (*drained.old, *drained.new)
