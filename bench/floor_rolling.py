"""The floor's restart and change of plan: the replica, a switchover to it, then the other node."""

import os
import signal

from activities.postgres import statements
from bench.floor_cluster import FloorCluster
from bench.floor_switchover import Switched, rejoin, switch_over
from model.names import DEFAULT_USER
from model.plans import Plan
from model.tuning import connection_limit


async def roll(cluster: FloorCluster, plan: Plan | None = None) -> Switched:
    """Restart both nodes in turn; with *plan*, in containers made again for it."""
    cluster.plan = plan or cluster.plan
    rebuild = plan is not None
    async with await cluster.connect(cluster.primary) as primary:
        # No commit may wait for a replica that is not there.
        await primary.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await primary.execute("SELECT pg_reload_conf()")
        os.kill(cluster.pid(cluster.replica), signal.SIGINT)
        await rejoin(cluster, primary, rebuild=rebuild)
    switched = await switch_over(cluster, rebuild=rebuild)
    if rebuild:
        async with await cluster.connect(cluster.primary) as primary:
            await primary.execute(statements.set_limit(DEFAULT_USER, connection_limit(cluster.plan)))
    return switched
