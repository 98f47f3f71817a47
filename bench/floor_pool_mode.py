"""The floor's change of pool mode: new poolers beside the old ones, and the rule that routes new clients to them."""

import asyncio
from collections.abc import Sequence

from activities.routing.pooler_console import Console
from bench.floor_cluster import FloorCluster
from bench.floor_switchover import lead, shell_of
from bench.workspace import in_thread
from model.addresses import endpoint_address
from model.cluster import Pooler, PoolMode
from model.poolers import next_generation, plan_generation


async def set_pool_mode(cluster: FloorCluster, mode: PoolMode) -> Sequence[Pooler]:
    """Lead new connections to poolers in *mode*; return the old ones, which serve the sessions that they have."""
    old, address = cluster.poolers, endpoint_address(cluster.network)
    new = plan_generation(cluster.id, next_generation(old), mode, old)
    cluster.poolers = new

    async def ready(pooler: Pooler) -> None:
        await cluster.make_pooler(pooler)
        console = await Console.wait_until_answers(address, pooler.port, master_key=cluster.key, cluster_id=cluster.id)
        await console.close()

    async with shell_of(cluster) as shell:
        await asyncio.gather(*(ready(pooler) for pooler in new))
        await lead(shell, cluster, cluster.address(cluster.primary))
    return old


async def remove_poolers(cluster: FloorCluster, poolers: Sequence[Pooler]) -> None:
    """Remove poolers that serve nobody any more."""
    for pooler in poolers:
        name = cluster.container(pooler.name)
        await in_thread(lambda name=name: cluster.docker.remove_container(name, force=True, v=True))
