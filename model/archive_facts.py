"""What is on record of an archive once it was looked at whether a takeover left a hole: it did, or it is not known."""

from collections.abc import Sequence
from datetime import datetime

from model.archive_holes import mended, with_hole
from model.backups import ARCHIVE_GAP, ARCHIVE_UNKNOWN, Hole
from model.cluster import ClusterState, ClusterStatus, Condition, Node
from model.effects import GapInput, GapReport
from model.facts import ArchiveClosed, ConditionIs, Fact, WalLost
from model.restore import say


def archive_seen(report: GapReport, status: ClusterStatus, now: datetime) -> tuple[Fact, ...]:
    """Return the facts that follow from *report* for a cluster that stood like *status*; none where nothing changes."""
    if report.unknown is not None:
        return archive_unknown(report.unknown, status, now)
    facts: list[Fact] = [ArchiveClosed()] if status.backups.unclosed_since is not None else []
    if status.condition(ARCHIVE_UNKNOWN) is not None:
        facts.append(_condition(ARCHIVE_UNKNOWN, "", now))
    if report.lost is not None:
        found = Hole(first=report.lost, last=report.lost_last or report.lost, since=report.intact_until or now)
        # Where it was not known for a while there may be a backup after it already.
        (hole,) = mended((found,), status.backups.last, None)
        facts += [WalLost(hole=hole), gap_held(with_hole(status.backups.holes, hole), now)]
    return tuple(facts)


def archive_unknown(why: str, status: ClusterStatus, now: datetime) -> tuple[Fact, ...]:
    """Return the facts of a cluster whose archive could not be looked at, because of *why*, a sentence."""
    said = f"It is not known whether the archive lacks WAL that a former primary wrote: {why}"
    return (_condition(ARCHIVE_UNKNOWN, said, unknown_since(status) or now),)


def unknown_since(status: ClusterStatus) -> datetime | None:
    """Return since when it is not known what the archive lacks, None where it is: a later backup tells nothing."""
    held, takeover = status.condition(ARCHIVE_UNKNOWN), status.backups.unclosed_since
    return min((each for each in (held and held.since, takeover) if each is not None), default=None)


def gap_to_close(state: ClusterState, primary: Node) -> GapInput | None:
    """Return what *primary* is to see to: what others wrote and did not archive. None for a cluster without backups."""
    spec = state.spec
    if spec.backups is None:
        return None
    return GapInput(
        cluster_id=spec.id,
        repository=spec.backups.repository,
        image=spec.image,
        primary=primary,
        unknown_since=unknown_since(state.status),
    )


def gap_held(holes: Sequence[Hole], since: datetime) -> ConditionIs:
    """Return the fact that the condition of *holes* holds *since* then; that it does not, where there are none."""
    told = " ".join(f"WAL segment {each.first} is on no node and not in the archive: {_lost(each)}" for each in holes)
    return _condition(ARCHIVE_GAP, told, since)


def _lost(hole: Hole) -> str:
    if hole.until is None:
        return f"no moment from {say(hole.since)} on can be restored until there is another backup."
    return f"no moment from {say(hole.since)} to {say(hole.until)} can be restored."


def _condition(kind: str, message: str, since: datetime) -> ConditionIs:
    return ConditionIs(condition=Condition(type=kind, status=bool(message), since=since, message=message))
