"""Which node is the primary, decided from what was seen after an operation that did not complete."""

from collections.abc import Mapping
from enum import StrEnum

from model.errors import NeedsOperator


class Seen(StrEnum):
    """What a node turned out to be. Of a stopped one its data directory tells: ``standby.signal`` makes a standby."""

    PRIMARY = "primary"
    """Runs and takes writes."""
    STANDBY = "standby"
    """Runs and follows."""
    STOPPED_PRIMARY = "stopped_primary"
    """Does not run; started, it would take writes."""
    STOPPED_STANDBY = "stopped_standby"
    """Does not run; started, it would follow, or first get its data from the primary."""
    SILENT = "silent"
    """Runs and does not answer."""
    MISSING = "missing"
    """There is no container."""


_FOLLOWS = frozenset({Seen.STANDBY, Seen.STOPPED_STANDBY})


def choose_primary(
    recorded: str | None, seen: Mapping[str, Seen], timelines: Mapping[str, int | None] | None = None
) -> str:
    """Return the name of the node that is the primary, running or to be started. Nothing is ever promoted.

    A node that takes writes is the primary whatever the record says: a switchover promotes only when the other's end
    is proven, and may have been lost before it was recorded. Else it is the one that would take writes once started,
    if the recorded primary is that one or provably a standby that is not ahead of it on *timelines*. Of two such the
    one on the newest timeline: it was promoted when the other's end was proven, and whatever was acknowledged since is
    there.

    Raises:
        NeedsOperator: two nodes take or could take writes, or none could, or the recorded primary can't be judged.
    """
    writing = [name for name, what in seen.items() if what is Seen.PRIMARY]
    if len(writing) > 1:
        raise NeedsOperator(
            f"Nodes {' and '.join(writing)} both take writes.",
            remedy="Compare their data, stop the one to give up with 'docker stop', and make it anew.",
        )
    if writing:
        return writing[0]
    startable = [name for name, what in seen.items() if what is Seen.STOPPED_PRIMARY]
    if len(startable) > 1:
        if (newest := _newest({name: (timelines or {}).get(name) for name in startable})) is not None:
            return newest
        raise NeedsOperator(
            f"Nodes {' and '.join(startable)} are stopped, and which one was the primary last is not to be seen.",
            remedy="Start the one whose data is newer with 'docker start'.",
        )
    if startable and (
        recorded in {None, startable[0]}
        or (seen.get(recorded or "") in _FOLLOWS and not _is_behind(startable[0], recorded or "", timelines or {}))
    ):
        return startable[0]
    told = ", ".join(f"{name} is {what.value.replace('_', ' ')}" for name, what in seen.items()) or "there are none"
    raise NeedsOperator(
        f"No node can be the primary without being promoted ({told}).",
        remedy="Look at the nodes with 'docker ps -a' and 'docker logs'; promotion is your decision.",
    )


def _is_behind(name: str, other: str, timelines: Mapping[str, int | None]) -> bool:
    """Tell whether *name* is known to be on an older timeline than *other*, which was promoted after it then."""
    own, others = timelines.get(name), timelines.get(other)
    return own is not None and others is not None and own < others


def _newest(timelines: Mapping[str, int | None]) -> str | None:
    """Return who is alone on the newest timeline, None where that is not known."""
    known = sorted(((timeline, name) for name, timeline in timelines.items() if timeline is not None), reverse=True)
    if len(known) < len(timelines) or len(known) < 2 or known[0][0] == known[1][0]:
        return None
    return known[0][1]
