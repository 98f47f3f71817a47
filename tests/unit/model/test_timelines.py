"""Timelines: what a history file says, and what is on the way to a timeline."""

import pytest

from model.timelines import Fork, is_on_history, parse_history, timeline_of

HISTORY = "1\t0/5000028\tno recovery target specified\n\n2\t1/A0\tbefore 2026\n# a comment\n"
FORKS = (Fork(timeline=1, at=0x5000028), Fork(timeline=2, at=2**32 + 0xA0))


def test_history_file():
    assert parse_history(HISTORY) == FORKS
    assert parse_history("") == ()
    assert timeline_of("0000000A.history") == timeline_of("0000000A0000000100000002") == 10


@pytest.mark.parametrize(
    ("timeline", "position", "on"),
    [
        (1, 0x5000028, True),
        (1, 0x5000029, False),
        (2, 2**32, True),
        (2, 2**32 + 0xA1, False),
        (3, 2**40, True),
        # Later than what the archive has a history of.
        (4, 2**40, True),
    ],
)
def test_beyond_the_point_at_which_it_was_left_a_timeline_leads_nowhere(timeline: int, position: int, on: bool):
    assert is_on_history(timeline, position, of=3, forks=FORKS) is on


def test_a_timeline_that_is_not_in_the_history_was_another_ones():
    assert not is_on_history(2, 1, of=3, forks=FORKS[:1])
