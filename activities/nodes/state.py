"""What a node says of itself: whether it takes writes, its timeline, its lag, who streams from it."""

from typing import LiteralString

from activities.postgres.sql import Connection
from model.base import Record

# The name of the current WAL file begins with the timeline, at once after a promotion; pg_control has it only from
# the next checkpoint on.
_QUERY: LiteralString = """
SELECT in_recovery,
       CASE WHEN in_recovery
            THEN coalesce((SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver),
                          (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()))
            ELSE ('x' || left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8))::bit(32)::int
       END,
       CASE WHEN in_recovery
            -- A receiver that just started has received nothing yet of what was replayed before.
            THEN greatest(0, pg_catalog.pg_wal_lsn_diff(
                pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn()))
       END,
       coalesce((SELECT status FROM pg_catalog.pg_stat_wal_receiver), ''),
       coalesce((SELECT sender_host FROM pg_catalog.pg_stat_wal_receiver), '')
FROM (SELECT pg_catalog.pg_is_in_recovery() AS in_recovery) AS here
"""

_STANDBYS: LiteralString = """
SELECT application_name, state, sync_state,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)
FROM pg_catalog.pg_stat_replication
"""


class NodeState(Record):
    """A node's own words. ``lag_bytes`` is what a standby received and did not replay; None on a primary."""

    in_recovery: bool
    timeline: int
    lag_bytes: int | None
    receiver: str
    """State of the WAL receiver, ``streaming`` when all is well; empty where there is none."""
    follows: str
    """Address that the receiver is connected to."""


class Standby(Record):
    """A standby as its primary sees it. ``lag_bytes`` is what it did not replay yet."""

    name: str
    state: str
    sync_state: str
    lag_bytes: int | None


async def read_state(connection: Connection) -> NodeState:
    """Ask a node about itself. Raises ``psycopg.Error``."""
    row = await (await connection.execute(_QUERY)).fetchone()
    assert row is not None, "a SELECT without a filter has one row"
    in_recovery, timeline, lag, receiver, follows = row
    return NodeState(
        in_recovery=in_recovery,
        timeline=timeline,
        lag_bytes=None if lag is None else int(lag),
        receiver=receiver,
        follows=follows,
    )


async def read_standbys(connection: Connection) -> list[Standby]:
    """Ask a primary who streams from it. Raises ``psycopg.Error``."""
    rows = await (await connection.execute(_STANDBYS)).fetchall()
    return [
        Standby(name=name, state=state, sync_state=sync, lag_bytes=None if lag is None else int(lag))
        for name, state, sync, lag in rows
    ]
