"""What one probe means, and when several mean that a node is lost."""

import pytest

from model.probing import ENDING_S, STANDBY_STARTS_S, STARTUP_S, Judgement, Outcome, Probed, classify

CONNECTING = 'connection failed: connection to server at "10.0.0.3", port 5432 failed: '


@pytest.mark.parametrize(
    ("message", "sqlstate", "outcome"),
    [
        # Said while connecting: libpq gives no code.
        (CONNECTING + "FATAL:  sorry, too many clients already", None, Outcome.REFUSED),
        (
            CONNECTING + "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
            None,
            Outcome.REFUSED,
        ),
        (CONNECTING + 'FATAL:  password authentication failed for user "postgres"', None, Outcome.REFUSED),
        (CONNECTING + 'FATAL:  no pg_hba.conf entry for host "10.0.0.9"', None, Outcome.REFUSED),
        (CONNECTING + 'FATAL:  database "postgres" does not exist', None, Outcome.REFUSED),
        (CONNECTING + "FATAL:  could not fork new process for connection: No memory", None, Outcome.REFUSED),
        (CONNECTING + 'FATAL:  could not open file "global/1260": Too many open files', None, Outcome.REFUSED),
        (CONNECTING + "FATAL:  out of memory", None, Outcome.REFUSED),
        (CONNECTING + "FATAL:  the database system is starting up", None, Outcome.STARTING),
        (CONNECTING + "FATAL:  the database system is in recovery mode", None, Outcome.STARTING),
        (CONNECTING + "FATAL:  the database system is not yet accepting connections", None, Outcome.STARTING),
        (CONNECTING + "FATAL:  the database system is shutting down", None, Outcome.ENDING),
        (CONNECTING + 'FATAL:  could not open file "global/pg_filenode.map": No such file', None, Outcome.DAMAGED),
        (
            CONNECTING + 'FATAL:  database "postgres" does not exist DETAIL:  The database subdirectory "base/5" is'
            " missing.",
            None,
            Outcome.DAMAGED,
        ),
        (CONNECTING + "Connection refused", None, Outcome.CLOSED),
        (CONNECTING + "No route to host", None, Outcome.SILENT),
        (CONNECTING + "Connection reset by peer", None, Outcome.SILENT),
        ("connection timeout expired", None, Outcome.SILENT),
        ("consuming input failed: server closed the connection unexpectedly", None, Outcome.SILENT),
        # Our own side.
        (CONNECTING + "could not create socket: Too many open files", None, Outcome.OUR_SIDE),
        ("[Errno 24] Too many open files", None, Outcome.OUR_SIDE),
        ("[Errno 23] Too many open files in system", None, Outcome.OUR_SIDE),
        ("[Errno 12] Cannot allocate memory", None, Outcome.OUR_SIDE),
        (CONNECTING + "Cannot assign requested address", None, Outcome.OUR_SIDE),
        (CONNECTING + "Network is unreachable", None, Outcome.OUR_SIDE),
        ('could not translate host name "node" to address', None, Outcome.OUR_SIDE),
        ('could not read root certificate file "root.crt"', None, Outcome.OUR_SIDE),
        # Said in a session: with a code.
        ("sorry, too many clients already", "53300", Outcome.REFUSED),
        ("out of memory", "53200", Outcome.REFUSED),
        ('could not open file "global/pg_control": Too many open files', "53000", Outcome.REFUSED),
        ("password authentication failed", "28P01", Outcome.REFUSED),
        ("role is not permitted to log in", "28000", Outcome.REFUSED),
        ("database does not exist", "3D000", Outcome.REFUSED),
        ("canceling statement due to user request", "57014", Outcome.REFUSED),
        ("the database system is starting up", "57P03", Outcome.STARTING),
        ("the database system is shutting down", "57P03", Outcome.ENDING),
        ("terminating connection due to administrator command", "57P01", Outcome.STARTING),
        ("terminating connection because of crash of another server process", "57P02", Outcome.STARTING),
        ('could not open file "global/pg_control": No such file or directory', "58P01", Outcome.DAMAGED),
        ("could not read file", "58030", Outcome.DAMAGED),
        ("invalid page in block 3", "XX001", Outcome.DAMAGED),
        ("calculated CRC checksum does not match value stored in file", "XX000", Outcome.DAMAGED),
        ('could not open file "global/pg_control": Permission denied', "42501", Outcome.DAMAGED),
    ],
)
def test_what_was_said_means(message: str, sqlstate: str | None, outcome: Outcome) -> None:
    assert classify(message, sqlstate) is outcome


ANSWERED = Probed(Outcome.ANSWERED)
SILENT = Probed(Outcome.SILENT, "timeout")
CLOSED = Probed(Outcome.CLOSED, "nobody listens")
QUEUED = Probed(Outcome.SILENT, "timeout", queued=True)
REFUSED = Probed(Outcome.REFUSED, "too many clients")
STARTING = Probed(Outcome.STARTING, "starting up")
ENDING = Probed(Outcome.ENDING, "shutting down")
CUT = Probed(Outcome.CUT, "closed")
OURS = Probed(Outcome.OUR_SIDE, "too many open files")
DAMAGED = Probed(Outcome.DAMAGED, "no pg_control")


def judged(*probes: Probed, every_s: float = 1.0) -> Judgement:
    """Return what is to be said after *probes*, one each so many seconds."""
    judgement = Judgement(began=0.0)
    for number, probe in enumerate(probes, start=1):
        judgement = judgement.after(probe, number * every_s)
    return judgement


@pytest.mark.parametrize(
    ("probes", "lost"),
    [
        ((ANSWERED, SILENT), ""),
        ((ANSWERED, SILENT, ANSWERED, SILENT), ""),
        ((ANSWERED, SILENT, SILENT), "it did not answer 2 times: timeout"),
        ((ANSWERED, SILENT, CLOSED), "it did not answer 2 times: nobody listens"),
        ((ANSWERED, CUT, SILENT), ""),
        ((ANSWERED, CUT, SILENT, SILENT), "it did not answer 2 times: timeout"),
        ((ANSWERED, SILENT, CUT, SILENT), "it did not answer 2 times: timeout"),
        ((ANSWERED, SILENT, OURS, SILENT), "it did not answer 2 times: timeout"),
        ((ANSWERED, SILENT, REFUSED, SILENT), ""),
        ((ANSWERED, SILENT, STARTING, SILENT), ""),
        ((ANSWERED, DAMAGED), ""),
        ((ANSWERED, DAMAGED, ANSWERED, DAMAGED), ""),
        ((ANSWERED, DAMAGED, DAMAGED), "its data directory is damaged: no pg_control"),
        ((ANSWERED, SILENT, QUEUED, QUEUED, QUEUED), ""),
        ((ANSWERED, SILENT, QUEUED, SILENT), "it did not answer 2 times: timeout"),
        ((REFUSED, SILENT, SILENT), "it did not answer 2 times: timeout"),
        # Not one of these is silence, however long it lasts.
        ((ANSWERED, *[REFUSED] * 2000), ""),
        ((ANSWERED, *[STARTING] * 2000), ""),
        ((*[STARTING] * 2000,), ""),
        ((ANSWERED, *[OURS] * 2000), ""),
        ((ANSWERED, *[QUEUED] * 2000), ""),
        ((ANSWERED, *[CUT, STARTING] * 1000), ""),
    ],
)
def test_what_the_last_probes_say_of_a_node(probes: tuple[Probed, ...], lost: str) -> None:
    assert judged(*probes).lost == lost


def test_node_that_never_answered_may_be_silent_while_it_starts() -> None:
    patience = int(STARTUP_S)
    assert judged(*[CLOSED] * (patience - 1)).lost == ""
    assert judged(*[CLOSED] * (patience + 1)).lost == "it did not answer 2 times: nobody listens"


def test_standby_that_starts_for_too_long_is_lost_and_a_primary_is_not() -> None:
    starting = Probed(Outcome.STARTING, "starting up", standby=True)
    bound = int(STANDBY_STARTS_S)
    assert judged(*[starting] * bound).lost == ""
    assert judged(*[starting] * (bound + 1)).lost == "for 600 s it only said: starting up"
    assert judged(*[starting] * (bound - 1), ANSWERED, *[starting] * 10).lost == ""


def test_postgres_that_shuts_down_and_does_not_end_is_lost() -> None:
    bound = int(ENDING_S)
    assert judged(ANSWERED, *[ENDING] * bound).lost == ""
    assert judged(ANSWERED, *[ENDING] * (bound + 1)).lost == "for 60 s it only said: shutting down"
