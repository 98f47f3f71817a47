"""What a repair does about a replica that does not come back: nothing that it has goes before a copy is in sync."""

import pytest

from model.cluster import ClusterState
from model.effects import Alarm, AlarmKind, DataVerdict
from model.errors import HostFull, NotFound, Refused, ReplicaBehind
from tests.workflows.bench import Bench, until
from tests.workflows.samples import ready_cluster
from tests.workflows.stubs import Behaviour, fails

LOST_B = Alarm(kind=AlarmKind.NODE, name="b", how="its process ended")
REWIND = "ensure_node b replica rejoin plan=basic follows=a"
BESIDE, AHEAD, IN_PLACE = f"{REWIND} beside", f"{REWIND} ahead", f"{REWIND} in_place"
CAUGHT_UP = "await_caught_up b behind a for 600s"
LEAD = "set_routes pooled=6441+6442 direct=a read_only=b"
NO_ROOM = HostFull("The disk of mpg-x-b is full.")
ENDED = Refused("Postgres in mpg-x-b ended.")
"""Of a type that is not tried again: the tests need not wait."""
EVIDENCE = DataVerdict(evidence="its control file is gone")
TOLD = {"ensure_node", "examine_data", "require_writes", "discard_former", "remove_node", "settle_cluster"}


async def lose_b(bench: Bench) -> ClusterState:
    state = ready_cluster()
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, LOST_B)
    return state


async def healed(bench: Bench, state: ClusterState) -> None:
    async def so() -> bool:
        view = await bench.view(state.spec.id)
        replica = view.state.status.replica
        asked = any(call.effect == "ensure_node" for call in bench.stubs.calls)
        return asked and view.operation is None and replica is not None and replica.in_sync

    await until(so)


async def degraded(bench: Bench, state: ClusterState) -> str:
    """Return what is said of a replica that a repair has not brought back, once that is said."""

    async def so() -> bool:
        return "does not come back" in await _said(bench, state)

    await until(so)
    return await _said(bench, state)


async def _said(bench: Bench, state: ClusterState) -> str:
    return "; ".join(each.message for each in (await bench.view(state.spec.id)).state.status.conditions)


def done(bench: Bench) -> list[str]:
    """What was done about the node's data, in order, each once however often it was tried."""
    texts = [call.text for call in bench.stubs.calls if call.effect in TOLD]
    return [text for index, text in enumerate(texts) if index == 0 or text != texts[index - 1]]


@pytest.mark.parametrize(
    ("step", "behaviour"),
    [
        (REWIND, fails(NotFound("Docker: No such image: mpg-node:17."))),
        (REWIND, fails(NO_ROOM)),
        (REWIND, fails(ENDED)),
        (CAUGHT_UP, fails(ReplicaBehind("Replica b has not caught up."))),
    ],
)
async def test_error_alone_removes_nothing_and_the_repair_is_tried_again(
    bench: Bench, step: str, behaviour: Behaviour
) -> None:
    bench.stubs.plan(step, behaviour)
    state = await lose_b(bench)
    await degraded(bench, state)
    assert done(bench) == [REWIND, "examine_data b"]
    await healed(bench, state)
    assert done(bench) == [REWIND, "examine_data b", REWIND, "discard_former b"]
    assert (await bench.view(state.spec.id)).state.status.conditions == ()


async def test_data_that_cannot_follow_go_only_once_the_copy_beside_them_is_in_sync(bench: Bench) -> None:
    bench.stubs.plan(REWIND, fails(ENDED))
    bench.stubs.answers["examine_data"] = EVIDENCE
    state = await lose_b(bench)
    await healed(bench, state)
    assert done(bench) == [REWIND, "examine_data b", "require_writes a", BESIDE, "discard_former b"]
    calls = [call.text for call in bench.stubs.calls]
    assert calls.index(BESIDE) < calls.index("set_synchronous on=a standby=b") < calls.index("discard_former b")
    fenced = [index for index, text in enumerate(calls) if text == "fence_node b"]
    assert calls.index("require_writes a") < fenced[-1] < calls.index(BESIDE)


@pytest.mark.parametrize("step", [BESIDE, CAUGHT_UP, "set_synchronous on=a standby=b"])
async def test_data_stay_while_the_copy_is_not_in_sync(bench: Bench, step: str) -> None:
    bench.stubs.plan(REWIND, fails(ENDED))
    bench.stubs.plan(step, fails(Refused("It was cut short.")))
    bench.stubs.answers["examine_data"] = EVIDENCE
    state = await lose_b(bench)
    await degraded(bench, state)
    assert done(bench) == [REWIND, "examine_data b", "require_writes a", BESIDE]


async def test_nothing_is_copied_from_a_node_that_takes_no_writes(bench: Bench) -> None:
    bench.stubs.plan(REWIND, fails(ENDED))
    bench.stubs.plan("require_writes a", fails(Refused("The node at 10.213.0.3 is a standby: it takes no writes.")))
    bench.stubs.answers["examine_data"] = EVIDENCE
    state = await lose_b(bench)
    assert "is a standby" in await degraded(bench, state)
    assert done(bench) == [REWIND, "examine_data b", "require_writes a"]


async def test_without_room_for_a_copy_beside_data_that_are_of_no_use_they_make_room(bench: Bench) -> None:
    bench.stubs.plan(REWIND, fails(ENDED))
    bench.stubs.plan(BESIDE, fails(NO_ROOM))
    bench.stubs.answers["examine_data"] = EVIDENCE
    state = await lose_b(bench)
    await healed(bench, state)
    beside = ["require_writes a", BESIDE]
    assert done(bench) == [REWIND, "examine_data b", *beside, "require_writes a", IN_PLACE, "discard_former b"]


async def test_data_ahead_of_the_primary_stay_also_where_there_is_no_room_for_a_copy(bench: Bench) -> None:
    bench.stubs.plan(REWIND, fails(ENDED))
    bench.stubs.plan(AHEAD, fails(NO_ROOM))
    bench.stubs.answers["examine_data"] = EVIDENCE.model_copy(update={"ahead": True})
    state = await lose_b(bench)
    assert "The disk of mpg-x-b is full" in await degraded(bench, state)
    assert done(bench) == [REWIND, "examine_data b", "require_writes a", AHEAD]


async def test_without_room_and_without_evidence_the_cluster_says_so(bench: Bench) -> None:
    bench.stubs.plan(REWIND, fails(NO_ROOM))
    state = await lose_b(bench)
    assert await degraded(bench, state) == (
        "b was lost (its process ended) and does not come back; it is tried again. The disk of mpg-x-b is full."
    )


async def test_replica_in_sync_is_not_rebuilt_because_the_way_to_it_could_not_be_set(bench: Bench) -> None:
    bench.stubs.plan(LEAD, fails(Refused("The endpoint does not take its rules.")))
    state = await lose_b(bench)
    await healed(bench, state)
    assert done(bench) == [REWIND, "settle_cluster"]


async def test_replica_is_back_though_what_it_had_could_not_be_removed(bench: Bench) -> None:
    bench.stubs.plan("discard_former b", fails(Refused("Node mpg-x-b does not run.")))
    state = await lose_b(bench)
    await healed(bench, state)
    assert (await bench.view(state.spec.id)).state.status.conditions == ()
