"""What can be done with backups."""

from collections.abc import Sequence

from model.backups import BackupType
from model.cluster import ClusterView
from model.restore import name_of_copy
from starter.client import MpgClient
from starter.client.operation import Operation
from starter.dashboard.action import Action, Field, Given, name_of

_TYPES = (
    (BackupType.FULL.value, "full: everything"),
    (BackupType.DIFF.value, "diff: what changed since the last full one"),
    (BackupType.INCR.value, "incr: what changed since the last one"),
)
_NEW_NAME = Field("name", "Name of the new cluster", hint="Left empty it is made from this cluster's.")
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


def utc(entered: str) -> str:
    """Return a time that a field of a form holds, which has no offset, as RFC 3339 in UTC."""
    text = entered.strip().replace(" ", "T", 1)
    return text if not text or text.endswith("Z") or "+" in text else f"{text}Z"


def _named(given: Given) -> tuple[str, ...]:
    return ("--name", given["name"]) if given["name"] else ()


def _moment(given: Given) -> Sequence[str]:
    if given["backup_id"]:
        return ("--backup-id", given["backup_id"])
    return ("--pitr-time", utc(given["time"]) or "TIME")


def _restored(view: ClusterView, given: Given) -> list[str]:
    what = f"the end of backup {given['backup_id']}" if given["backup_id"] else "the time that you say, to the second"
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
        name="restore",
        tab="backups",
        makes_cluster=True,
        title=lambda view, given: f"Restore {name_of(view)} to a backup",
        button="Restore",
        fields=(Field("backup_id", "Backup", fixed=True), Field("time", "Time", fixed=True), _NEW_NAME),
        effects=_restored,
        command=lambda view, given: ("restore", name_of(view), *_moment(given), *_named(given)),
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
            Field("time", "Time in UTC", hint="Such as 2026-03-01 14:05:00; it has to be within the recovery window."),
            _NEW_NAME,
        ),
        effects=_restored,
        command=lambda view, given: ("restore", name_of(view), *_moment(given), *_named(given)),
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
        command=lambda view, given: ("fork", name_of(view), *_named(given)),
        start=_fork,
    ),
)  # fmt: skip
