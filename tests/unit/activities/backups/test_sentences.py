"""One sentence of what pgBackRest says at length."""

from activities.backups.sentences import sentence

FAILED = """2026-11-28 16:54:29.001 P00   WARN: something of no importance
2026-11-28 16:54:30.123 P00  ERROR: [103]: unable to find a valid repository:
       repo1: [FileMissingError] unable to load info file '/var/lib/pgbackrest/k/archive/s/archive.info':
             FileMissingError: unable to open missing file for read
       HINT: archive.info cannot be opened but is required to push/get WAL segments.
       HINT: is archive_command configured correctly in postgresql.conf?
2026-11-28 16:54:30.124 P00   INFO: archive-push command end: aborted with exception [103]
"""


def test_the_error_with_its_details_and_without_hints() -> None:
    assert sentence(FAILED) == (
        "unable to find a valid repository: repo1: [FileMissingError] unable to load info file "
        "'/var/lib/pgbackrest/k/archive/s/archive.info': FileMissingError: unable to open missing file for read"
    )


def test_the_last_of_several_errors() -> None:
    assert sentence("P00  ERROR: [1]: first\nP00  ERROR: [2]: second.\n") == "second"


def test_what_is_no_error_of_its_own_is_told_as_it_is() -> None:
    assert sentence("sh: 1: pgbackrest: not found") == "sh: 1: pgbackrest: not found"
    assert sentence("") == ""
