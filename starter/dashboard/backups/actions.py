"""What can be done with backups."""

import re
from collections.abc import Sequence

from model.backups import BackupType
from model.cluster import ClusterView
from model.restore import name_of_copy
from starter.client import MpgClient
from starter.client.operation import Operation
from starter.dashboard.action import Action, Field, Given, name_of, whole_number

_TYPES = (
    (BackupType.FULL.value, "full: everything"),
    (BackupType.DIFF.value, "diff: what changed since the last full one"),
    (BackupType.INCR.value, "incr: what changed since the last one"),
)
_NEW_NAME = Field("name", "Name of the new cluster", hint="Left empty it is made from this cluster's.")
KEPT = ("keep_full", "keep_days")
"""Fields that say how much is kept."""
_TO_THE_MINUTE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
_UNTOUCHED = "{name} itself is not touched; clients of it notice nothing."


async def _back_up(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.create_backup(view.state.spec.id, given["type"], org=view.state.spec.org)


async def _restore(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    spec = view.state.spec
    time = None if given["backup_id"] else utc(given["time"])
    return await mpg.restore_cluster(
        spec.id, backup_id=given["backup_id"] or None, pitr_time=time, name=given["name"] or None, org=spec.org
    )


async def _fork(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.fork_cluster(view.state.spec.id, name=given["name"] or None, org=view.state.spec.org)


async def _verify(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.verify_backup(view.state.spec.id, given["backup_id"] or None, org=view.state.spec.org)


async def _set_schedule(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.set_backup_policy(
        view.state.spec.id,
        full=given["full"] or None,
        incr=given["incr"] or None,
        drill=given["drill"] or None,
        keep_full=whole_number(given["keep_full"], "A number of full backups") if given["keep_full"] else None,
        keep_days=whole_number(given["keep_days"], "A number of days") if given["keep_days"] else None,
        org=view.state.spec.org,
    )


def _schedule_command(view: ClusterView, given: Given) -> tuple[str, ...]:
    options = (("--" + name.replace("_", "-"), given[name]) for name in ("full", "incr", "drill", *KEPT))
    return (
        "backup",
        "schedule",
        name_of(view),
        *(word for option, value in options if value for word in (option, value)),
    )


def utc(entered: str) -> str:
    """Return a time that a field of a form holds, which has no offset, as RFC 3339 in UTC."""
    text = entered.strip().replace(" ", "T", 1)
    if _TO_THE_MINUTE.fullmatch(text):
        text += ":00"  # Browsers leave out seconds that are none.
    return text if not text or text.endswith("Z") or "+" in text else f"{text}Z"


def said(entered: str) -> str:
    """Return the same for people."""
    return utc(entered).replace("T", " ").replace("Z", " UTC")


def named(given: Given) -> tuple[str, ...]:
    """Return the options with the name of the new cluster, where one was given."""
    return ("--name", given["name"]) if given["name"] else ()


def _moment(given: Given) -> Sequence[str]:
    if given["backup_id"]:
        return ("--backup-id", given["backup_id"])
    return ("--pitr-time", utc(given["time"]) or "TIME")


def _restored(view: ClusterView, given: Given) -> list[str]:
    time = said(given["time"]) or "the time that you say, to the second"
    what = f"the end of backup {given['backup_id']}" if given["backup_id"] else time
    name = given["name"] or name_of_copy(name_of(view), "restored")
    return [
        f"A new cluster, {name}, is made with all data, users and databases as of {what}.",
        _UNTOUCHED.format(name=name_of(view)),
        "It has addresses and passwords of its own.",
    ]


ACTIONS = (
    Action(
        name="back-up",
        tab="backups",
        title=lambda view, given: f"Back up {name_of(view)} now",
        button="Back Up Now",
        fields=(Field("type", "Type", default=BackupType.FULL.value, choices=_TYPES),),
        effects=lambda view, given: ("It runs beside everything else. Clients notice nothing.",),
        command=lambda view, given: ("backup", "create", name_of(view), "--type", given["type"]),
        start=_back_up,
    ),
    Action(
        name="verify",
        tab="backups",
        title=lambda view, given: f"Prove {given['backup_id'] or 'the latest backup'} of {name_of(view)}",
        button="Verify",
        fields=(Field("backup_id", "Backup", fixed=True),),
        effects=lambda view, given: (
            "It is restored to a place that is thrown away, every page, table and index is read, and rows compared.",
            "It runs beside everything else, with bounds on what it takes. Clients notice nothing.",
        ),
        command=lambda view, given: (
            "backup", "verify", name_of(view), *(("--backup-id", given["backup_id"]) if given["backup_id"] else ()),
        ),
        start=_verify,
    ),
    Action(
        name="schedule",
        tab="backups",
        title=lambda view, given: f"Change when {name_of(view)} is backed up",
        button="Update Schedule",
        fields=(
            Field("full", "Full backups", hint="A cron line in UTC: minute, hour, day, month, day of the week."),
            Field("incr", "Incremental backups"),
            Field("drill", "Proofs of the latest backup", hint="A cron line, or off."),
            Field("keep_full", "Full backups to keep at least", number=True),
            Field("keep_days", "Days back that can be restored to", number=True),
        ),
        effects=lambda view, given: (
            "The next backups are made when this says. What is left empty stays as it is.",
            "Backups that are kept no longer are removed after the next one.",
        ),
        command=_schedule_command,
        start=_set_schedule,
    ),
    Action(
        name="restore",
        tab="backups",
        makes_cluster=True,
        title=lambda view, given: f"Restore {name_of(view)} to a backup",
        button="Restore",
        fields=(Field("backup_id", "Backup", fixed=True), Field("time", "Time", fixed=True), _NEW_NAME),
        effects=_restored,
        command=lambda view, given: ("restore", name_of(view), *_moment(given), *named(given)),
        start=_restore,
    ),
    Action(
        name="restore-to-time",
        tab="backups",
        makes_cluster=True,
        title=lambda view, given: f"Restore {name_of(view)} to a moment",
        button="Restore",
        fields=(
            Field("backup_id", "Backup", fixed=True),
            Field("time", "Time in UTC", moment=True),
            _NEW_NAME,
        ),
        effects=_restored,
        command=lambda view, given: ("restore", name_of(view), *_moment(given), *named(given)),
        start=_restore,
    ),
    Action(
        name="fork",
        tab="backups",
        makes_cluster=True,
        title=lambda view, given: f"Fork {name_of(view)}",
        button="Fork",
        fields=(_NEW_NAME,),
        effects=lambda view, given: (
            f"A new cluster, {given['name'] or name_of_copy(name_of(view), 'fork')}, is made with all that this one "
            "holds now.",
            _UNTOUCHED.format(name=name_of(view)),
        ),
        command=lambda view, given: ("fork", name_of(view), *named(given)),
        start=_fork,
    ),
)  # fmt: skip
