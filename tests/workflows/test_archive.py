"""What a takeover does about the archive: closed once clients are served and the replica is back, in nobody's way."""

import asyncio
from datetime import UTC, datetime

import pytest

from model.backups import ARCHIVE_GAP, ARCHIVE_UNKNOWN, Backups, Repository, RepositoryKind
from model.cluster import ARCHIVING_FAILS, ClusterState, Condition
from model.effects import Alarm, AlarmKind, GapInput, GapReport
from model.errors import Refused
from model.facts import ConditionIs, InSync, PrimaryIs, apply
from model.names import cluster_workflow_id, kept_workflow_id
from model.operations import (
    ChangePlanRequest,
    DestroyClusterRequest,
    OperationRequest,
    RestartRequest,
    SwitchoverRequest,
)
from model.restore import KeptCluster
from tests.workflows.bench import Bench, until
from tests.workflows.samples import MADE_AT, ready_cluster
from tests.workflows.stubs import Behaviour, Call, Stubs, fails, hangs

TOLD = {"switch_primary", "fail_over", "ensure_node", "close_archive_gap"}
KEPT = Backups(repository=Repository(kind=RepositoryKind.VOLUME, key_id="0123456789abcdef"))
STORED = Backups(repository=KEPT.repository.model_copy(update={"kind": RepositoryKind.S3}))


def backed_up(backups: Backups | None = KEPT) -> ClusterState:
    state = ready_cluster()
    return state.model_copy(update={"spec": state.spec.model_copy(update={"backups": backups})})


def told(bench: Bench) -> list[str]:
    """What was done about nodes and the archive, by the first two words of each."""
    return [" ".join(call.text.split()[:3]) for call in bench.stubs.calls if call.effect in TOLD]


@pytest.mark.parametrize("request_type", [SwitchoverRequest, RestartRequest])
async def test_gap_is_closed_after_the_replica_is_back(bench: Bench, request_type: type[OperationRequest]) -> None:
    state = backed_up()
    await bench.cluster(state)
    await bench.run(request_type(cluster_id=state.spec.id))
    assert told(bench) == ["switch_primary to=b", "ensure_node a replica", "close_archive_gap of b"]


async def test_change_of_plan_closes_it_once(bench: Bench) -> None:
    state = backed_up()
    await bench.cluster(state)
    await bench.run(ChangePlanRequest(cluster_id=state.spec.id, plan="launch"))
    assert told(bench) == [
        "ensure_node b replica",
        "switch_primary to=b",
        "ensure_node a replica",
        "close_archive_gap of b",
    ]


async def test_cluster_without_backups_has_no_archive(bench: Bench) -> None:
    state = backed_up(None)
    await bench.cluster(state)
    await bench.run(SwitchoverRequest(cluster_id=state.spec.id))
    assert told(bench) == ["switch_primary to=b", "ensure_node a replica"]


async def fail_over(bench: Bench, state: ClusterState) -> None:
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, Alarm(kind=AlarmKind.NODE, name="a", how="its process ended"))

    async def closed() -> bool:
        return any(call.effect == "close_archive_gap" for call in bench.stubs.calls)

    await until(closed)


async def test_gap_is_closed_after_a_failover(bench: Bench) -> None:
    await fail_over(bench, backed_up())
    assert told(bench) == ["fail_over to=b", "ensure_node a replica", "close_archive_gap of b"]


async def test_gap_is_closed_where_the_lost_node_does_not_come_back(bench: Bench) -> None:
    bench.stubs.plan("ensure_node a replica rejoin plan=basic follows=b", fails())
    await fail_over(bench, backed_up())
    assert told(bench)[-1] == "close_archive_gap of b"


async def test_takeover_is_done_where_the_gap_cannot_be_closed(bench: Bench) -> None:
    state = backed_up()
    bench.stubs.plan("close_archive_gap of b", fails(Refused("Not today.")))
    await bench.cluster(state)
    assert (await bench.run(SwitchoverRequest(cluster_id=state.spec.id))).changed


async def test_wal_that_nobody_has_is_a_condition(bench: Bench) -> None:
    state = backed_up()
    bench.stubs.answers["close_archive_gap"] = GapReport(handed_over=2, lost="000000010000000000000007")
    await bench.cluster(state)
    await bench.run(SwitchoverRequest(cluster_id=state.spec.id))
    condition = (await bench.free(state.spec.id)).state.status.condition(ARCHIVE_GAP)
    assert condition is not None
    assert "000000010000000000000007" in condition.message


@pytest.mark.parametrize("lost", [False, True])
async def test_takeover_is_on_record_until_the_gap_is_closed(bench: Bench, lost: bool) -> None:
    """A backup made while the replica comes back would hide what the archive lacks from before it."""
    state, begun = backed_up(), asyncio.Event()
    how = "rejoin" if lost else "keep"
    bench.stubs.plan(f"ensure_node a replica {how} plan=basic follows=b", hangs(bench.stubs, begun))
    await bench.cluster(state)
    if lost:
        bench.stubs.alarm(state.spec.id, Alarm(kind=AlarmKind.NODE, name="a", how="its process ended"))
    else:
        await bench.start(SwitchoverRequest(cluster_id=state.spec.id))
    await asyncio.wait_for(begun.wait(), 10)
    since = (await bench.view(state.spec.id)).state.status.backups.unclosed_since
    assert since is not None
    bench.stubs.released.set()
    status = (await bench.free(state.spec.id)).state.status
    asked = next(call.arg for call in bench.stubs.calls if call.effect == "close_archive_gap")
    assert isinstance(asked, GapInput)
    assert asked.unknown_since == since
    assert (status.backups.unclosed_since, status.conditions) == (None, ())


async def condition(bench: Bench, state: ClusterState, type: str) -> Condition | None:
    return (await bench.view(state.spec.id)).state.status.condition(type)


def looks(bench: Bench, state: ClusterState) -> int:
    """How often the cluster itself looked at its archive."""
    own = cluster_workflow_id(state.spec.id)
    return sum(call.effect == "close_archive_gap" and call.workflow_id == own for call in bench.stubs.calls)


@pytest.mark.parametrize("fault", [None, Refused("Not today.")])
async def test_what_is_not_known_of_the_archive_is_a_condition(bench: Bench, fault: Refused | None) -> None:
    state = backed_up()
    if fault is None:
        bench.stubs.answers["close_archive_gap"] = GapReport(handed_over=4, unknown="Not today.")
    else:
        bench.stubs.plan("close_archive_gap of b", fails(fault))
    await bench.cluster(state)
    await bench.run(SwitchoverRequest(cluster_id=state.spec.id))
    told = await condition(bench, state, ARCHIVE_UNKNOWN)
    assert told is not None
    assert "Not today." in told.message
    assert await condition(bench, state, ARCHIVE_GAP) is None


@pytest.mark.parametrize("lost", [None, "000000010000000000000007"])
async def test_it_is_looked_at_again_when_archiving_works_again(bench: Bench, lost: str | None) -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    held = [Condition(type=each, status=True, since=since, message="m") for each in (ARCHIVE_UNKNOWN, ARCHIVING_FAILS)]
    state = apply(backed_up(), [ConditionIs(condition=each) for each in held])
    bench.stubs.answers["close_archive_gap"] = GapReport(lost=lost)
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, Alarm(kind=AlarmKind.ARCHIVING, name="archiving", how="it fails"))

    async def still_fails() -> bool:
        told = await condition(bench, state, ARCHIVING_FAILS)
        return told is not None and told.message == "it fails"

    await until(still_fails)
    assert looks(bench, state) == 0, "nothing has changed"
    bench.stubs.alarm(state.spec.id, Alarm(kind=AlarmKind.ARCHIVING, name="archiving", how=""))

    async def known() -> bool:
        return await condition(bench, state, ARCHIVE_UNKNOWN) is None

    await until(known)
    assert looks(bench, state) == 1
    asked = next(call.arg for call in bench.stubs.calls if call.effect == "close_archive_gap")
    assert isinstance(asked, GapInput)
    assert not asked.release, "a switchover may hold the archiver meanwhile"
    assert asked.unknown_since == since, "a backup made since then hides no hole before it"
    assert (await condition(bench, state, ARCHIVE_GAP) is None) is (lost is None)


async def test_failover_that_ends_after_its_promotion_leaves_nothing_unseen(bench: Bench) -> None:
    state, begun = backed_up(), asyncio.Event()
    rejoin = "ensure_node a replica rejoin plan=basic follows=b"
    bench.stubs.plan(rejoin, hangs(bench.stubs, begun))
    await bench.cluster(state)
    bench.stubs.alarm(state.spec.id, Alarm(kind=AlarmKind.NODE, name="a", how="its process ended"))
    await asyncio.wait_for(begun.wait(), 10)
    since = (await bench.view(state.spec.id)).state.status.backups.unclosed_since
    [failover] = {call.workflow_id for call in bench.stubs.calls if call.text == rejoin}
    await bench.client.get_workflow_handle(failover).terminate("by an operator")

    async def told() -> bool:
        return await condition(bench, state, ARCHIVE_UNKNOWN) is not None

    await until(told)
    bench.stubs.released.set()
    bench.stubs.alarm(state.spec.id, Alarm(kind=AlarmKind.ARCHIVING, name="archiving", how=""))

    async def known() -> bool:
        return not await told()

    await until(known)
    assert looks(bench, state) == 1
    asked = next(call.arg for call in bench.stubs.calls if call.effect == "close_archive_gap")
    assert isinstance(asked, GapInput)
    assert (asked.primary.name, asked.unknown_since) == ("b", since)
    assert (await bench.view(state.spec.id)).state.status.backups.unclosed_since is None


HOLE = GapReport(lost="000000010000000000000007", intact_until=MADE_AT)
UNKNOWN = "It is not known whether its archive lacks WAL that a former primary wrote: "


def left_open() -> ClusterState:
    """A cluster whose b took over from a, and nobody saw yet what its archive lacks."""
    taken_over = PrimaryIs(name="b", timeline=2, since=MADE_AT)
    # With this the cluster's own workflow waits with its looks.
    fails = ConditionIs(condition=Condition(type=ARCHIVING_FAILS, status=True, since=MADE_AT, message="m"))
    return apply(backed_up(), [taken_over, InSync(name="a", value=True), fails])


def reports(stubs: Stubs, report: GapReport | Refused) -> Behaviour:
    """Answer so, from then on."""

    async def behaviour(call: Call) -> None:
        if isinstance(report, Refused):
            raise report
        stubs.answers[call.effect] = report

    return behaviour


@pytest.mark.parametrize(
    ("found", "told", "holes"),
    [
        ([GapReport()], "", 0),
        # Handed over, and seen once more when the archiver has done its work.
        ([GapReport(handed_over=2), GapReport()], "", 0),
        ([GapReport(handed_over=2), GapReport(handed_over=1)], f"{UNKNOWN}1 segments are in the archiver's queue", 0),
        # As long as some are rescued there may be more.
        ([GapReport(rescued=200, unknown="There are more."), GapReport(rescued=3)], "", 0),
        ([GapReport(unknown="The store gives no answer.")], f"{UNKNOWN}The store gives no answer.", 0),
        ([Refused("Not today.")], f"{UNKNOWN}Not today.", 0),
        ([HOLE], "WAL is lost: no moment from 2026-01-01 00:00:00 UTC on can be restored.", 1),
    ],
)
async def test_what_a_former_primary_has_is_archived_before_it_is_removed(
    bench: Bench, found: list[GapReport | Refused], told: str, holes: int
) -> None:
    state = left_open()
    for number, report in enumerate(found, 1):
        bench.stubs.plan("close_archive_gap of b", reports(bench.stubs, report), number)
    cluster = await bench.cluster(state)
    gone = await bench.run(DestroyClusterRequest(cluster_id=state.spec.id, keep_backups_days=7))
    assert told in gone.message
    assert ("WAL" in gone.message) is bool(told)
    done = [call for call in bench.stubs.calls if call.effect in {"close_archive_gap", "remove_cluster"}]
    assert [call.effect for call in done] == [*["close_archive_gap"] * len(found), "remove_cluster"]
    assert {call.arg.unknown_since for call in done if isinstance(call.arg, GapInput)} == {MADE_AT}
    keeper = bench.client.get_workflow_handle(kept_workflow_id(state.spec.id))
    kept = await keeper.query("kept", result_type=KeptCluster)
    assert kept.flushed is not bool(told)
    recorded = (await cluster.result()).status.backups.holes
    assert [len(kept.state.status.backups.holes), len(recorded)] == [holes, holes]
    assert not any(call.effect == "take_backup" for call in bench.stubs.calls)
    await keeper.terminate()


@pytest.mark.parametrize(("backups", "removed"), [(None, 0), (KEPT, 0), (STORED, 1)])
async def test_backups_in_a_store_go_with_the_cluster(bench: Bench, backups: Backups | None, removed: int) -> None:
    state = backed_up(backups)
    await bench.cluster(state)
    await bench.run(DestroyClusterRequest(cluster_id=state.spec.id, keep_backups_days=0))
    assert [call.effect for call in bench.stubs.calls].count("remove_repository") == removed
