"""What the watch tells of archiving and of the age of backups: only what is not on record."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from activities.watching import backup_watch
from activities.watching.backup_watch import BackupBounds, BackupWatch
from activities.watching.sync_watch import SyncWatch
from model.backups import BackupRecord, BackupType
from model.cluster import (
    ARCHIVING_FAILS,
    BACKUP_OVERDUE,
    DRILL_OVERDUE,
    ClusterPhase,
    ClusterSpec,
    ClusterState,
    ClusterView,
    Condition,
)
from model.effects import Alarm, AlarmKind, Archiving, ArchivingInput, WatchInput
from model.facts import BackupPolicyIs, BackupRecordIs, ConditionIs, apply
from tests.workflows.samples import backup, ready_cluster

BOUNDS = BackupBounds(archive_overdue=timedelta(minutes=5), backup_overdue_factor=1.5, drill_overdue_factor=1.5)
NOW = datetime.now(UTC)
FAILING = Archiving(
    failing_since=NOW - timedelta(minutes=1), reason="unable to write.", last_archived_at=NOW - timedelta(minutes=2)
)
LOOKS = 5


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARCHIVER_EVERY_S", "AGE_EVERY_S", "AGE_WHILE_OVERDUE_S", "FIRST_LOOK_S"):
        monkeypatch.setattr(backup_watch, name, 0)


def with_condition(state: ClusterState, kind: str) -> ClusterState:
    return apply(state, [ConditionIs(condition=Condition(type=kind, status=True, since=NOW, message="m"))])


def backed_up(state: ClusterState, age: timedelta) -> ClusterState:
    made = tuple(backup(type, finished_at=NOW - age) for type in BackupType)
    return apply(state, [BackupRecordIs(record=BackupRecord(last=made))])


class Watched:
    """A watch, and what it looked at."""

    def __init__(
        self, state: ClusterState, seen: Archiving | Exception = FAILING, *, primary: str | None = "a"
    ) -> None:
        self.asked: list[str] = []
        self.forgot: list[str] = []
        self._state, self._seen = state, seen
        sync = SyncWatch()
        sync.primary = primary
        backups = state.spec.backups
        arg = WatchInput(cluster_id=state.spec.id, status=state.status, backed_up=backups is not None)
        self.watch = BackupWatch(arg, sync, self._view, BOUNDS, read=self._read, begin=self._begin, forget=self._forget)
        self.looked = asyncio.Event()

    async def _read(self, arg: ArchivingInput) -> Archiving:
        self._count(arg.primary.name)
        if isinstance(self._seen, Exception):
            raise self._seen
        return self._seen

    async def _view(self) -> ClusterView | None:
        self._count("view")
        return ClusterView(state=self._state)

    async def _begin(self, spec: ClusterSpec) -> None:
        self._count(f"begin a backup of {spec.name}")

    async def _forget(self, state: ClusterState) -> None:
        self.forgot.append(state.spec.id)

    def _count(self, what: str) -> None:
        self.asked.append(what)
        if len(self.asked) == LOOKS:
            self.looked.set()

    async def tells_nothing(self, watching: Callable[[], "asyncio.Task[Alarm]"]) -> bool:
        """Tell whether several looks gave nothing to tell."""
        task = watching()
        await asyncio.wait_for(self.looked.wait(), 5)
        told = task.done()
        task.cancel()
        return not told


async def test_archiving_that_fails_is_told_once_with_the_moment_of_the_last_segment():
    watched = Watched(ready_cluster())
    alarm = await asyncio.wait_for(watched.watch.until_archiving_changes(), 5)
    assert (alarm.kind, alarm.since) == (AlarmKind.ARCHIVING, FAILING.last_archived_at)
    assert alarm.how.endswith("unable to write.")
    on_record = Watched(with_condition(ready_cluster(), ARCHIVING_FAILS))
    assert await on_record.tells_nothing(lambda: asyncio.create_task(on_record.watch.until_archiving_changes()))


async def test_archiving_that_works_again_is_told():
    watched = Watched(with_condition(ready_cluster(), ARCHIVING_FAILS), Archiving(last_archived_at=NOW))
    alarm = await asyncio.wait_for(watched.watch.until_archiving_changes(), 5)
    assert (alarm.kind, alarm.how) == (AlarmKind.ARCHIVING, "")


async def test_it_is_asked_where_the_primary_is_by_now():
    watched = Watched(ready_cluster(), primary="b")
    await asyncio.wait_for(watched.watch.until_archiving_changes(), 5)
    assert watched.asked == ["b"]


@pytest.mark.parametrize("recorded", [False, True])
async def test_primary_that_does_not_answer_tells_nothing_of_its_archiver(recorded: bool):
    state = with_condition(ready_cluster(), ARCHIVING_FAILS) if recorded else ready_cluster()
    watched = Watched(state, psycopg.OperationalError("no answer"))
    assert await watched.tells_nothing(lambda: asyncio.create_task(watched.watch.until_archiving_changes()))


@pytest.mark.parametrize(
    ("age", "recorded", "told"),
    [
        (timedelta(minutes=1), False, None),
        (timedelta(days=30), False, True),
        (timedelta(days=30), True, None),
        (timedelta(minutes=1), True, False),
    ],
)
async def test_age_of_backups(age: timedelta, recorded: bool, told: bool | None):
    state = backed_up(ready_cluster(), age)
    watched = Watched(with_condition(state, BACKUP_OVERDUE) if recorded else state)
    if told is None:
        assert await watched.tells_nothing(lambda: asyncio.create_task(watched.watch.until_age_changes()))
        return
    alarm = await asyncio.wait_for(watched.watch.until_age_changes(), 5)
    assert (alarm.kind, bool(alarm.how)) == (AlarmKind.BACKUP_AGE, told)


@pytest.mark.parametrize(("recorded", "told"), [(False, True), (True, None)])
async def test_age_of_drills(recorded: bool, told: bool | None):
    state = backed_up(ready_cluster(), timedelta(minutes=1))
    assert state.spec.backups is not None
    policy = state.spec.backups.policy.model_copy(update={"drill": "0 4 * * 0"})
    state = apply(state, [BackupPolicyIs(policy=policy)])
    watched = Watched(with_condition(state, DRILL_OVERDUE) if recorded else state)
    if told is None:
        assert await watched.tells_nothing(lambda: asyncio.create_task(watched.watch.until_age_changes()))
        return
    alarm = await asyncio.wait_for(watched.watch.until_age_changes(), 5)
    assert (alarm.kind, alarm.how) == (AlarmKind.DRILL_AGE, "No backup was proven yet.")


@pytest.mark.parametrize("phase", [ClusterPhase.READY, ClusterPhase.NEEDS_OPERATOR])
async def test_cluster_without_any_backup_gets_one_where_it_is_ready(phase: ClusterPhase):
    state = with_condition(ready_cluster(), BACKUP_OVERDUE)
    none = state.status.model_copy(update={"backups": BackupRecord(), "phase": phase})
    watched = Watched(state.model_copy(update={"status": none}))
    assert await watched.tells_nothing(lambda: asyncio.create_task(watched.watch.until_age_changes()))
    assert (f"begin a backup of {state.spec.name}" in watched.asked) is (phase is ClusterPhase.READY)


async def test_cluster_with_a_backup_waits_for_its_schedule():
    state = backed_up(ready_cluster(), timedelta(minutes=1))
    watched = Watched(state)
    assert await watched.tells_nothing(lambda: asyncio.create_task(watched.watch.until_age_changes()))
    assert set(watched.asked) == {"view"}
    assert set(watched.forgot) == {state.spec.id}, "at each look it is seen what ended without a word"


async def test_cluster_without_a_repository_is_not_asked():
    state = ready_cluster()
    watched = Watched(state.model_copy(update={"spec": state.spec.model_copy(update={"backups": None})}))
    tasks = [
        asyncio.create_task(watched.watch.until_archiving_changes()),
        asyncio.create_task(watched.watch.until_age_changes()),
    ]
    for _ in range(100):
        await asyncio.sleep(0)
    assert watched.asked == []
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
