"""The Temporal Schedules of a cluster: their ids, how far apart clusters begin, what is made up for."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from model.backups import BackupPolicy, BackupType
from model.cron import Cron, parse_cron

SCHEDULED = (BackupType.FULL, BackupType.INCR)
"""The types of backups that have a schedule."""
LONGEST_JITTER = timedelta(hours=1)
_JITTER_PART, _CATCH_UP_PART = 0.1, 0.8


def schedule_id(cluster_id: str, type: BackupType) -> str:
    """Return the id of a cluster's schedule of backups of *type*: there is one of each."""
    return f"backup-{type}/{cluster_id}"


def drill_schedule_id(cluster_id: str) -> str:
    """Return the id of a cluster's schedule of drills."""
    return f"backup-drill/{cluster_id}"


@dataclass(frozen=True)
class Timing:
    """When a schedule starts what it starts."""

    line: str
    cron: Cron
    jitter: timedelta
    """Each begins up to so much later, so that a thousand clusters do not begin at once."""
    catch_up: timedelta
    """What was missed, while Temporal was down for instance, is made up for this long: less than an interval."""


def timing(policy: BackupPolicy, type: BackupType, now: datetime) -> Timing:
    """Return when backups of *type*, one of :data:`SCHEDULED`, are made by *policy*."""
    return timing_of(policy.full if type is BackupType.FULL else policy.incr, now)


def timing_of(line: str, now: datetime) -> Timing:
    """Return when something is done by the cron *line*."""
    cron = parse_cron(line)
    interval = cron.interval(now)
    return Timing(
        line=line,
        cron=cron,
        jitter=min(_JITTER_PART * interval, LONGEST_JITTER),
        catch_up=_CATCH_UP_PART * interval,
    )
