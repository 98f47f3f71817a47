"""What a takeover does about the archive: closed once clients are served and the replica is back, in nobody's way."""

import pytest

from model.backups import ARCHIVE_GAP, Backups, Repository, RepositoryKind
from model.cluster import ClusterState
from model.effects import Alarm, AlarmKind, GapReport
from model.errors import Refused
from model.operations import (
    ChangePlanRequest,
    DestroyClusterRequest,
    OperationRequest,
    RestartRequest,
    SwitchoverRequest,
)
from tests.workflows.bench import Bench, until
from tests.workflows.samples import ready_cluster
from tests.workflows.stubs import fails

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


@pytest.mark.parametrize(("backups", "removed"), [(None, 0), (KEPT, 0), (STORED, 1)])
async def test_backups_in_a_store_go_with_the_cluster(bench: Bench, backups: Backups | None, removed: int) -> None:
    state = backed_up(backups)
    await bench.cluster(state)
    await bench.run(DestroyClusterRequest(cluster_id=state.spec.id, keep_backups_days=0))
    assert [call.effect for call in bench.stubs.calls].count("remove_repository") == removed
