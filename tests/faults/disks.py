"""A cluster of which some nodes have a small disk of their own."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from model.names import DEFAULT_ORG, MAIN_QUEUE, node_volume
from model.operations import CreateClusterRequest, workflow_id
from starter.client.submission import new_cluster_id
from tests.faults.invariants import Eyes

SIZE_MB = 320
"""Room for a new data directory and some of the WAL that may be kept."""
DISKS, FULL = "/disks", "/tmp/full"


class SmallDisks:
    """Volumes in memory, of a size that is kept to, held by a container of their own: they outlive the nodes'."""

    def __init__(self, keeper: Any) -> None:
        """Work on the volumes through the container *keeper*."""
        self._keeper = keeper

    async def fill(self) -> None:
        """Take all the room that there is, and what becomes free, until :meth:`empty`."""
        grow = f"while [ -e {FULL} ]; do cat /dev/zero >> $disk/filler 2>/dev/null; sleep 0.05; done"
        grow = f"touch {FULL}; for disk in {DISKS}/*; do {grow} & done; wait"
        await asyncio.to_thread(self._keeper.exec_run, ["sh", "-c", grow], user="root", detach=True)

    async def empty(self) -> None:
        """Give the room back."""
        await self._run(f"rm {FULL} && sleep 0.5 && rm {DISKS}/*/filler")

    async def _run(self, command: str) -> None:
        ended = await asyncio.to_thread(self._keeper.exec_run, ["sh", "-c", command], user="root")
        assert ended.exit_code == 0, ended.output.decode()


@asynccontextmanager
async def small_disk_cluster(eyes: Eyes, name: str, *nodes: str) -> AsyncGenerator[SmallDisks]:
    """Make a cluster called *name* of which *nodes* are on small disks; removed with them afterwards."""
    settings, cluster_id = eyes.mpg.settings, new_cluster_id()
    labels = {"mpg.managed": "true", "mpg.cluster": cluster_id, "mpg.test": "true"}
    options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={SIZE_MB}m"}
    volumes = {node_volume(cluster_id, node): {"bind": f"{DISKS}/{node}", "mode": "rw"} for node in nodes}
    for volume in volumes:
        await asyncio.to_thread(eyes.engine.volumes.create, volume, driver="local", driver_opts=options, labels=labels)
    keeper = await asyncio.to_thread(
        eyes.engine.containers.run,
        settings.node_image_for(17),
        ["sleep", "1000"],
        detach=True,
        init=True,
        labels={"mpg.test": "true"},
        volumes=volumes,
    )
    try:
        request = CreateClusterRequest(cluster_id=cluster_id, name=name, org=DEFAULT_ORG, host=settings.host_name)
        operation = workflow_id(request, name, secrets.token_hex(4))
        await eyes.temporal.execute_workflow(request.operation, request, id=operation, task_queue=MAIN_QUEUE)
        yield SmallDisks(keeper)
    finally:
        await asyncio.to_thread(keeper.remove, force=True, v=True)
        await (await eyes.mpg.destroy_cluster(cluster_id, keep_backups_days=0)).result()
