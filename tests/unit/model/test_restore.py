"""From a moment to a backup and a target: the window, the choice, what is refused."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from model.backups import Backup, BackupType, Hole, RepositoryContents
from model.errors import InvalidInput, MpgError, NotFound, Refused
from model.operations import RestoreClusterRequest
from model.restore import RecoveryType, RestoreTarget, choose, name_of_copy, parse_time, window
from model.timelines import Fork
from model.validation import validated

DAY = datetime(2026, 11, 28, tzinfo=UTC)
END = DAY.replace(hour=18)
ID, OTHER = "0123456789abcdef", "fedcba9876543210"


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return DAY.replace(hour=hour, minute=minute, second=second)


def backup(hour: int, *, error: str | None = None) -> Backup:
    return Backup(
        id=f"backup-{hour}",
        type=BackupType.FULL,
        started_at=at(hour, 0),
        finished_at=at(hour, 5),
        size_bytes=hour * 100,
        stored_bytes=1,
        first_lsn=f"0/{hour}000028",
        last_lsn=f"0/{hour}000100",
        first_wal="000000010000000000000001",
        last_wal="000000010000000000000001",
        error=error,
    )


CONTENTS = RepositoryContents(
    backups=(backup(2), backup(4), backup(6, error="Pages were found whose checksum does not fit.")),
    archive_first="000000010000000000000001",
    archive_last="000000020000000000000009",
)


def test_window_is_from_the_first_good_backup_to_the_end_of_the_archive():
    found = window(CONTENTS, END)
    assert found is not None
    assert (found.start, found.end) == (at(2, 5, 1), END)
    assert window(RepositoryContents(backups=(backup(6, error="bad"),)), END) is None
    assert window(RepositoryContents(), END) is None


@pytest.mark.parametrize(
    ("target", "chosen"),
    [
        (RestoreTarget(), ("backup-4", "default", "")),
        (RestoreTarget(backup_id="backup-2"), ("backup-2", "immediate", "")),
        (RestoreTarget(backup_id="backup-6"), ("backup-6", "immediate", "")),
        (RestoreTarget(pitr_time=at(3)), ("backup-2", "time", "2026-11-28 03:00:00+00:00")),
        (RestoreTarget(pitr_time=at(4, 4)), ("backup-2", "time", "2026-11-28 04:04:00+00:00")),
        # Its end is noted in whole seconds: it may have been at 04:05:00.9.
        (RestoreTarget(pitr_time=at(4, 5)), ("backup-2", "time", "2026-11-28 04:05:00+00:00")),
        (RestoreTarget(pitr_time=at(4, 5, 1)), ("backup-4", "time", "2026-11-28 04:05:01+00:00")),
        (RestoreTarget(pitr_time=at(7)), ("backup-4", "time", "2026-11-28 07:00:00+00:00")),
        (
            RestoreTarget(pitr_time=at(7).astimezone(timezone(timedelta(hours=2)))),
            ("backup-4", "time", "2026-11-28 07:00:00+00:00"),
        ),
        (RestoreTarget(pitr_time=END), ("backup-4", "time", "2026-11-28 18:00:00+00:00")),
        (RestoreTarget(lsn="0/2000100"), ("backup-2", "lsn", "0/2000100")),
        (RestoreTarget(lsn="0/40000FF"), ("backup-2", "lsn", "0/40000FF")),
        (RestoreTarget(lsn="1/0"), ("backup-4", "lsn", "1/0")),
    ],
    ids=str,
)
def test_youngest_good_backup_before_the_moment(target: RestoreTarget, chosen: tuple[str, str, str]):
    point = choose(CONTENTS, target, END)
    assert (point.backup_id, point.type, point.target) == chosen
    # Where recovery ends at the end of the archive, a hole has to be told from it.
    assert point.last_wal == (None if point.type is RecoveryType.IMMEDIATE else CONTENTS.archive_last)


AFTER_FAILOVER = CONTENTS.model_copy(update={"timeline": 2, "forks": (Fork(timeline=1, at=0x40000FF),)})
"""In ``async``: the second backup ended a byte beyond what the replica had received."""


@pytest.mark.parametrize(
    ("target", "chosen"),
    [
        (RestoreTarget(), ("backup-2", RecoveryType.DEFAULT, None)),
        (RestoreTarget(pitr_time=at(17)), ("backup-2", RecoveryType.TIME, None)),
        (RestoreTarget(lsn="1/0"), ("backup-2", RecoveryType.LSN, None)),
        (RestoreTarget(backup_id="backup-2"), ("backup-2", RecoveryType.IMMEDIATE, None)),
        # By itself it is good, on the timeline that was left.
        (RestoreTarget(backup_id="backup-4"), ("backup-4", RecoveryType.IMMEDIATE, 1)),
    ],
    ids=str,
)
def test_backup_beyond_a_failover_is_good_for_itself_only(target: RestoreTarget, chosen: tuple[str, str, int | None]):
    point = choose(AFTER_FAILOVER, target, END)
    assert (point.backup_id, point.type, point.timeline) == chosen


def test_where_every_backup_is_beyond_a_failover_there_is_no_window():
    left = AFTER_FAILOVER.model_copy(update={"backups": AFTER_FAILOVER.backups[1:2]})
    assert window(left, END) is None
    with pytest.raises(Refused, match="the last of which is backup-4, ended beyond the point"):
        choose(left, RestoreTarget(pitr_time=at(17)), END)


SEGMENT = "000000010000000000000003"
LOST = Hole(first=SEGMENT, last=SEGMENT, since=at(3), until=at(4, 5, 1))
"""Between the two good backups."""


@pytest.mark.parametrize(
    ("target", "ended", "restored"),
    [
        (RestoreTarget(pitr_time=at(2, 59, 59)), True, True),
        (RestoreTarget(pitr_time=at(3)), True, False),
        (RestoreTarget(pitr_time=at(4, 5)), True, False),
        (RestoreTarget(pitr_time=at(4, 5, 1)), True, True),
        (RestoreTarget(lsn="0/0BFFFFF"), True, True),
        (RestoreTarget(lsn="0/0C00000"), True, False),
        (RestoreTarget(), True, True),
        (RestoreTarget(backup_id="backup-2"), True, True),
        # There is no backup after it yet.
        (RestoreTarget(pitr_time=at(7)), False, False),
        (RestoreTarget(), False, False),
        (RestoreTarget(backup_id="backup-2"), False, True),
    ],
    ids=str,
)
def test_no_moment_behind_a_hole(target: RestoreTarget, ended: bool, restored: bool):
    """The same moments as are shown to be lost."""
    low = {"first_lsn": "0/800028", "last_lsn": "0/800100", "first_wal": "000000010000000000000002"}
    first, second = (
        backup(2).model_copy(update=low),
        backup(4).model_copy(update={"first_wal": "000000010000000000000010"}),
    )
    contents = RepositoryContents(backups=(first, second) if ended else (first,))
    hole = LOST if ended else LOST.model_copy(update={"until": None})
    if restored:
        choose(contents, target, END, (hole,))
        return
    with pytest.raises(Refused, match="cannot be restored: WAL is lost, so no moment from 2026-11-28 03:00:00 UTC"):
        choose(contents, target, END, (hole,))


@pytest.mark.parametrize(
    ("contents", "target", "error", "said"),
    [
        (CONTENTS, RestoreTarget(backup_id="x"), NotFound, "There is no backup 'x'."),
        (CONTENTS, RestoreTarget(pitr_time=at(2, 5)), Refused, "from 2026-11-28 02:05:01 UTC to 2026-11-28 18:00:00"),
        (CONTENTS, RestoreTarget(pitr_time=at(18, 0, 1)), Refused, "2026-11-28 18:00:01 UTC cannot be restored: the"),
        (CONTENTS, RestoreTarget(lsn="0/20000FF"), Refused, "0/20000FF cannot be restored"),
        (RepositoryContents(), RestoreTarget(), Refused, "There is no good backup"),
        (RepositoryContents(backups=(backup(6, error="bad"),)), RestoreTarget(pitr_time=at(7)), Refused, "no good"),
    ],
)
def test_moment_that_cannot_be_restored(
    contents: RepositoryContents, target: RestoreTarget, error: type[MpgError], said: str
):
    with pytest.raises(error, match=said):
        choose(contents, target, END)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-28T17:05:00Z", at(17, 5)),
        ("2026-11-28 17:05:00+00:00", at(17, 5)),
        ("2026-11-28T19:05:00.250+02:00", at(17, 5) + timedelta(milliseconds=250)),
    ],
)
def test_time_with_an_offset(text: str, moment: datetime):
    assert parse_time(text) == moment


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-11-28T17:05:00", "lacks its offset from UTC: write 2026-11-28T17:05:00Z"),
        ("2026-11-28", "lacks its offset"),
        ("yesterday", "'yesterday' is no time"),
        ("", "'' is no time"),
    ],
)
def test_time_that_is_none(text: str, said: str):
    with pytest.raises(InvalidInput, match=said):
        parse_time(text)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Say one of backup_id, pitr_time, lsn and latest"),
        ({"latest": True, "backup_id": "x"}, "Say one of"),
        ({"latest": False}, "Say one of"),
        ({"pitr_time": "2026-11-28T17:05:00"}, "lacks its offset"),
        ({"lsn": "17"}, "'17' is no position in WAL"),
        ({"latest": True, "source_id": "x"}, "Cluster id 'x'"),
        ({"latest": True, "storage_gb": 0}, "Storage of 0 GB"),
    ],
)
def test_request_that_does_not_fit(fields: dict[str, object], said: str):
    with pytest.raises(InvalidInput, match=said):
        validated(RestoreClusterRequest, **{"cluster_id": ID, "name": "x", "source_id": OTHER, **fields})


@pytest.mark.parametrize(
    ("source", "name"),
    [("orders", "orders-fork"), ("o" * 48, "o" * 43 + "-fork"), ("o" * 42 + "-" + "o" * 5, "o" * 42 + "-fork")],
)
def test_name_of_a_copy_is_one(source: str, name: str):
    request = RestoreClusterRequest(cluster_id=ID, name=name_of_copy(source, "fork"), source_id=OTHER, latest=True)
    assert request.name == name
