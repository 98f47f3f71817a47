"""Holes in an archive: which moments they cost, and when they matter no more."""

from datetime import timedelta

import pytest

from model.archive_holes import begins_at, mended, with_hole
from model.backups import Backup, BackupType, Hole
from tests.workflows.samples import MADE_AT, backup

HOLE = Hole(first="000000010000000000000005", last="000000010000000000000007", since=MADE_AT + timedelta(hours=1))


def at(hours: int, first_wal: str) -> Backup:
    made = backup(BackupType.INCR, finished_at=MADE_AT + timedelta(hours=hours))
    return made.model_copy(update={"first_wal": first_wal})


BEFORE = at(0, "000000010000000000000002")
AFTER, LATER = at(2, "000000020000000000000008"), at(3, "000000020000000000000009")


@pytest.mark.parametrize(
    ("made", "hours"),
    [
        ((), None),
        ((BEFORE,), None),
        # It was begun in the hole: what it needs is lost with it.
        ((at(2, "000000020000000000000007"),), None),
        ((AFTER,), 2),
        ((BEFORE, LATER, AFTER), 2),
    ],
    ids=["none", "before", "in it", "after", "the first after"],
)
def test_a_hole_ends_with_the_first_backup_begun_after_it(made: tuple[Backup, ...], hours: int | None):
    (hole,) = mended((HOLE,), made, BEFORE)
    assert hole.until == (None if hours is None else MADE_AT + timedelta(hours=hours, seconds=1))
    assert (hole.first, hole.since) == (HOLE.first, HOLE.since)


def test_its_end_stays_when_there_are_later_backups():
    (hole,) = mended(mended((HOLE,), (AFTER,), BEFORE), (LATER,), BEFORE)
    assert hole.until == MADE_AT + timedelta(hours=2, seconds=1)


def test_it_is_forgotten_when_no_backup_is_left_from_before_it():
    assert mended((HOLE,), (AFTER, LATER), AFTER) == ()
    assert len(mended((HOLE,), (AFTER,), None)) == 1, "nobody knows which is the oldest"


def test_a_hole_found_again_is_the_same_and_may_be_longer():
    longer = HOLE.model_copy(update={"last": "000000010000000000000009"})
    other = Hole(first="000000010000000000000003", last="000000010000000000000003", since=MADE_AT)
    assert with_hole((HOLE,), longer) == (longer,)
    assert with_hole((HOLE,), other) == (other, HOLE)


def test_where_it_begins():
    assert begins_at(HOLE) == 5 * 4 * 2**20
    assert begins_at(HOLE.model_copy(update={"first": "000000010000000200000000"})) == 2 * 2**32
