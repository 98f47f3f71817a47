"""When a replica's data can be of no use: decided here, from what its volume and its log show.

An error is no evidence: an image that is gone, a full host or a connection that was slow say nothing about data.
The sentences looked for are PostgreSQL's own; xlogrecovery.c, walreceiver.c, walsender.c, pg_rewind.c and
controldata_utils.c write them, from 15 to 17 alike.

Data that cannot follow because they are *ahead* of the primary are the other way round: they may hold what nobody else
has. They make way for a copy, beside which they stay, and are never removed for want of room.
"""

import re
import struct

from model import pg_control
from model.base import Record

COPIED = "node: a fresh copy of the primary is in place."
"""What a node says when other data took the place of what the lines before it are about (images/entrypoints/node)."""
REWIND_WRITES = "need to copy"
"""pg_rewind says so just before it begins to write."""

_SAID = tuple(
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"requested WAL segment \S+ has already been removed", "the primary no longer has the WAL that it lacks"),
        (r"requested timeline \d+ is not a child of this server's history", "its history has diverged"),
        (r"requested starting point \S+ on timeline \d+ is not in this server's history", "its history has diverged"),
        (r"new timeline \d+ forked off current database system timeline \d+ before", "its history has diverged"),
        (r"database system identifier differs between", "it is of another database system"),
        (r"could not find common ancestor of the source and target", "its history has nothing of the primary's"),
        (r"source and target clusters are from different systems", "it is of another database system"),
        (r"could not find previous WAL record at|could not read WAL record at", "it lacks the WAL to rewind it by"),
        (r"could not locate (a valid|required) checkpoint record", "its last checkpoint is not in its WAL"),
        (r"WAL ends before (consistent recovery point|end of online backup)", "it lacks WAL to be consistent"),
        (r"WAL contains references to invalid pages", "its pages are not those that its WAL is about"),
        (r"(control file contains invalid|incorrect checksum in control file)", "its control file is damaged"),
        (
            r"(PANIC|FATAL): +could not (open|access|read) (file|directory) \"(base|global|pg_\w+)[/\"].*No such file",
            "files of it are not there",
        ),
        (r"is not a valid data directory", "it is not a whole data directory"),
    )
)
_SAID_AHEAD = tuple(
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"requested starting point \S+ is ahead of the WAL flush position", "it has WAL that the primary never had"),
        (r"highest timeline \d+ of the primary is behind recovery timeline", "it was promoted after the primary was"),
    )
)

_ITS_OWN = re.compile(r"pg_rewind: |\S+ \S+ \S+ \[\d+\] (LOG|WARNING|ERROR|FATAL|PANIC): ")
"""Lines of Postgres's own processes. A session's name its user (``log_line_prefix``, model/tuning.py), and what clients
write goes on with a tab: nobody can have evidence logged by a statement."""


class DataSeen(Record):
    """What was found of a node's data. ``control`` is its control file; ``log`` what was said since its last start."""

    finished: bool
    rewinding: bool
    control: bytes | None
    rewind_log: str
    log: str


class Evidence(Record):
    """What shows that data can never follow the primary, in words; ``ahead`` when they may hold what it lacks."""

    why: str
    ahead: bool = False


def why_useless(seen: DataSeen) -> Evidence | None:
    """Return what shows that the data can never follow the primary, or None.

    Data that were never finished need no evidence: a rejoin makes them anew by itself.
    """
    if not seen.finished:
        cut_short = seen.rewinding and REWIND_WRITES in seen.rewind_log
        return Evidence(why="a rewind of its data was cut short after it had begun to write") if cut_short else None
    lines = [line.strip() for line in seen.log.rpartition(COPIED)[2].splitlines() if _ITS_OWN.match(line)]
    if (ahead := _said(lines, _SAID_AHEAD)) is not None:
        return Evidence(why=ahead, ahead=True)
    why = _damage(seen.control) or _said(lines, _SAID)
    return None if why is None else Evidence(why=why)


def _said(lines: list[str], meanings: tuple[tuple[re.Pattern[str], str], ...]) -> str | None:
    """Return what the last of *lines* that means something means, and the line."""
    found = (f"{meaning} ({line})" for line in reversed(lines) for said, meaning in meanings if said.search(line))
    return next(found, None)


def _damage(control: bytes | None) -> str | None:
    if control is None:
        return "its control file is gone"
    try:
        pg_control.parse(control)
    except (ValueError, struct.error) as error:
        return f"its control file cannot be read ({error})"
    return None
