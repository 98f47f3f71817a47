"""Replay that reads on a standby hold up, and the end of those reads where it must not wait.

Replay waits for a read whose lock or snapshot is in its way, for ``max_standby_streaming_delay`` (30 s). To lower that
setting does not help a replay that waits already: Postgres's startup process reads its configuration between two
records and not while it waits within one. Measured on 17.12, with the setting at 0 and reloaded: 27 and 29 s. So the
sessions themselves are ended, and nothing is left that would have to be put back.
"""

from typing import LiteralString

import structlog

from activities.postgres.sql import Connection

log = structlog.get_logger()

_END_READS: LiteralString = """
WITH replay AS MATERIALIZED (
    SELECT pid, wait_event_type = 'Lock' AS on_lock FROM pg_stat_activity
    WHERE backend_type = 'startup'
      AND (wait_event_type IN ('Lock', 'BufferPin') OR wait_event LIKE 'RecoveryConflict%')
)
SELECT pg_terminate_backend(reader.pid)
FROM replay
JOIN pg_stat_activity AS reader ON CASE
    -- Not by pg_blocking_pids(), which does not know the startup process.
    WHEN on_lock THEN EXISTS (
        SELECT FROM pg_locks AS wanted JOIN pg_locks AS held USING (locktype)
        WHERE wanted.pid = replay.pid AND NOT wanted.granted AND held.pid = reader.pid AND held.granted
          AND (wanted.database, wanted.relation, wanted.classid, wanted.objid, wanted.objsubid)
              IS NOT DISTINCT FROM (held.database, held.relation, held.classid, held.objid, held.objsubid)
    )
    -- Whose snapshot or buffer it is cannot be asked.
    ELSE reader.backend_xmin IS NOT NULL
END
WHERE reader.backend_type = 'client backend' AND reader.pid <> pg_backend_pid()
"""


async def end_reads_in_the_way(standby: Connection) -> None:
    """End the sessions that replay waits for at this moment: where it waits for a snapshot, all that hold one.

    Does nothing on a primary, or where replay is slow for another reason. Raises ``psycopg.Error``.
    """
    ended = (await standby.execute(_END_READS)).rowcount
    if ended:
        log.warning("reads held up the replay of their node and were ended", node=standby.info.host, sessions=ended)
