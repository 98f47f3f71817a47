"""RestoreCluster, and what is kept of a destroyed cluster: what comes before what, and what is left alone."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle

from model.backups import BackupFailure, BackupRecord, BackupRun, BackupType, Reading, RepositoryContents
from model.cluster import ARCHIVING_FAILS, ClusterPhase, ClusterState, Condition, User
from model.effects import (
    ArchiveNowInput,
    BeginReadingInput,
    CommitInput,
    ExpireBackupsInput,
    RemoveClusterInput,
    Restored,
    RestoreDataInput,
)
from model.errors import Refused
from model.facts import CatalogIs, ConditionIs, apply
from model.names import kept_workflow_id
from model.operations import BackupRequest, DestroyClusterRequest, RestoreClusterRequest
from model.restore import KeptCluster, Source
from tests.workflows.bench import Bench, Handle, failure, until
from tests.workflows.samples import ARCHIVED_TO, MADE_AT, backed_up, new_id, ready_cluster
from tests.workflows.story import story
from tests.workflows.stubs import Call, Stubs, fails, hangs

RESTORE = "restore_data a from 20260101-000000F time"
OPEN = "set_routes pooled=6441+6442 direct=a read_only=a"
BEFORE = [
    ("begin_reading to choose one", "archive_now a for 30s"),
    ("archive_now a for 30s", "read_repository"),
    ("read_repository", "begin_reading 20260101-000000F"),
    ("begin_reading 20260101-000000F", RESTORE),
    ("read_repository", "create_network"),
    ("create_network", RESTORE),
    (RESTORE, "ensure_node a primary keep plan=basic follows=-"),
    ("ensure_node a primary keep plan=basic follows=-", "renew_passwords on=a"),
    ("renew_passwords on=a", "read_catalog of a"),
    ("read_catalog of a", "commit catalog_is"),
    ("commit catalog_is", OPEN),
    ("create_poolers", OPEN),
    ("ensure_node a", "ensure_node b replica clone plan=basic follows=a"),
    ("await_caught_up", "commit phase_is phase=ready"),
    ("ensure_repository", "commit phase_is phase=ready"),
    ("commit phase_is phase=ready", "put_schedules"),
]


def new_request(**fields: object) -> RestoreClusterRequest:
    cluster_id = new_id()
    chosen = {"pitr_time": ARCHIVED_TO} | fields
    body = {"cluster_id": cluster_id, "name": f"copy-{cluster_id}", "source_id": new_id(), **chosen}
    return RestoreClusterRequest.model_validate(body)


async def test_order_of_what_depends_on_each_other(bench: Bench, stubs: Stubs):
    handle = await bench.start(new_request())
    await handle.result()
    lines = await story(handle, stubs)

    def at(beginning: str) -> int:
        return next(index for index, line in enumerate(lines) if line.startswith(beginning))

    assert [(first, then) for first, then in BEFORE if at(first) >= at(then)] == []


async def test_nothing_of_the_source_is_made_removed_or_changed(bench: Bench, stubs: Stubs):
    request = new_request()
    await bench.run(request)
    about = {call.effect for call in stubs.effects if getattr(call.arg, "cluster_id", None) == request.source_id}
    assert about == {"read_source", "begin_reading", "archive_now", "read_repository"}


async def test_users_and_databases_are_those_that_postgres_tells_of(bench: Bench, stubs: Stubs):
    request = new_request()
    await bench.run(request)
    state = (await bench.free(request.cluster_id)).state
    found = ready_cluster().spec
    assert (state.spec.users, state.spec.databases) == (found.users, found.databases)
    committed = [call.arg for call in stubs.calls if isinstance(call.arg, CommitInput)]
    facts = [fact for each in committed for fact in each.commit.facts if isinstance(fact, CatalogIs)]
    assert [type(fact.users[0]) for fact in facts] == [User]


async def test_what_the_request_leaves_open_is_as_the_source_has_it(bench: Bench, stubs: Stubs):
    source = ready_cluster()
    spec = source.spec.model_copy(update={"storage_gb": 33, "durability": "async"})
    stubs.answers["read_source"] = Source(state=source.model_copy(update={"spec": spec}))
    request = new_request(plan="launch", source_id=spec.id)
    await bench.run(request)
    made = (await bench.free(request.cluster_id)).state.spec
    assert (made.plan.name, made.storage_gb, made.durability) == ("launch", 33, "async")
    assert made.backups is not None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"pitr_time": MADE_AT}, "cannot be restored: the backups and the archive reach from 2026-01-01 00:00:01 UTC"),
        ({"pitr_time": ARCHIVED_TO + timedelta(seconds=1)}, "to 2026-01-02 12:00:00 UTC"),
        ({"pitr_time": None, "backup_id": "x"}, "There is no backup 'x'"),
        ({"pitr_time": None, "lsn": "0/1"}, "0/1 cannot be restored"),
        ({"host": "elsewhere"}, "The backups of"),
    ],
)
async def test_what_cannot_be_restored_is_refused_before_anything_is_made(
    bench: Bench, stubs: Stubs, fields: dict[str, object], said: str
):
    if "host" in fields:
        source = ready_cluster()
        spec = source.spec.model_copy(update={"host": "elsewhere"})
        stubs.answers["read_source"] = Source(state=source.model_copy(update={"spec": spec}))
        fields = {}
    handle = await bench.start(new_request(**fields))
    error, detail = await failure(handle)
    assert said in error.message
    assert detail.began is False
    made = {call.effect for call in stubs.effects if call.workflow_id == handle.id}
    assert made <= {"read_source", "begin_reading", "check_host", "archive_now", "read_repository"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Source(state=ready_cluster(), over=True), "was destroyed, and none of its backups were kept"),
        (
            Source(
                state=ready_cluster().model_copy(
                    update={"spec": ready_cluster().spec.model_copy(update={"backups": None})}
                )
            ),
            "was made before there were backups",
        ),
    ],
)
async def test_source_without_backups_is_refused(bench: Bench, stubs: Stubs, source: Source, said: str):
    stubs.answers["read_source"] = source
    handle = await bench.start(new_request())
    error, _ = await failure(handle)
    assert said in error.message
    assert stubs.texts(handle.id) == ["read_source"]


async def test_source_that_cannot_archive_is_restored_to_what_there_is(bench: Bench, stubs: Stubs):
    stubs.plan("archive_now a for 30s", fails(Refused("Node a does not answer.")))
    result = await bench.run(new_request(pitr_time=None, latest=True))
    assert "What was not archived of orders-" in result.message
    assert "Node a does not answer." in result.message


async def test_copy_of_a_new_cluster_waits_for_its_first_backup(bench: Bench, stubs: Stubs):
    state, run = (
        ready_cluster(),
        BackupRun(operation_id="x", run_id=str(uuid4()), type=BackupType.FULL, started_at=MADE_AT),
    )
    stubs.answers["read_source"] = Source(state=backed_up(state, BackupRecord(running=run)))

    async def made(_: Call) -> None:
        stubs.answers["read_source"] = Source(state=backed_up(state))

    stubs.plan("read_source", made, 2)
    handle = await bench.start(new_request(pitr_time=None, latest=True))
    result = await handle.result()
    assert result.steps[0].name == f"wait for the first backup of {state.spec.name}"
    asked = stubs.texts(handle.id)
    assert asked[0] == "read_source"
    assert asked.index("read_source", 1) < asked.index("archive_now a for 30s"), "all until then is in it"


async def test_what_a_takeover_left_out_is_waited_for_before_anything_is_chosen(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    whole = backed_up(state)
    since = MADE_AT + timedelta(minutes=1)
    left = whole.status.backups.model_copy(update={"unclosed_since": since})
    stubs.answers["read_source"] = Source(state=backed_up(state, left))

    async def closed(_: Call) -> None:
        stubs.answers["read_source"] = Source(state=whole)

    stubs.plan("read_source", closed, 3)
    handle = await bench.start(new_request(pitr_time=None, latest=True))
    result = await handle.result()
    assert result.steps[0].name == f"wait until it is known that the archive of {state.spec.name} is whole"
    asked = stubs.texts(handle.id)
    assert asked.count("read_source") == 3
    assert asked.index("begin_reading to choose one") < asked.index("archive_now a for 30s")
    stubs.answers["read_source"] = Source(state=backed_up(state, left))
    before = await bench.run(new_request(pitr_time=since - timedelta(seconds=1)))
    assert not before.steps[0].name.startswith("wait")


async def test_first_backup_that_failed_is_not_waited_for(bench: Bench, stubs: Stubs):
    failed = BackupFailure(operation_id="x", type=BackupType.FULL, failed_at=MADE_AT, message="No room.")
    stubs.answers["read_source"] = Source(state=backed_up(ready_cluster(), BackupRecord(failure=failed)))
    stubs.answers["read_repository"] = RepositoryContents()
    handle = await bench.start(new_request(pitr_time=None, latest=True))
    error, _ = await failure(handle)
    assert "There is no good backup yet" in error.message


async def test_nothing_is_asked_of_a_source_that_is_gone(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    kept = KeptCluster(state=state, end=ARCHIVED_TO, until=ARCHIVED_TO + timedelta(days=7))
    stubs.answers["read_source"] = Source(state=state, over=True, kept=kept)
    await bench.run(new_request(pitr_time=None, latest=True))
    assert [call for call in stubs.calls if isinstance(call.arg, ArchiveNowInput)] == []
    (arg,) = [call.arg for call in stubs.calls if isinstance(call.arg, RestoreDataInput)]
    assert (arg.point.type, arg.source.cluster_id) == ("default", state.spec.id)


@pytest.mark.parametrize(
    ("fault", "at_end", "asked", "told"),
    [
        (None, False, ARCHIVED_TO, False),
        # All that was committed until then is archived: after the last commit there was none.
        (None, True, ARCHIVED_TO, False),
        (Refused("Node a does not answer."), True, ARCHIVED_TO, True),
        (Refused("Node a does not answer."), False, ARCHIVED_TO, False),
    ],
)
async def test_where_the_archive_ends_before_the_moment_that_is_told(
    bench: Bench, stubs: Stubs, fault: Refused | None, at_end: bool, asked: datetime, told: bool
):
    if fault:
        stubs.plan("archive_now a for 30s", fails(fault))
    last = asked - timedelta(hours=5)
    stubs.answers["restore_data"] = Restored(timeline=2, at_end=at_end, last_commit_at=last)
    message = (await bench.run(new_request(pitr_time=asked))).message
    assert "the last transaction in it is of 2026-01-02 07:00:00 UTC" in message
    said = (
        "Its archive ends there, before 2026-01-02 12:00:00 UTC: whether anything was committed between is not known."
    )
    assert (said in message) is told


@pytest.mark.parametrize("over", [False, True])
async def test_moment_since_which_archiving_fails_is_refused_as_the_window_shows(
    bench: Bench, stubs: Stubs, over: bool
):
    since = ARCHIVED_TO - timedelta(hours=5)
    failing = Condition(type=ARCHIVING_FAILS, status=True, since=since, message="m")
    state = apply(backed_up(ready_cluster()), [ConditionIs(condition=failing)])
    kept = KeptCluster(state=state, end=ARCHIVED_TO, until=ARCHIVED_TO + timedelta(days=7), flushed=False)
    stubs.answers["read_source"] = Source(state=state, over=over, kept=kept if over else None)
    stubs.plan("archive_now a for 30s", fails(Refused("WAL of node a is not archived.")))
    error, _ = await failure(await bench.start(new_request(pitr_time=since + timedelta(seconds=1))))
    assert "reach from 2026-01-01 00:00:01 UTC to 2026-01-02 07:00:00 UTC" in error.message
    await bench.run(new_request(pitr_time=since))


async def reading(bench: Bench, stubs: Stubs) -> tuple[Handle, Reading]:
    """A restore that hangs, as it is on the record of its source."""
    started = asyncio.Event()
    stubs.plan(RESTORE, hangs(stubs, started))
    handle = await bench.start(new_request())
    await asyncio.wait_for(started.wait(), 10)
    told = [call.arg.reading for call in stubs.calls if isinstance(call.arg, BeginReadingInput)][-1]
    return handle, told


async def test_expiry_knows_of_a_restore_on_another_host_until_it_has_ended(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    cluster = await bench.cluster(state)
    handle, reader = await reading(bench, stubs)
    assert reader.backup_id == "20260101-000000F"
    choosing = reader.model_copy(update={"backup_id": None})

    async def expiry() -> ExpireBackupsInput:
        await (await bench.start(BackupRequest(cluster_id=state.spec.id, type=BackupType.INCR))).result()
        return [call.arg for call in stubs.calls if isinstance(call.arg, ExpireBackupsInput)][-1]

    await cluster.signal("begin_reading", choosing)
    assert (await expiry()).choosing
    await cluster.signal("begin_reading", reader)
    asked = await expiry()
    assert (asked.choosing, asked.read) == (False, ("20260101-000000F",))
    await handle.terminate()

    async def over() -> bool:
        return (await bench.view(state.spec.id)).state.status.backups.readers == ()

    await until(over)
    asked = await expiry()
    assert (asked.choosing, asked.read) == (False, ())


async def test_repository_that_does_not_work_yet_is_said_and_undoes_nothing(bench: Bench, stubs: Stubs):
    stubs.plan("ensure_repository of a", fails(Refused("The store does not answer.")))
    result = await bench.run(new_request())
    assert "Its own backups do not work yet: The store does not answer." in result.message


# --- what is kept of a destroyed cluster ------------------------------------------------------------------------------


async def destroyed(bench: Bench, days: int) -> ClusterState:
    state = ready_cluster()
    await bench.cluster(state)
    await bench.run(DestroyClusterRequest(cluster_id=state.spec.id, keep_backups_days=days))
    return state


def keeper(bench: Bench, state: ClusterState) -> WorkflowHandle[object, object]:
    return bench.client.get_workflow_handle(kept_workflow_id(state.spec.id))


async def test_backups_are_kept_with_the_record_until_their_time_has_come(bench: Bench, stubs: Stubs):
    state = await destroyed(bench, 7)
    handle = keeper(bench, state)
    kept = await handle.query("kept", result_type=KeptCluster)
    assert kept.end == ARCHIVED_TO
    assert timedelta(days=6, hours=23) < kept.until - datetime.now(UTC) <= timedelta(days=7)
    assert kept.state.spec == state.spec
    (removal,) = [call.arg for call in stubs.calls if isinstance(call.arg, RemoveClusterInput)]
    assert removal.keep_repository
    stubs.answers["read_source"] = Source(state=state, over=True)
    await handle.signal("keep_until", datetime.now(UTC))
    await asyncio.wait_for(handle.result(), 10)
    assert stubs.texts(handle.id) == ["read_source", "remove_repository"]


async def test_last_commits_that_could_not_be_archived_are_told_of(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    stubs.plan("archive_now a for 10s", fails(Refused("The store does not answer.")))
    gone = await bench.run(DestroyClusterRequest(cluster_id=state.spec.id, keep_backups_days=7))
    assert "What was committed last is not in its archive: The store does not answer." in gone.message
    kept = await keeper(bench, state).query("kept", result_type=KeptCluster)
    assert not kept.flushed
    stubs.answers["read_source"] = Source(state=state, over=True, kept=kept)
    copied = await bench.run(new_request(pitr_time=None, latest=True))
    assert "may be lacking in its archive" in copied.message
    await keeper(bench, state).terminate()


async def test_backups_of_a_cluster_that_lives_after_all_stay(bench: Bench, stubs: Stubs):
    state = await destroyed(bench, 7)
    handle = keeper(bench, state)
    stubs.answers["read_source"] = Source(state=state, over=False)
    await handle.signal("keep_until", datetime.now(UTC))
    await asyncio.wait_for(handle.result(), 10)
    assert "remove_repository" not in stubs.texts(handle.id)


async def test_second_destruction_keeps_what_it_found_and_not_what_the_first_did(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    stubs.plan("remove_cluster", fails(Refused("The disk is read-only.")))
    stubs.plan("remove_cluster", fails(Refused("The disk is read-only.")), 2)
    stubs.plan("archive_now a for 10s", fails(Refused("The store does not answer.")))
    with pytest.raises(WorkflowFailureError):
        await bench.run(DestroyClusterRequest(cluster_id=state.spec.id, keep_backups_days=1))
    first = await keeper(bench, state).query("kept", result_type=KeptCluster)
    await bench.free(state.spec.id)
    await bench.run(DestroyClusterRequest(cluster_id=state.spec.id, keep_backups_days=7))
    second = await keeper(bench, state).query("kept", result_type=KeptCluster)
    assert (first.flushed, second.flushed) == (False, True)
    assert second.end == ARCHIVED_TO
    assert second.until - first.until > timedelta(days=5)
    await keeper(bench, state).terminate()


async def test_second_destruction_that_keeps_nothing_ends_what_the_first_kept(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    await bench.cluster(state)
    stubs.plan("remove_cluster", fails(Refused("The disk is read-only.")))
    stubs.plan("remove_cluster", fails(Refused("The disk is read-only.")), 2)
    with pytest.raises(WorkflowFailureError):
        await bench.run(DestroyClusterRequest(cluster_id=state.spec.id, keep_backups_days=7))
    await bench.free(state.spec.id)
    gone = await bench.run(DestroyClusterRequest(cluster_id=state.spec.id, keep_backups_days=0))
    assert "It can be restored until" not in gone.message
    await asyncio.wait_for(keeper(bench, state).result(), 10)
    assert "remove_repository" not in stubs.texts(keeper(bench, state).id), "the cluster itself removes it"
    removals = [call.arg for call in stubs.calls if isinstance(call.arg, RemoveClusterInput)]
    assert [each.keep_repository for each in removals] == [True, True, False]


async def test_backups_that_cannot_be_removed_are_tried_again(bench: Bench, stubs: Stubs):
    state = await destroyed(bench, 7)
    handle = keeper(bench, state)
    stubs.answers["read_source"] = Source(state=state, over=True)
    stubs.plan("remove_repository", fails(Refused("A restore reads it.")))
    await handle.signal("keep_until", datetime.now(UTC))

    async def tried() -> bool:
        return "remove_repository" in stubs.texts(handle.id)

    await until(tried)
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    await handle.signal("keep_until", datetime.now(UTC))
    await asyncio.wait_for(handle.result(), 10)


async def test_backups_that_are_read_stay_until_nobody_reads_them(bench: Bench, stubs: Stubs):
    state = await destroyed(bench, 7)
    handle = keeper(bench, state)
    restore, reader = await reading(bench, stubs)
    stubs.answers["read_source"] = Source(state=state, over=True)
    await handle.signal("begin_reading", reader)
    await handle.signal("keep_until", datetime.now(UTC))

    async def followed() -> bool:
        kept = await handle.query("kept", result_type=KeptCluster)
        return kept.state.status.backups.readers == (reader,) and kept.until < datetime.now(UTC)

    await until(followed)
    assert "remove_repository" not in stubs.texts(handle.id)
    await restore.terminate()
    await asyncio.wait_for(handle.result(), 10)
    assert "remove_repository" in stubs.texts(handle.id)


async def test_reader_that_comes_with_a_second_destruction_is_followed(bench: Bench, stubs: Stubs):
    state = await destroyed(bench, 7)
    handle = keeper(bench, state)
    restore, reader = await reading(bench, stubs)
    stubs.answers["read_source"] = Source(state=state, over=True)
    read = backed_up(state, BackupRecord(readers=(reader,)))
    await handle.signal("keep", KeptCluster(state=read, end=ARCHIVED_TO, until=datetime.now(UTC)))
    await restore.terminate()
    await asyncio.wait_for(handle.result(), 10)
    assert "remove_repository" in stubs.texts(handle.id)


async def test_backups_that_are_not_to_be_kept_go_with_the_cluster(bench: Bench, stubs: Stubs):
    state = await destroyed(bench, 0)
    (removal,) = [call.arg for call in stubs.calls if isinstance(call.arg, RemoveClusterInput)]
    assert not removal.keep_repository
    found = [each async for each in bench.client.list_workflows(f"WorkflowId = '{keeper(bench, state).id}'")]
    assert found == []


async def test_destruction_that_is_cut_off_keeps_the_backups_all_the_same(bench: Bench, stubs: Stubs):
    state = ready_cluster()
    cluster = await bench.cluster(state)
    stubs.plan("remove_cluster", fails())
    handle = await bench.start(DestroyClusterRequest(cluster_id=state.spec.id))
    await failure(handle)
    assert (await cluster.result()).status.phase is ClusterPhase.DESTROYED
    removals = [call.arg for call in stubs.calls if isinstance(call.arg, RemoveClusterInput)]
    assert [removal.keep_repository for removal in removals] == [True, True]
    await keeper(bench, state).terminate()
