"""When a cluster's backups are not what was promised: decided here, over what is known."""

from datetime import datetime, timedelta

from model.archive_holes import WAL_SEGMENT_BYTES
from model.backups import BackupPolicy, BackupRecord, BackupType
from model.cron import Cron, first_after, parse_cron
from model.drill_runs import last_proven
from model.effects.backups import Archiving

PATIENCE = timedelta(seconds=30)
"""How long archiving may fail before it is told: Postgres tries again after a second, then after each minute."""


def archiving_trouble(seen: Archiving, now: datetime, watched_since: datetime, allowed: timedelta) -> str:
    """Return what is wrong with archiving, in one sentence; the empty string when nothing is.

    *allowed* is how old the last archived WAL may be while there is more than a segment to archive. Where nothing was
    archived yet, after a takeover for instance, that counts from *watched_since* on.
    """
    if seen.failing_since is not None:
        if now - seen.failing_since < PATIENCE:
            return ""
        reason = (seen.reason or "Its reason is in the log of the primary.").strip()
        return f"WAL is not archived since {_at(seen.failing_since)}. {reason}"
    last = max(seen.last_archived_at or watched_since, watched_since)
    # What waits in a segment that is not full yet is no sign: an idle cluster never closes it.
    if seen.waiting_bytes <= WAL_SEGMENT_BYTES or now - last <= allowed:
        return ""
    waiting = seen.waiting_bytes // 2**20
    return f"WAL is not archived since {_at(last)}: {waiting} MB wait for the archiver, which does nothing."


def overdue_at(policy: BackupPolicy, record: BackupRecord, made_at: datetime, factor: float) -> datetime:
    """Return from when on a backup is overdue in a cluster that was made at *made_at*, unless one comes before.

    After a good one the next is due at its time; it is overdue when ``factor - 1`` of an interval has passed since
    then. A full one has to come in time, and one of any type.
    """
    full, incr = parse_cron(policy.full), parse_cron(policy.incr)
    last_full, last = record.latest(BackupType.FULL), record.latest()
    return min(
        _overdue([full], last_full.finished_at if last_full else made_at, factor),
        _overdue([full, incr], last.finished_at if last else made_at, factor),
    )


def backup_overdue(policy: BackupPolicy, record: BackupRecord, made_at: datetime, now: datetime, factor: float) -> str:
    """Return what to say of a backup that is overdue at *now*; the empty string when none is."""
    if now < overdue_at(policy, record, made_at, factor):
        return ""
    last_full, last = record.latest(BackupType.FULL), record.latest()
    if last is None:
        said = "There is no backup."
    elif last_full is None:
        said = f"There is no full backup; the last one of any type is of {_at(last.finished_at)}."
    else:
        said = f"The last backup is of {_at(last.finished_at)}, the last full one of {_at(last_full.finished_at)}."
    return f"{said} {record.failure.message}" if record.failure else said


def drill_overdue(policy: BackupPolicy, record: BackupRecord, made_at: datetime, now: datetime, factor: float) -> str:
    """Return what to say of a drill that is overdue at *now*; the empty string when none is, or none is scheduled."""
    if not policy.drill:
        return ""
    proven = last_proven(record.proofs)
    if now < _overdue([parse_cron(policy.drill)], proven.at if proven else made_at, factor):
        return ""
    said = f"The last backup that was proven is {proven.backup_id}, at {_at(proven.at)}." if proven else ""
    failed = record.proofs[-1].fault if record.proofs else None
    return " ".join(each for each in (said or "No backup was proven yet.", failed) if each)


def _overdue(crons: list[Cron], last: datetime, factor: float) -> datetime:
    due = first_after(crons, last)
    return due + (factor - 1) * (first_after(crons, due) - due)


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
