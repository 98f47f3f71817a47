"""Lends a cluster that archives, with its repository on a volume."""

from collections.abc import AsyncGenerator

import pytest_asyncio
from backed_up import BackedUp, make_backed_up
from rig import Rig, new_cluster_id

from model.effects import RemoveClusterInput


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def backed_up(rig: Rig) -> AsyncGenerator[BackedUp]:
    """Lend a primary with a repository, one for all tests of a module."""
    made = new_cluster_id()
    try:
        yield await make_backed_up(rig, made)
    finally:
        await rig.cleanup.remove_cluster(RemoveClusterInput(cluster_id=made))
