"""What a primary's probes say of the standby that its commits wait for, and whether that one acknowledges."""

import asyncio
from collections.abc import Sequence
from typing import LiteralString

from model.acknowledgement import Acknowledgement, StandbySeen
from model.cluster import Durability
from model.names import NODES
from model.pg_control import parse_lsn
from model.tuning import synchronous_standby_names

READ_STANDBY: LiteralString = """
CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_current_wal_flush_lsn()::text END,
pg_catalog.current_setting('synchronous_standby_names'),
(SELECT ARRAY[flush_lsn::text, reply_time::text] FROM pg_catalog.pg_stat_get_wal_senders()
 WHERE sync_priority > 0 AND state = 'streaming' ORDER BY reply_time DESC NULLS LAST LIMIT 1)"""
"""Columns for a probe: of a primary its own position, whom commits wait for, and what that one reported last.

The first is null on a standby. The view pg_stat_replication would also look at every session."""
_NAMES = {synchronous_standby_names(Durability.SYNC, name): name for name in NODES}


class SyncWatch:
    """Hears what the probes of the node that takes writes have read."""

    def __init__(self) -> None:
        """Begin with nothing heard."""
        self._seen = Acknowledgement()
        self._overdue = asyncio.Event()
        self.primary: str | None = None
        """Name of the node that took writes when it answered last."""

    def look(self, written: str, waits_for: str, standby: Sequence[str | None] | None, now: float) -> None:
        """Hear what a probe of the primary read by :data:`READ_STANDBY`, at *now*."""
        flushed, replied = standby or (None, None)
        seen = StandbySeen(
            waits_for=waits_for,
            written=parse_lsn(written),
            flushed=None if flushed is None else parse_lsn(flushed),
            replied=replied,
        )
        self._seen = self._seen.after(seen, now)
        if self._seen.overdue:
            self._overdue.set()
        else:
            self._overdue.clear()

    async def until_overdue(self) -> str | None:
        """Return the name of the standby that commits wait for in vain; None for one that is no node of ours."""
        await self._overdue.wait()
        assert self._seen.last is not None
        return _NAMES.get(self._seen.last.waits_for)
