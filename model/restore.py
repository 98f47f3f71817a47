"""From a moment that is asked for to a backup and a target of recovery: decided here, carried out by pgBackRest.

A backup can be restored to its own end and to every later moment of the archive. The *window* of a repository reaches
from the end of its first good backup to the last moment that the archive holds.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

from model.archive_holes import BACKUP_TIME_ROUNDED, begins_after, begins_at
from model.backups import Backup, Hole, RepositoryContents
from model.base import Record
from model.cluster import ClusterState
from model.doubts import doubted
from model.drills import Proof
from model.errors import InvalidInput, NotFound, Refused
from model.names import MOST_NAME_LETTERS
from model.timelines import timeline_of


class RecoveryType(StrEnum):
    """How pgBackRest is told where to end (``--type``)."""

    TIME = "time"
    LSN = "lsn"
    IMMEDIATE = "immediate"
    """As soon as the backup is consistent: the moment of its end."""
    DEFAULT = "default"
    """The end of the archive."""


class RestoreTarget(Record):
    """Which moment is asked for: one of these, or with none of them the latest. ``pitr_time`` has a zone."""

    backup_id: str | None = None
    pitr_time: datetime | None = None
    lsn: str | None = None

    def __str__(self) -> str:
        """Say it in a step's name."""
        if self.backup_id:
            return f"backup {self.backup_id}"
        if self.pitr_time:
            return say(self.pitr_time)
        return self.lsn or "its latest moment"


class RecoveryPoint(Record):
    """What is restored: a backup, and where recovery ends after it."""

    backup_id: str
    size_bytes: int
    type: RecoveryType
    target: str = ""
    """As Postgres reads it; empty for types that need none."""
    timeline: int | None = None
    """Of the target, where that is not the newest one."""
    last_wal: str | None = None
    """The last segment that the archive is known to hold: recovery that ends before it met a hole."""


class Window(Record):
    """The moments that can be restored."""

    start: datetime
    end: datetime


COPY_IT = "Make a new cluster, which is backed up, and copy its data there with pg_dump: docs/backups.md."
"""What becomes of a cluster that was made before there were backups: its nodes have no place for a repository."""


class KeptCluster(Record):
    """A destroyed cluster as it was last recorded. Its archive reaches to ``end``; its backups go at ``until``.

    ``flushed`` is false where it may lack what was committed last: archiving failed, or there was no primary.
    """

    state: ClusterState
    end: datetime
    until: datetime
    flushed: bool = True


class Source(Record):
    """A cluster to be restored: living, or destroyed (``over``). ``kept``: what is kept of a destroyed one."""

    state: ClusterState
    over: bool = False
    kept: KeptCluster | None = None


def window(contents: RepositoryContents, end: datetime) -> Window | None:
    """Return what can be restored of a repository whose archive reaches to *end*; None without a good backup."""
    good = contents.good
    return Window(start=good[0].finished_at + BACKUP_TIME_ROUNDED, end=end) if good else None


def choose(
    contents: RepositoryContents,
    target: RestoreTarget,
    end: datetime,
    holes: Sequence[Hole] = (),
    proofs: Sequence[Proof] = (),
) -> RecoveryPoint:
    """Return how to get to *target*, by the youngest backup that ended before it.

    One of which the *proofs* say that it is not whole, or may not be, is taken only where no other will do. *end* is
    the last moment that the archive holds, *holes* are what is known to be lost of it.

    Raises:
        NotFound: there is no backup of that id.
        Refused: the moment is outside of the window, whose ends are in the sentence, or behind a hole.
    """
    if target.backup_id is not None:
        return _at_backup(contents, target.backup_id)
    found = window(contents, end)
    if found is None:
        raise _nothing(contents)
    if target.pitr_time is not None and not found.start <= target.pitr_time <= found.end:
        raise _outside(say(target.pitr_time), found)
    before = _before(contents, target, found)
    unsure = doubted(before, proofs)
    preferred = [*(each for each in before if each.id not in unsure), *(each for each in before if each.id in unsure)]
    backup = next((each for each in preferred if _hole_before(each, target, holes) is None), None)
    if backup is None:
        raise _lost(target, _hole_before(before[0], target, holes))
    return _after(backup, target, contents.archive_last)


def check_reachable(source: Source) -> None:
    """See that *source* has backups, or had. Raises :class:`Refused`."""
    spec = source.state.spec
    if spec.backups is None:
        raise Refused(
            f"Cluster {spec.name} was made before there were backups, so it cannot be restored.", remedy=COPY_IT
        )
    if source.over and source.kept is None:
        raise Refused(f"Cluster {spec.name} ({spec.id}) was destroyed, and none of its backups were kept.")


def check_time(value: datetime | None) -> datetime | None:
    """Return *value* if it says in which zone it is. Raises ``ValueError`` with one sentence."""
    if value is not None and value.tzinfo is None:
        raise ValueError(
            f"Time {value.isoformat()} lacks its offset from UTC: write {value.isoformat()}Z, or …+02:00 for instance."
        )
    return value


def parse_time(text: str) -> datetime:
    """Return the moment that *text*, RFC 3339 with an offset, names. Raises :class:`InvalidInput`."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInput(f"{text!r} is no time: write it like 2026-11-28T17:05:00Z.") from None
    try:
        check_time(found)
        found.astimezone(UTC)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    except OverflowError:
        raise InvalidInput(f"{text!r} is beyond the years that can be written in UTC.") from None
    return found


def name_of_copy(source: str, ending: str) -> str:
    """Return what a cluster that is made from *source* is called by default, such as ``orders-fork``."""
    kept = source[: MOST_NAME_LETTERS - len(ending) - 1].rstrip("-")
    return f"{kept}-{ending}"


def say(moment: datetime) -> str:
    """Return *moment* in UTC as people read it, to the second unless it is more exact."""
    return moment.astimezone(UTC).isoformat(sep=" ").replace("+00:00", " UTC")


def say_copied(copied: int, of: int, *, recovering: bool) -> str:
    """Return how far a restore is, of so many bytes."""
    done = f"{copied / 1e6:.0f} of {of / 1e6:.0f} MB restored"
    return f"{done}; replaying WAL" if recovering else done


def lsn_number(lsn: str) -> int:
    """Return the position *lsn*, such as ``0/3000028``, in bytes. Raises ``ValueError``."""
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def check_lsn(value: str | None) -> str | None:
    """Return *value* if it is a position in WAL. Raises ``ValueError`` with one sentence."""
    if value is not None:
        try:
            lsn_number(value)
        except ValueError:
            raise ValueError(f"{value!r} is no position in WAL: write it like 0/3000028.") from None
    return value


def _at_backup(contents: RepositoryContents, backup_id: str) -> RecoveryPoint:
    chosen = next((each for each in contents.backups if each.id == backup_id), None)
    if chosen is None:
        raise NotFound(f"There is no backup {backup_id!r}.", remedy="'mpg backup list' shows them.")
    # Where recovery would go to the newest timeline, Postgres refuses what that does not come from.
    own = None if contents.is_on_history(chosen) else timeline_of(chosen.last_wal)
    return RecoveryPoint(backup_id=chosen.id, size_bytes=chosen.size_bytes, type=RecoveryType.IMMEDIATE, timeline=own)


def _nothing(contents: RepositoryContents) -> Refused:
    left = [each.id for each in contents.backups if each.error is None]
    if not left:
        return Refused(
            "There is no good backup yet, so nothing can be restored.", remedy="'mpg backup list' shows them."
        )
    return Refused(
        f"The good backups, the last of which is {left[-1]}, ended beyond the point at which the cluster failed over: "
        "no later moment can be restored from them.",
        remedy="Name one of them with --backup-id, or wait for the next backup.",
    )


def _before(contents: RepositoryContents, target: RestoreTarget, found: Window) -> list[Backup]:
    """Return the good backups from which *target* can be reached, the youngest first."""
    good = list(contents.good)
    if target.pitr_time is not None:
        bound = target.pitr_time - BACKUP_TIME_ROUNDED
        good = [each for each in good if each.finished_at <= bound]
    elif target.lsn is not None:
        wanted = lsn_number(target.lsn)
        good = [each for each in good if lsn_number(each.last_lsn) <= wanted]
        if not good:
            raise _outside(target.lsn, found)
    return good[::-1]


def _hole_before(backup: Backup, target: RestoreTarget, holes: Sequence[Hole]) -> Hole | None:
    """Return the first hole that recovery from *backup* comes to before *target*; None where there is none."""
    return next((each for each in holes if not begins_after(backup, each) and not _is_before(target, each)), None)


def _lost(target: RestoreTarget, hole: Hole | None) -> Refused:
    assert hole is not None, "else it could be restored"
    until = say(hole.until) if hole.until else "the end of the next backup"
    asked = str(target)
    return Refused(
        f"{asked[0].upper()}{asked[1:]} cannot be restored: WAL is lost, so no moment from {say(hole.since)} "
        f"to {until} can be.",
        remedy="Choose a moment before or after it.",
    )


def _is_before(target: RestoreTarget, hole: Hole) -> bool:
    if target.pitr_time is not None:
        return target.pitr_time < hole.since
    return target.lsn is not None and lsn_number(target.lsn) < begins_at(hole)


def _after(backup: Backup, target: RestoreTarget, last_wal: str | None) -> RecoveryPoint:
    type, wanted = RecoveryType.DEFAULT, ""
    if target.pitr_time is not None:
        # Postgres's own form, with an offset: a zone's name would be looked up.
        type, wanted = RecoveryType.TIME, target.pitr_time.astimezone(UTC).isoformat(sep=" ")
    elif target.lsn is not None:
        type, wanted = RecoveryType.LSN, target.lsn
    return RecoveryPoint(backup_id=backup.id, size_bytes=backup.size_bytes, type=type, target=wanted, last_wal=last_wal)


def _outside(wanted: str, found: Window) -> Refused:
    return Refused(
        f"{wanted} cannot be restored: the backups and the archive reach from {say(found.start)} to {say(found.end)}."
    )
