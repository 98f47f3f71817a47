"""What a failover makes of a target that cannot be asked: only one that is silent is given up."""

import psycopg
import pytest

from activities.takeover.failover import Patience
from model.errors import NotYet, ReplicaBehind

REFUSES = psycopg.OperationalError('connection failed: FATAL:  password authentication failed for user "postgres"')
STARTS = psycopg.OperationalError("connection failed: FATAL:  the database system is starting up")
CUT = psycopg.OperationalError("connection failed: server closed the connection unexpectedly")
OURS = psycopg.OperationalError("could not create socket: Too many open files")


@pytest.mark.parametrize("error", [REFUSES, STARTS])
def test_target_that_says_no_is_asked_again_within_a_bound(error: psycopg.OperationalError) -> None:
    patience = Patience("b", deadline=10.0)
    patience.after(error, 0.0)
    patience.after(error, 9.9)
    with pytest.raises(ReplicaBehind, match="Node b does not answer"):
        patience.after(error, 10.1)


def test_silent_target_is_given_up_at_once() -> None:
    with pytest.raises(ReplicaBehind):
        Patience("b", deadline=10.0).after(CUT, 0.0)


def test_target_that_restarts_may_cut_one_login_and_not_two() -> None:
    patience = Patience("b", deadline=10.0)
    for error in (STARTS, CUT, STARTS, CUT):
        patience.after(error, 0.0)
    with pytest.raises(ReplicaBehind):
        patience.after(CUT, 0.0)


def test_failure_of_our_own_side_is_no_word_about_the_target() -> None:
    patience = Patience("b", deadline=10.0)
    patience.after(OURS, 0.0)
    with pytest.raises(NotYet, match="could not be asked"):
        patience.after(OURS, 10.1)
