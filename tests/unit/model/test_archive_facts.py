"""What is on record of an archive once a takeover's gap in it was looked at."""

from datetime import UTC, datetime, timedelta

from model.archive_facts import archive_seen, archive_unknown, gap_held, unknown_since
from model.backups import ARCHIVE_GAP, ARCHIVE_UNKNOWN, BackupRecord, BackupType, Hole
from model.cluster import ClusterState
from model.effects import GapReport
from model.facts import PrimaryIs, apply
from tests.workflows.samples import backed_up, backup, ready_cluster

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
SEGMENT = "000000010000000000000007"


def seen(state: ClusterState, report: GapReport, at: datetime = NOW) -> ClusterState:
    return apply(state, archive_seen(report, state.status, at))


def held(state: ClusterState) -> dict[str, datetime]:
    return {condition.type: condition.since for condition in state.status.conditions}


def test_an_archive_that_is_whole_changes_nothing():
    assert archive_seen(GapReport(handed_over=3, rescued=2), ready_cluster().status, NOW) == ()


def test_what_is_not_known_is_a_condition_of_its_own_until_it_is():
    state = seen(ready_cluster(), GapReport(handed_over=3, unknown="The store gives no answer."))
    assert held(state) == {ARCHIVE_UNKNOWN: NOW}
    told = state.status.condition(ARCHIVE_UNKNOWN)
    assert told is not None
    assert told.message.endswith("wrote: The store gives no answer.")
    state = apply(state, archive_unknown("It still gives none.", state.status, LATER))
    assert held(state) == {ARCHIVE_UNKNOWN: NOW}
    assert held(seen(state, GapReport(), LATER)) == {}


def test_a_hole_that_is_found_later_takes_the_place_of_not_known():
    state = seen(ready_cluster(), GapReport(unknown="The store gives no answer."))
    assert held(seen(state, GapReport(lost=SEGMENT), LATER)) == {ARCHIVE_GAP: LATER}


def test_a_backup_that_was_made_before_the_hole_was_found_ends_it():
    made = backup(BackupType.INCR, finished_at=LATER).model_copy(update={"first_wal": "000000020000000000000008"})
    state = backed_up(ready_cluster(), BackupRecord(last=(made,)))
    (hole,) = seen(state, GapReport(lost=SEGMENT, intact_until=NOW), LATER).status.backups.holes
    assert hole.until == LATER + timedelta(seconds=1)


def test_takeover_is_closed_with_what_was_seen_and_stays_open_since_it_began():
    taken_over = apply(ready_cluster(), [PrimaryIs(name="b", since=NOW)])
    unknown = seen(taken_over, GapReport(unknown="It gives no answer."), LATER)
    assert held(unknown) == {ARCHIVE_UNKNOWN: NOW}, "a backup made since then hides no hole before it"
    assert unknown_since(unknown.status) == NOW
    for report in (GapReport(), GapReport(lost=SEGMENT)):
        closed = seen(unknown, report, LATER)
        assert closed.status.backups.unclosed_since is None
        assert unknown_since(closed.status) is None


def test_a_hole_is_on_record_with_the_moments_it_costs():
    report = GapReport(lost=SEGMENT, lost_last="000000010000000000000009", intact_until=NOW - timedelta(hours=1))
    state = seen(ready_cluster(), report)
    hole = Hole(first=SEGMENT, last="000000010000000000000009", since=NOW - timedelta(hours=1))
    assert state.status.backups.holes == (hole,)
    told = state.status.condition(ARCHIVE_GAP)
    assert told is not None
    for said in (SEGMENT, "no moment from 2025-12-31 23:00:00 UTC on can be restored until there is another backup"):
        assert said in told.message
    state = apply(state, [gap_held((hole.model_copy(update={"until": LATER}),), NOW)])
    told = state.status.condition(ARCHIVE_GAP)
    assert told is not None
    assert "no moment from 2025-12-31 23:00:00 UTC to 2026-01-01 00:05:00 UTC can be restored" in told.message
    assert held(apply(state, [gap_held((), NOW)])) == {}
