"""What the archive lacks after a takeover, from names alone."""

from datetime import timedelta

import pytest

from model.archive_gap import Gap, WalSeen, before, directories, find_gap, first_needed, on_line
from model.backups import BackupType, RepositoryContents
from tests.workflows.samples import MADE_AT, backup

MB4 = 4 * 2**20


def names(timeline: int, *numbers: int) -> frozenset[str]:
    return frozenset(f"{timeline:08X}{number // 1024:08X}{number % 1024:08X}" for number in numbers)


def name(timeline: int, number: int) -> str:
    return next(iter(names(timeline, number)))


def after_takeover(*there: str, current: int = 8, ended: int = 5) -> WalSeen:
    """A primary on timeline 2, which began in segment *ended*."""
    lsn = f"0/{ended * MB4 + 0x28:X}"
    return WalSeen(
        current=name(2, current),
        segment_bytes=MB4,
        history=f"1\t{lsn}\tno recovery target specified\n",
        files=frozenset(there) | {"00000002.history", name(2, current), "archive_status"},
    )


def test_nothing_is_lacking() -> None:
    seen = after_takeover(*names(1, 3, 4), *names(2, 5, 6, 7))
    assert find_gap(seen, {"00000002.history", *names(1, 2, 3, 4), *names(2, 5, 6, 7)}, name(1, 2)) == Gap()


def test_what_the_old_primary_had_not_archived_is_handed_over() -> None:
    seen = after_takeover(*names(1, 2, 3, 4), *names(2, 5, 6, 7))
    gap = find_gap(seen, {*names(1, 1, 2), *names(2, 5)}, name(1, 1))
    assert gap == Gap(there=("00000002.history", name(1, 3), name(1, 4), name(2, 6), name(2, 7)))


def test_segment_in_which_the_timeline_ended_is_on_the_next_one() -> None:
    seen = after_takeover(*names(1, 4, 5), *names(2, 5, 6, 7))
    assert name(1, 5) not in find_gap(seen, {*names(1, 4), *names(2, 5, 6, 7)}, name(1, 4)).there


def test_segment_that_is_being_written_and_those_made_ready_for_later_are_not_finished() -> None:
    seen = after_takeover(*names(1, 4), *names(2, 5, 6, 7, 8, 9, 10))
    assert find_gap(seen, {"00000002.history", *names(1, 4), *names(2, 5, 6, 7)}, name(1, 4)) == Gap()


def test_what_nobody_has_is_missing() -> None:
    seen = after_takeover(*names(1, 4), *names(2, 5, 6, 7))
    gap = find_gap(seen, {"00000002.history", *names(1, 1), *names(2, 5, 6, 7)}, name(1, 1))
    assert gap == Gap(there=(name(1, 4),), missing=(name(1, 2), name(1, 3)))


def test_before_the_newest_backup_nothing_is_needed() -> None:
    seen = after_takeover(*names(1, 4), *names(2, 5, 6, 7))
    archived = {"00000002.history", *names(1, 4), *names(2, 5, 6, 7)}
    assert find_gap(seen, archived, name(1, 4)) == Gap()
    assert find_gap(seen, archived, None) == Gap(), "without one from the first that is there"


def test_everything_that_is_there_is_handed_over_where_the_archive_cannot_be_seen() -> None:
    seen = after_takeover(*names(1, 3, 4), *names(2, 5, 6, 7))
    assert find_gap(seen, None, None) == Gap(
        there=("00000002.history", *sorted(names(1, 3, 4)), *sorted(names(2, 5, 6, 7)))
    )


def test_first_timeline_has_no_history() -> None:
    seen = WalSeen(current=name(1, 3), segment_bytes=MB4, files=names(1, 1, 2, 3))
    assert find_gap(seen, names(1, 1), None) == Gap(there=(name(1, 2),))


def test_directories_go_over_logs_and_timelines() -> None:
    seen = after_takeover(*names(1, 1022, 1023), *names(2, 1025), current=1026, ended=1024)
    assert directories(seen, name(1, 1022)) == ("0000000100000000", "0000000200000001")
    assert directories(seen, None) == ("0000000100000000", "0000000200000001")


def test_backup_that_the_primary_does_not_come_from_is_none_to_begin_at() -> None:
    seen = after_takeover(*names(1, 3, 4), *names(2, 5, 6, 7))
    whole = backup(BackupType.FULL).model_copy(update={"last_lsn": "0/1400028"})
    beyond = whole.model_copy(update={"id": "beyond", "last_lsn": "0/1400029"})
    # The archive has no history yet.
    contents = on_line(RepositoryContents(backups=(whole, beyond)), seen)
    assert [each.id for each in contents.good] == [whole.id]


@pytest.mark.parametrize(
    ("minutes", "needed"),
    [(None, 3), (0, 1), (5, 2), (60, 3), (-5, 1)],
    ids=["known", "first", "second", "all", "none"],
)
def test_backup_from_since_it_is_not_known_says_nothing_of_what_is_before(minutes: int | None, needed: int) -> None:
    good = [backup(BackupType.INCR, finished_at=MADE_AT + timedelta(minutes=each)) for each in (0, 5, 10)]
    since = None if minutes is None else MADE_AT + timedelta(minutes=minutes)
    assert first_needed(good, since) == tuple(good[:needed])
    assert first_needed([], since) == ()


def test_segments_before_one_are_on_its_line() -> None:
    seen = after_takeover(*names(2, 5, 6, 7))
    assert before(seen, name(2, 6), 3) == (name(2, 5), name(1, 4), name(1, 3))
    assert before(seen, name(1, 1), 3) == (name(1, 0),)
