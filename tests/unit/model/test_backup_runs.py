"""A backup: from which node, when it begins again, what is on record of it."""

from datetime import timedelta

import pytest

from model.backup_runs import begins_again, begun, choose_source, note_of, noted, outranks
from model.backups import BackupFailure, BackupNote, BackupRecord, BackupRun, BackupType, RepositoryContents
from model.cluster import Durability, NodePhase
from model.errors import HostFull, InvalidInput, MpgError, NeedsOperator, NotFound, NotYet, Refused, WrongMasterKey
from model.facts import AbsencesPlanned, BackupPolicyIs, BackupRecordIs, InSync, NodeIs, PrimaryIs, RepositoryIs, apply
from tests.workflows.samples import BACKUPS, MADE_AT, backup, ready_cluster, without_replica

FULL, DIFF, INCR = BackupType.FULL, BackupType.DIFF, BackupType.INCR
RUN = BackupRun(operation_id="backup/orders/1", run_id="r", type=FULL, started_at=MADE_AT)
OTHER = RUN.model_copy(update={"operation_id": "backup/orders/2"})
FAILURE = BackupFailure(operation_id=RUN.operation_id, type=FULL, failed_at=MADE_AT, message="No room.")


def node_of(beginnings: int = 0, *, durability: Durability = Durability.SYNC, facts: list[object] | None = None) -> str:
    state = apply(ready_cluster(durability=durability), facts or [])  # pyright: ignore[reportArgumentType]
    source = choose_source(state, beginnings)
    return (source.replica or source.primary).name


def stopped_replica() -> NodeIs:
    replica = ready_cluster(durability=Durability.ASYNC).status.replica
    assert replica is not None
    return NodeIs(node=replica.model_copy(update={"phase": NodePhase.STOPPED}))


@pytest.mark.parametrize(
    ("beginnings", "durability", "facts", "node"),
    [
        (0, Durability.SYNC, [], "b"),
        (1, Durability.SYNC, [], "b"),
        # What fails from the replica twice may be its fault.
        (2, Durability.SYNC, [], "a"),
        (0, Durability.SYNC, [InSync(name="b", value=False)], "a"),
        (0, Durability.SYNC, [AbsencesPlanned(names=("b",))], "a"),
        (0, Durability.SYNC, [PrimaryIs(name="b", timeline=2)], "b"),
        (0, Durability.SYNC, [PrimaryIs(name="b", timeline=2), InSync(name="a", value=True)], "a"),
        (0, Durability.ASYNC, [], "b"),
        (0, Durability.ASYNC, [stopped_replica()], "a"),
    ],
)
def test_which_node_a_backup_reads(beginnings: int, durability: Durability, facts: list[object], node: str):
    assert node_of(beginnings, durability=durability, facts=facts) == node


def test_primary_alone_is_backed_up():
    assert choose_source(without_replica(ready_cluster()), 0).replica is None


def test_without_a_primary_there_is_nothing_to_read():
    state = ready_cluster()
    status = state.status.model_copy(update={"nodes": ()})
    with pytest.raises(NeedsOperator):
        choose_source(state.model_copy(update={"status": status}), 0)


def test_primary_that_is_being_replaced_is_left_in_peace():
    state = apply(ready_cluster(), [AbsencesPlanned(names=("a", "b"))])
    with pytest.raises(NotYet):
        choose_source(state, 0)


@pytest.mark.parametrize("error", [NotFound("x"), NotYet("x"), MpgError("x"), NeedsOperator("x")])
def test_what_a_changing_cluster_causes_is_tried_again(error: MpgError):
    assert begins_again(error)


@pytest.mark.parametrize("error", [InvalidInput("x"), Refused("x"), HostFull("x"), WrongMasterKey("x")])
def test_what_would_be_met_again_is_not(error: MpgError):
    assert not begins_again(error)


@pytest.mark.parametrize(
    ("wanted", "running", "waits"), [(FULL, INCR, True), (FULL, DIFF, True), (FULL, FULL, False), (INCR, FULL, False)]
)
def test_only_a_full_one_waits(wanted: BackupType, running: BackupType, waits: bool):
    assert outranks(wanted, running) is waits


def test_one_backup_at_a_time():
    running = begun(BackupRecord(), RUN)
    assert running.running == RUN
    assert begun(running, OTHER).running == RUN
    assert begun(running, RUN) == running
    assert begun(running, OTHER, instead_of=RUN.operation_id).running == OTHER
    # Somebody else had taken its place by then.
    assert begun(running, OTHER, instead_of="backup/orders/0").running == RUN


def test_the_last_good_one_of_each_type_is_kept():
    later = MADE_AT + timedelta(days=1)
    contents = RepositoryContents(backups=(backup(FULL), backup(DIFF)))
    known = noted(begun(BackupRecord(), RUN), note_of(RUN.operation_id, backup(INCR, finished_at=later), contents))
    assert known.running is None
    assert known.latest(FULL) == backup(FULL)
    assert known.latest() == backup(INCR, finished_at=later)
    assert known.oldest == backup(FULL)
    older = note_of("backup/orders/3", backup(INCR), None)
    assert noted(known, older).latest(INCR) == backup(INCR, finished_at=later)
    assert noted(known, older).oldest == backup(FULL)


def test_one_that_is_damaged_is_not_a_good_one():
    damaged = backup(FULL).model_copy(update={"error": "a page"})
    note = note_of(RUN.operation_id, backup(INCR), RepositoryContents(backups=(damaged,)))
    assert [each.type for each in note.made] == [INCR]


def test_the_window_begins_at_a_good_one():
    damaged = backup(FULL).model_copy(update={"error": "a page"})
    good = backup(FULL, finished_at=MADE_AT + timedelta(days=1))
    made = backup(INCR, finished_at=MADE_AT + timedelta(days=2))
    note = note_of(RUN.operation_id, made, RepositoryContents(backups=(damaged, good, made)))
    assert noted(BackupRecord(), note).oldest == good


def test_failure_stays_until_a_backup_is_made():
    failed = noted(begun(BackupRecord(), RUN), BackupNote(operation_id=RUN.operation_id, failure=FAILURE))
    assert (failed.failure, failed.running) == (FAILURE, None)
    assert noted(failed, BackupNote(operation_id=OTHER.operation_id)).failure == FAILURE
    assert noted(failed, note_of(OTHER.operation_id, backup(FULL), None)).failure is None


def test_note_of_another_one_does_not_end_the_one_that_runs():
    running = begun(BackupRecord(), RUN)
    assert noted(running, note_of(OTHER.operation_id, backup(FULL), None)).running == RUN


def test_facts_change_policy_and_record():
    state, record = ready_cluster(), begun(BackupRecord(), RUN)
    policy = BACKUPS.policy.model_copy(update={"keep_days": 30})
    after = apply(state, [BackupPolicyIs(policy=policy), BackupRecordIs(record=record)])
    assert after.spec.backups == BACKUPS.model_copy(update={"policy": policy})
    assert after.status.backups == record
    moved = apply(after, [RepositoryIs(repository=BACKUPS.repository.model_copy(update={"key_id": "new"}))])
    assert moved.spec.backups is not None
    assert (moved.spec.backups.repository.key_id, moved.spec.backups.policy) == ("new", policy)
    assert moved.status.backups == record, "the one that is made goes on"
    without = state.model_copy(update={"spec": state.spec.model_copy(update={"backups": None})})
    assert apply(without, [BackupPolicyIs(policy=policy)]) == without
