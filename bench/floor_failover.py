"""The floor's failover: the product's sequence as one script that waits for the primary's end.

The end of the primary's process, by a pidfd, is both the alarm and the proof; PAUSE at once; the replica has replayed
what it received; promotion; RELOAD; RESUME; CHECKPOINT; then the lost primary is rewound and comes back as a standby.
docs/operations/failover.md says why each step.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple

from bench.floor_cluster import FloorCluster
from bench.floor_switchover import Clock, lead, opened, rejoin, until, write_pooler_files

_BOUND_S = 120


class FailedOver(NamedTuple):
    """When the primary's end was seen (monotonic clock), and the steps from then on in milliseconds."""

    seen_s: float
    steps_ms: dict[str, float]


@asynccontextmanager
async def failing_over(cluster: FloorCluster) -> AsyncGenerator[asyncio.Task[FailedOver]]:
    """Lend a failover that waits for the loss of the primary, and ends when that is in sync again as a standby."""
    ready = asyncio.Event()
    task = asyncio.create_task(_fail_over(cluster, ready))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield task
    finally:
        for each in (task, waiting):
            each.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)


async def _fail_over(cluster: FloorCluster, ready: asyncio.Event) -> FailedOver:
    old, new = cluster.primary, cluster.replica
    async with opened(cluster) as (pausing, consoles, _, replica, shell):
        ended = await _end_of(cluster, old)
        ready.set()
        await asyncio.wait_for(ended.wait(), _BOUND_S)
        seen_s, clock = time.monotonic(), Clock()
        pauses = [asyncio.create_task(console.pause()) for console in pausing]
        writing = asyncio.create_task(write_pooler_files(cluster, new))
        await asyncio.sleep(0)  # sent is enough: what was in flight has failed
        await until(replica, "SELECT WHERE pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()")
        clock.lap("replay")
        await replica.execute("SELECT pg_promote(wait => false)")
        await until(replica, "SELECT WHERE NOT pg_is_in_recovery()")
        clock.lap("promotion")
        await writing
        clock.lap("poolers' files")
        await asyncio.gather(*(console.reload() for console in consoles))
        clock.lap("commit and reload")  # the product's name for it; there is no record to commit to here
        await asyncio.gather(*(console.resume() for console in consoles))
        clock.lap("resume")
        for pause in pauses:
            pause.cancel()
        await lead(shell, cluster, cluster.address(new))
        cluster.primary, cluster.replica = new, old
        # pg_rewind compares with the last checkpoint: without one on the new timeline it sees nothing to do.
        await replica.execute("CHECKPOINT")
        await rejoin(cluster, replica, crashed=True)
        return FailedOver(seen_s, clock.steps_ms)


async def _end_of(cluster: FloorCluster, node: str) -> asyncio.Event:
    """Return an event that is set when the node's first process has ended, and every other one of it before."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    pidfd = os.pidfd_open(cluster.pid(node))

    def seen() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        ended.set()

    loop.add_reader(pidfd, seen)
    return ended
