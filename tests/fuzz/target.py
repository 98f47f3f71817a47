"""What is fuzzed: an API that runs already, or one of a stack of its own, whose activities are stubs."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from bench.stub_cluster import start_clusters
from bench.workspace import open_workspace
from model.cluster import Role
from model.names import DEFAULT_ORG
from starter.client import MpgClient
from starter.client.temporal import connect
from starter.stack import embedded as stack
from starter.stack.parts import API
from starter.tokens.keyring import Keyring

WORKER = "tests.fuzz.worker"
USER, DATABASE = "app", "shop"


class Target(NamedTuple):
    """An API, a token for it, a cluster that it has, and the id of its process where that is known."""

    url: str
    token: str
    cluster_id: str
    pid: int | None = None

    @property
    def known(self) -> dict[str, str]:
        """Values for parameters of paths that there are."""
        return {"org": DEFAULT_ORG, "cluster": self.cluster_id, "username": USER, "database": DATABASE}

    def resident_mb(self) -> float | None:
        """Return the resident memory of the process in MB (proc_pid_status(5)); None where it is not known."""
        if self.pid is None:
            return None
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


@asynccontextmanager
async def own_stack() -> AsyncGenerator[Target]:
    """Lend a stack with one cluster; afterwards nothing is left of it."""
    async with open_workspace() as workspace:
        settings = workspace.settings("fuzz", worker_module=WORKER)
        try:
            await stack.start_detached(settings)
            async with MpgClient.connect(settings) as mpg:
                [cluster_id] = await start_clusters(await connect(settings), 1)
                async with asyncio.timeout(60):
                    await (await mpg.create_user(cluster_id, USER, Role.READER)).result()
                    await (await mpg.create_database(cluster_id, DATABASE)).result()
            keyring = Keyring(settings.api_dir)
            token = keyring.text(keyring.issue())
            [api] = [part.process for part in (await stack.status(settings)).parts if part.name == API]
            yield Target(settings.api_url, token, cluster_id, api.pid if api else None)
        finally:
            await asyncio.shield(stack.stop(settings))
