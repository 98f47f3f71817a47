"""Reading ``global/pg_control``: how a node's last run ended, and up to which LSN.

The layout of the first 48 bytes is ``struct ControlFileData`` of PostgreSQL's src/include/catalog/pg_control.h and
is the same in every version named below.
"""

import struct
from enum import IntEnum

from model.base import Record

PATH = "global/pg_control"
"""Below the data directory."""

_VERSIONS = frozenset({1300, 1700, 1800})
"""PG_CONTROL_VERSION of PostgreSQL 13–16, 17, 18."""
_HEAD = struct.Struct("<QIIi4xqQQI")


class DatabaseState(IntEnum):
    """``enum DBState``: what the server was doing when it last wrote the file."""

    STARTUP = 0
    SHUT_DOWN = 1
    SHUT_DOWN_IN_RECOVERY = 2
    SHUTTING_DOWN = 3
    CRASH_RECOVERY = 4
    ARCHIVE_RECOVERY = 5
    IN_PRODUCTION = 6


class ControlData(Record):
    """What we need of the file. ``checkpoint`` is the LSN at which the last checkpoint's record begins."""

    system_identifier: int
    state: DatabaseState
    checkpoint: int
    timeline: int

    @property
    def shut_down(self) -> bool:
        """Whether the server ended cleanly as a primary: nothing was or will be written after the checkpoint."""
        return self.state is DatabaseState.SHUT_DOWN


def parse(content: bytes) -> ControlData:
    """Return what *content*, the bytes of the file, says. Raises ``ValueError`` for a version not known here."""
    identifier, version, _catalog, state, _time, checkpoint, _redo, timeline = _HEAD.unpack_from(content)
    if version not in _VERSIONS:
        raise ValueError(f"pg_control has version {version}, which is not known here.")
    return ControlData(
        system_identifier=identifier, state=DatabaseState(state), checkpoint=checkpoint, timeline=timeline
    )


def parse_lsn(text: str) -> int:
    """``16/B374D848`` → its number of bytes from the beginning of the WAL."""
    high, low = text.split("/")
    return (int(high, 16) << 32) | int(low, 16)


def format_lsn(lsn: int) -> str:
    """The reverse of :func:`parse_lsn`."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
