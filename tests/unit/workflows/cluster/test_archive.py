"""Who looks again at an archive of which it is not known what it lacks, and which look is believed."""

from datetime import UTC, datetime, timedelta

import pytest

from model import effects
from model.archive_facts import archive_unknown
from model.backups import ARCHIVE_UNKNOWN
from model.cluster import ClusterPhase, ClusterState
from model.effects import GapReport
from model.facts import ArchiveClosed, Fact, NodeIs, PhaseIs, PrimaryIs, apply
from model.healing import pause_s
from tests.unit.workflows.runtime import Runtime, ScriptedRecord
from tests.workflows.samples import ready_cluster
from workflows.cluster.archive import FIRST_PAUSE, ArchiveKeeper
from workflows.cluster.backups import BackupBook

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TAKEN_OVER = PrimaryIs(name="b", timeline=2, since=NOW - timedelta(minutes=1))
LOOK_AT_A, LOOK_AT_B = "close_archive_gap of a", "close_archive_gap of b"
FIRST_PAUSE_S, SECOND_PAUSE_S = pause_s(FIRST_PAUSE), pause_s(FIRST_PAUSE + 1)


def without_backups() -> ClusterState:
    state = ready_cluster()
    return state.model_copy(update={"spec": state.spec.model_copy(update={"backups": None})})


class Kept:
    """A cluster that is backed up, and who looks at its archive."""

    def __init__(self, runtime: Runtime, *facts: Fact, state: ClusterState | None = None) -> None:
        self.record = ScriptedRecord(apply(state or ready_cluster(), facts), runtime)
        self.free = True
        self.keeper = ArchiveKeeper(self.record, BackupBook(self.record), lambda: self.free)

    @property
    def unknown(self) -> str:
        """What is said not to be known."""
        held = self.record.status.condition(ARCHIVE_UNKNOWN)
        return held.message.partition("wrote: ")[2] if held else ""

    def is_unknown(self, why: str) -> None:
        """Record that it is not known what the archive lacks."""
        self.record.learn(*archive_unknown(why, self.record.status, NOW))


async def test_takeover_that_was_left_open_is_told_of_and_looked_at(runtime: Runtime):
    kept = Kept(runtime, TAKEN_OVER)
    kept.keeper.begin()
    assert "did not come to where that is seen" in kept.unknown
    await runtime.pass_time(FIRST_PAUSE_S)
    assert LOOK_AT_B in runtime.journal
    assert [asked.unknown_since for asked in runtime.args["close_archive_gap"]] == [TAKEN_OVER.since]
    assert (kept.unknown, kept.record.status.backups.unclosed_since) == ("", None)


@pytest.mark.parametrize(
    ("facts", "free", "state"),
    [
        ((), True, None),
        ((TAKEN_OVER, ArchiveClosed()), True, None),
        ((TAKEN_OVER,), False, None),  # whoever has the turn closes it
        ((TAKEN_OVER,), True, without_backups()),  # there is no archive
        ((TAKEN_OVER, PhaseIs(phase=ClusterPhase.DESTROYING)), True, None),
    ],
)
async def test_nothing_is_told_where_nothing_was_left_open(
    runtime: Runtime, facts: tuple[Fact, ...], free: bool, state: ClusterState | None
):
    kept = Kept(runtime, *facts, state=state)
    kept.free = free
    kept.keeper.begin()
    await runtime.pass_time(FIRST_PAUSE_S)
    assert runtime.journal == []


@pytest.mark.parametrize("told", [False, True])
async def test_look_at_a_former_primary_lifts_nothing_about_the_one_that_took_over(runtime: Runtime, told: bool):
    kept = Kept(runtime)
    kept.is_unknown("The store gives no answer.")
    look = runtime.lasts(effects.CLOSE_ARCHIVE_GAP)
    kept.keeper.begin()
    await runtime.pass_time(FIRST_PAUSE_S)
    assert runtime.journal[-1] == LOOK_AT_A
    kept.record.learn(TAKEN_OVER)
    if told:
        kept.is_unknown("3 segments are still to be archived from the volume of a former primary.")
    before = kept.record.status
    look.set_result(GapReport())
    await runtime.rest()
    assert kept.record.status == before
    await runtime.pass_time(SECOND_PAUSE_S)
    assert (runtime.journal.count(LOOK_AT_B), kept.unknown) == (1, ""), "the next look is about the right one"


async def test_look_is_believed_where_something_else_was_recorded_meanwhile(runtime: Runtime):
    kept = Kept(runtime)
    kept.is_unknown("The store gives no answer.")
    look = runtime.lasts(effects.CLOSE_ARCHIVE_GAP)
    kept.keeper.begin()
    await runtime.pass_time(FIRST_PAUSE_S)
    replica = kept.record.status.replica
    assert replica is not None
    kept.record.learn(NodeIs(node=replica.model_copy(update={"lag_bytes": 16})))
    look.set_result(GapReport())
    await runtime.rest()
    assert kept.unknown == ""
