"""What a takeover works through, on real servers."""

import asyncio
from contextlib import AsyncExitStack
from typing import cast

import pytest
from rig import PLAN, Rig, TestCluster
from temporalio.client import Client

from activities.postgres.sql import CANCEL_PATIENCE_S
from activities.takeover.failover import Failover
from activities.takeover.handover import Clients, until_ended
from model.cluster import ClusterStatus
from model.effects import FailoverInput

pytestmark = pytest.mark.integration

NO_TEMPORAL = cast(Client, None)
"""Only a promotion is recorded."""


async def test_session_of_a_takeover_that_was_cancelled_serves_it_to_its_end(rig: Rig, cluster: TestCluster) -> None:
    """A session that a cancelled task waits on is cut after a while; a takeover goes on until it is through."""
    assert cluster.b is not None
    status = ClusterStatus(
        network=cluster.network, endpoint=cluster.endpoint, nodes=(cluster.a, cluster.b), poolers=cluster.poolers
    )
    arg = FailoverInput(cluster_id=cluster.id, operation_id="test", status=status, plan=PLAN, target="b")
    began = asyncio.Event()

    async def work(failover: Failover) -> None:
        began.set()
        await failover.replica.execute("SELECT pg_sleep(%s)", (3 * CANCEL_PATIENCE_S,))

    async def take_over() -> None:
        async with AsyncExitStack() as stack:
            clients = Clients(rig.docker, rig.sql, NO_TEMPORAL, rig.master_key)
            task = asyncio.create_task(work(await Failover.opened(stack, arg, clients)))
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                await until_ended(task)
                task.result()
                raise

    taking_over = asyncio.create_task(take_over())
    await began.wait()
    taking_over.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking_over
