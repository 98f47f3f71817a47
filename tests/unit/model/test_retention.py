"""Which backups go: only what neither the number nor the window needs."""

from datetime import UTC, datetime, timedelta

import pytest

from model.backups import Backup, BackupPolicy, BackupType, RepositoryContents
from model.drills import Proof
from model.pg_control import parse_lsn
from model.retention import fulls_to_keep
from model.timelines import Fork

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
POLICY = BackupPolicy(keep_full=2, keep_days=7)


def backup(days_ago: float, kind: BackupType = BackupType.FULL, *, error: str | None = None) -> Backup:
    at = NOW - timedelta(days=days_ago)
    return Backup(
        id=f"{at:%Y%m%d-%H%M%S}F",
        type=kind,
        started_at=at - timedelta(minutes=10),
        finished_at=at,
        size_bytes=1,
        stored_bytes=1,
        first_lsn="0/1",
        last_lsn="0/2",
        first_wal="000000010000000000000001",
        last_wal="000000010000000000000001",
        error=error,
    )


def contents(*backups: Backup) -> RepositoryContents:
    return RepositoryContents(backups=backups)


@pytest.mark.parametrize(
    ("fulls_days_ago", "kept"),
    [
        ((), 0),
        ((1,), 1),
        ((30,), 1),
        ((30, 20), 2),
        # Two younger ones, but without the third the window's beginning cannot be restored.
        ((8, 3, 1), 3),
        ((15, 8, 1), 2),
        ((15, 8, 7, 1), 2),
        ((15, 8, 6.9, 1), 3),
        # Older than the window all of them: the number counts.
        ((40, 30, 20), 2),
        ((22, 15, 8, 1), 2),
    ],
)
def test_a_full_backup_goes_when_neither_number_nor_window_needs_it(
    fulls_days_ago: tuple[float, ...], kept: int
) -> None:
    assert fulls_to_keep(contents(*(backup(days) for days in fulls_days_ago)), POLICY, NOW) == kept


def test_what_is_incremental_opens_no_window() -> None:
    backups = [backup(30), backup(8, BackupType.INCR), backup(7.5, BackupType.DIFF), backup(6), backup(1)]
    assert fulls_to_keep(contents(*backups), POLICY, NOW) == 3


def test_a_backup_with_an_error_stands_for_nothing_and_stays_while_it_is_in_between() -> None:
    backups = [backup(30), backup(20), backup(8, error="Pages were found whose checksum does not fit."), backup(1)]
    assert fulls_to_keep(contents(*backups), POLICY, NOW) == 3


def test_backup_beyond_the_point_of_a_failover_promises_nothing() -> None:
    beyond = [each.model_copy(update={"last_lsn": "0/9"}) for each in (backup(12), backup(9))]
    left = contents(backup(30), backup(20), *beyond, backup(1))
    assert fulls_to_keep(left, POLICY, NOW) == 2
    # A failover since: to 20 and 30 days ago, and not to what is in between, a moment of the window is restored from.
    forks = (Fork(timeline=1, at=parse_lsn("0/5")),)
    assert fulls_to_keep(left.model_copy(update={"timeline": 2, "forks": forks}), POLICY, NOW) == 4


def test_what_a_drill_has_shown_to_be_damaged_promises_nothing() -> None:
    found = tuple(backup(days) for days in (20, 14, 8, 1))
    damaged = Proof(operation_id="drill", backup_id=found[2].id, at=NOW, fault="Data corruption detected.")
    assert fulls_to_keep(RepositoryContents(backups=found), POLICY, NOW) == 2
    assert fulls_to_keep(RepositoryContents(backups=found), POLICY, NOW, proofs=(damaged,)) == 3


def test_order_does_not_matter() -> None:
    assert fulls_to_keep(contents(backup(1), backup(15), backup(8)), POLICY, NOW) == 2


@pytest.mark.parametrize(
    ("read", "kept"),
    [
        ((), 2),
        (("gone",), 2),
        (("1",), 2),
        (("20",), 4),
        (("15", "1"), 3),
    ],
)
def test_what_is_being_read_is_kept(read: tuple[str, ...], kept: int) -> None:
    found = [backup(days) for days in (20, 15, 8, 1)]
    ids = {str(days): each.id for days, each in zip((20, 15, 8, 1), found, strict=True)}
    # An incremental one needs its full one, whose id its own begins with.
    reading = {ids.get(each, each) + "_20261130-000000I" for each in read}
    assert fulls_to_keep(contents(*found), POLICY, NOW, reading) == kept
