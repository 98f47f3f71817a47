"""What the archive lacks after a takeover, from names alone."""

from model.archive_gap import Gap, WalSeen, directories, find_gap

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
