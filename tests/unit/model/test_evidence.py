"""What shows that a replica's data can be of no use, and what does not."""

import struct

import pytest

from model.evidence import COPIED, DataSeen, Evidence, why_useless

CONTROL = struct.pack("<QIIi4xqQQI", 7, 1700, 1, 6, 0, 1, 1, 1)
WHOLE = DataSeen(finished=True, rewinding=False, control=CONTROL, rewind_log="", log="")
OWN = "2026-11-28 13:09:37.022 GMT [32] "
DIVERGED = f"{OWN}FATAL:  requested timeline 3 is not a child of this server's history"


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        (
            f"{OWN}FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment"
            " 000000010000000000000003 has already been removed",
            "the primary no longer has the WAL that it lacks",
        ),
        (DIVERGED, "its history has diverged"),
        (
            f"{OWN}LOG:  new timeline 3 forked off current database system timeline 2 before this",
            "its history has diverged",
        ),
        (
            f"{OWN}PANIC:  could not locate a valid checkpoint record at 0/1013808",
            "its last checkpoint is not in its WAL",
        ),
        (
            "pg_rewind: error: could not find previous WAL record at 0/3000028: unexpected pageaddr",
            "it lacks the WAL to rewind it by",
        ),
        (f"{OWN}PANIC:  WAL contains references to invalid pages", "its pages are not those that its WAL is about"),
        (
            f'{OWN}FATAL:  could not open file "global/pg_filenode.map": No such file or directory',
            "files of it are not there",
        ),
    ],
)
def test_what_postgres_said_of_its_data_is_evidence_and_is_quoted(line: str, meaning: str) -> None:
    seen = WHOLE.model_copy(update={"log": f"LOG:  entering standby mode\n{line}\nLOG:  shut down"})
    assert why_useless(seen) == Evidence(why=f"{meaning} ({line})")


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        (
            f"{OWN}FATAL:  could not receive data from WAL stream: ERROR:  requested starting point 0/5000000 is ahead"
            " of the WAL flush position of this server 0/4000060",
            "it has WAL that the primary never had",
        ),
        (
            f"{OWN}FATAL:  highest timeline 1 of the primary is behind recovery timeline 2",
            "it was promoted after the primary was",
        ),
    ],
)
def test_data_ahead_of_the_primary_are_told_from_data_of_no_use(line: str, meaning: str) -> None:
    for log in (line, f"{line}\n{DIVERGED}"):
        seen = WHOLE.model_copy(update={"log": log, "control": None})
        assert why_useless(seen) == Evidence(why=f"{meaning} ({line})", ahead=True)


@pytest.mark.parametrize(
    "line",
    [
        "node: the primary at 10.0.0.3 does not answer; nothing was removed.",
        "node: No space left on device for another copy: it needs 9 MB and may have 2 MB; nothing was removed.",
        'pg_rewind: error: connection to server at "10.0.0.3", port 5432 failed: timeout expired',
        f"{OWN}FATAL:  could not connect to the primary server: Connection refused",
        f'{OWN}FATAL:  could not write lock file "postmaster.pid": No space left on device',
        f"{OWN}FATAL:  the database system is starting up",
        f'{OWN}FATAL:  could not open file "base/5/1249": Too many open files',
        f'{OWN}FATAL:  could not open file "/var/lib/postgresql/conf/pg_hba.conf": Permission denied',
        f"{OWN}FATAL:  could not map anonymous shared memory: Cannot allocate memory",
        f"{OWN}FATAL:  recovery aborted because of insufficient parameter settings",
        "2026-11-28 13:09:37.022 GMT [33] amy@shop ERROR:  requested WAL segment 3 has already been removed",
        "\tPANIC:  could not locate a valid checkpoint record",
    ],
)
def test_errors_that_say_nothing_about_the_data_are_none(line: str) -> None:
    assert why_useless(WHOLE.model_copy(update={"log": line})) is None


def test_what_was_said_of_other_data_before_a_copy_is_no_evidence() -> None:
    assert why_useless(WHOLE.model_copy(update={"log": f"{DIVERGED}\n{COPIED}\nLOG:  streaming"})) is None
    assert why_useless(WHOLE.model_copy(update={"log": f"{COPIED}\n{DIVERGED}"})) is not None


@pytest.mark.parametrize("control", [None, b"", bytes(512)])
def test_control_file_that_cannot_be_read_is_evidence(control: bytes | None) -> None:
    found = why_useless(WHOLE.model_copy(update={"control": control}))
    assert found is not None
    assert "control file" in found.why


@pytest.mark.parametrize(("log", "useless"), [("servers diverged at 0/1", False), ("need to copy 12 MB", True)])
def test_rewind_that_was_cut_short_is_evidence_once_it_had_begun_to_write(log: str, useless: bool) -> None:
    seen = WHOLE.model_copy(update={"finished": False, "rewinding": True, "rewind_log": log})
    assert (why_useless(seen) is not None) is useless


def test_data_that_were_never_finished_need_no_evidence() -> None:
    assert why_useless(WHOLE.model_copy(update={"finished": False, "control": None})) is None
