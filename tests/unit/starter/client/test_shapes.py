"""What `mpg status --json` promises to programs, to the letter."""

from datetime import UTC, datetime, timedelta

import pytest

from model.backups import BackupFailure, BackupRecord, BackupRun, BackupType, Hole
from model.cluster import ARCHIVING_FAILS, ClusterPhase, ClusterState, ClusterView, Condition, NodeRole
from model.drills import Proof
from model.facts import BackupRecordIs, ConditionIs, PhaseIs, apply
from model.storage import GB, NodeUsage, StorageLook
from model.storage_facts import facts_after
from starter.client import shapes
from starter.client.shapes import ClusterStatusShape, cluster, cluster_status, deleted_cluster
from starter.client.storage_shapes import storage_shape, with_look
from tests.workflows.samples import MADE_AT, backup, ready_cluster


@pytest.fixture
def state() -> ClusterState:
    return ready_cluster()


def shape(state: ClusterState) -> ClusterStatusShape:
    return cluster_status(ClusterView(state=state))


def in_sync(state: ClusterState) -> dict[str, object]:
    return {node["role"]: node["in_sync"] for node in shape(state).model_dump(mode="json")["nodes"]}


def test_only_a_replica_is_in_sync_or_not(state: ClusterState) -> None:
    assert in_sync(state) == {"primary": None, "replica": True}
    behind = tuple(node.model_copy(update={"in_sync": False}) for node in state.status.nodes)
    state = state.model_copy(update={"status": state.status.model_copy(update={"nodes": behind})})
    assert in_sync(state) == {"primary": None, "replica": False}


def test_a_node_has_the_fields_that_programs_read(state: ClusterState) -> None:
    [primary] = [node for node in shape(state).model_dump(mode="json")["nodes"] if node["role"] == NodeRole.PRIMARY]
    assert set(primary) == {
        "name", "role", "status", "plan", "cpus", "memory_mb", "container", "timeline", "lag_bytes", "in_sync",
    }  # fmt: skip


def with_backups(state: ClusterState, **known: object) -> dict[str, object]:
    status = apply(state, [BackupRecordIs(record=BackupRecord.model_validate(known))])
    found = shape(status).model_dump(mode="json")["backups"]
    assert isinstance(found, dict)
    return found


def test_what_is_known_of_backups(state: ClusterState) -> None:
    full, incr = backup(BackupType.FULL), backup(BackupType.INCR, finished_at=MADE_AT + timedelta(days=1))
    found = with_backups(state, last=(full, incr), oldest=full)
    assert (found["repository"], found["archiving"]) == ("volume", True)
    assert found["last"] == shapes.backups([incr])[0].model_dump(mode="json")
    assert found["last_full"] == shapes.backups([full])[0].model_dump(mode="json")
    assert found["window"] == {"since": "2026-01-01T00:00:01Z", "until": None, "lost": []}
    assert (found["running"], found["failed"]) == (None, None)


def test_window_ends_with_the_last_segment_that_was_archived(state: ClusterState) -> None:
    failing = Condition(type=ARCHIVING_FAILS, status=True, since=MADE_AT + timedelta(hours=2), message="m")
    found = with_backups(apply(state, [ConditionIs(condition=failing)]), oldest=backup(BackupType.FULL))
    assert found["window"] == {"since": "2026-01-01T00:00:01Z", "until": "2026-01-01T02:00:00Z", "lost": []}
    assert found["archiving"] is False


def test_window_has_no_moments_for_which_wal_is_lost(state: ClusterState) -> None:
    name = "000000010000000000000005"
    hole = Hole(first=name, last=name, since=MADE_AT + timedelta(hours=1), until=MADE_AT + timedelta(hours=2))
    found = with_backups(state, oldest=backup(BackupType.FULL), holes=(hole,))
    assert found["window"] == {
        "since": "2026-01-01T00:00:01Z",
        "until": None,
        "lost": [{"since": "2026-01-01T01:00:00Z", "until": "2026-01-01T02:00:00Z"}],
    }


def test_backup_that_is_made_and_one_that_failed(state: ClusterState) -> None:
    run = BackupRun(operation_id="backup/orders/1", run_id="r", type=BackupType.INCR, started_at=MADE_AT)
    failure = BackupFailure(operation_id="o", type=BackupType.FULL, failed_at=MADE_AT, message="No room.")
    found = with_backups(state, running=run, failure=failure)
    running = shapes.running_backup(run)
    assert (running.id, running.status, running.stop) == ("backup/orders/1", "running", None)
    assert found["running"] == running.model_dump(mode="json")
    assert found["failed"] == {"type": "full", "at": "2026-01-01T00:00:00Z", "message": "No room."}


def test_cluster_from_before_there_were_backups_has_none(state: ClusterState) -> None:
    spec = state.spec.model_copy(update={"backups": None})
    assert shape(state.model_copy(update={"spec": spec})).backups is None


def test_backup_has_the_fields_that_programs_read() -> None:
    [found] = shapes.backups([backup(BackupType.FULL)])
    assert set(found.model_dump(mode="json")) == {
        "id", "status", "type", "start", "stop", "prior", "size_bytes", "stored_bytes", "first_lsn", "last_lsn",
        "node", "proven", "proof", "error",
    }  # fmt: skip
    assert found.status == "completed"
    [damaged] = shapes.backups([backup(BackupType.FULL).model_copy(update={"error": "a page"})])
    assert damaged.status == "damaged"


def test_backup_is_proven_by_a_drill_that_found_nothing_wrong() -> None:
    full = backup(BackupType.FULL)
    proof = Proof(operation_id="o", backup_id=full.id, at=MADE_AT, copied_s=20.0, recovered_s=1.0, archive_s=4.0)
    [proven] = shapes.backups([full], [proof])
    assert proven.proof is not None
    assert (proven.proven, proven.proof.recovery_seconds, proven.proof.to_end) == (MADE_AT, 24.0, True)
    [failed] = shapes.backups([full], [proof.model_copy(update={"fault": "Bytes."})])
    assert failed.proof is not None
    assert (failed.proven, failed.proof.fault) == (None, "Bytes.")
    [other] = shapes.backups([full], [proof.model_copy(update={"backup_id": "other"})])
    assert (other.proven, other.proof) == (None, None)


@pytest.mark.parametrize(
    ("left", "restorable"), [(timedelta(days=1), True), (timedelta(seconds=-1), False), (None, False)]
)
def test_destroyed_cluster_says_until_when_it_can_be_restored(
    state: ClusterState, left: timedelta | None, restorable: bool
) -> None:
    until = left and datetime.now(UTC) + left
    status = state.status.model_copy(update={"backups_kept_until": until})
    found = deleted_cluster(ClusterView(state=state.model_copy(update={"status": status})))
    assert found.restorable_until == (until if restorable else None)


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def looked(state: ClusterState, used_gb: float) -> ClusterState:
    node = NodeUsage(name="a", data_bytes=int(used_gb * GB), wal_bytes=7, temp_bytes=8)
    return apply(state, facts_after(state, StorageLook(at=NOW, nodes=(node,)), NOW))


def test_destroyed_cluster_has_no_nodes_and_no_window(state: ClusterState) -> None:
    backed_up = apply(state, [BackupRecordIs(record=BackupRecord(oldest=backup(BackupType.FULL)))])
    gone = apply(backed_up, [PhaseIs(phase=ClusterPhase.DESTROYED)])
    shown = shape(gone)
    assert (shown.nodes, shown.poolers, shown.endpoints, shown.backups) == ((), (), None, None)


def test_cluster_has_what_it_uses_once_that_was_seen(state: ClusterState) -> None:
    for made in (cluster, cluster_status):
        before = made(ClusterView(state=state))
        assert (before.storage_used_bytes, before.storage_provisioned_bytes) == (None, 10 * GB)
        after = made(ClusterView(state=looked(state, 2)))
        assert (after.storage_used_bytes, after.storage_provisioned_bytes) == (2 * GB + 15, 10 * GB)


def test_storage_has_the_fields_that_programs_read(state: ClusterState) -> None:
    shown = storage_shape(ClusterView(state=looked(state, 9.6))).model_dump(mode="json")
    assert set(shown) == {
        "id", "name", "storage_used_bytes", "storage_provisioned_bytes", "level", "read_only", "grows_bytes_per_day",
        "full_on", "auto_grow", "seen_at", "nodes", "databases",
    }  # fmt: skip
    assert (shown["level"], shown["read_only"], shown["full_on"]) == ("full", True, None)
    [node] = shown["nodes"]
    assert set(node) == {"name", "used_bytes", "data_bytes", "wal_bytes", "temp_bytes", "provisioned_bytes", "seen_at"}


def test_what_was_just_seen_stands_for_what_is_on_record(state: ClusterState) -> None:
    later = StorageLook(at=NOW, nodes=(NodeUsage(name="b", data_bytes=3 * GB, wal_bytes=0, temp_bytes=0),))
    shown = storage_shape(with_look(ClusterView(state=looked(state, 2)), later))
    assert shown.storage_used_bytes == 3 * GB
    assert [node.name for node in shown.nodes] == ["b"]
