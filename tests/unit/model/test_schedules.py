"""How far apart clusters begin, and what is made up for."""

from datetime import UTC, datetime, timedelta

import pytest

from model.backups import BackupPolicy, BackupType
from model.schedules import schedule_id, timing

NOW = datetime(2026, 11, 28, 17, 0, tzinfo=UTC)


def test_ids_are_readable():
    assert schedule_id("0123456789abcdef", BackupType.FULL) == "backup-full/0123456789abcdef"


@pytest.mark.parametrize(
    ("policy", "type", "interval", "jitter"),
    [
        (BackupPolicy(), BackupType.FULL, timedelta(days=7), timedelta(hours=1)),
        (BackupPolicy(), BackupType.INCR, timedelta(days=1), timedelta(hours=1)),
        (BackupPolicy(incr="0 * * * *"), BackupType.INCR, timedelta(hours=1), timedelta(minutes=6)),
    ],
)
def test_jitter_and_catch_up_follow_from_the_interval(
    policy: BackupPolicy, type: BackupType, interval: timedelta, jitter: timedelta
):
    made = timing(policy, type, NOW)
    assert made.jitter == jitter
    assert made.jitter + made.catch_up < interval
