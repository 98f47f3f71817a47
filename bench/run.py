"""One run of the bench: its size, its stacks, and what it measured so far."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from enum import IntEnum

import psycopg

from bench.report import Row, Target
from bench.workspace import Connection, Workspace, say
from model.cluster import ClusterPhase, ClusterState, PoolMode
from model.errors import MpgError, NotYet
from model.master_key import load_or_create_master_key
from model.names import POSTGRES_PORT, SUPERUSER
from model.secrets import derive_password
from model.settings import Settings
from starter.client import MpgClient
from starter.client.connection import EndpointKind, connection_uri
from starter.stack import embedded as stack
from starter.stack.parts import TEMPORAL

_DESTROY_S = 60


class Size(IntEnum):
    """How much is measured."""

    QUICK = 0
    """That it works; its figures say little."""
    NORMAL = 1
    FULL = 2
    """Everything, the largest sizes included."""


class Run:
    """What a section is given. It adds rows; they are shown at the end, also when the run is cut short."""

    def __init__(self, workspace: Workspace, size: Size) -> None:
        """Measure in *workspace* as much as *size* says."""
        self.workspace = workspace
        self.size = size
        self.rows: list[Row] = []
        self.remarks: list[str] = []
        self._open = AsyncExitStack()
        self._shared: dict[str, tuple[MpgClient, Settings]] = {}

    def count(self, quick: int, normal: int, full: int | None = None) -> int:
        """Return the number for this run's size."""
        return (quick, normal, normal if full is None else full)[self.size]

    def add(self, row: Row) -> None:
        """Keep *row*, and say its median on stderr."""
        self.rows.append(row)
        missed = f", missed {'; '.join(target.text for target in row.missed)}" if row.missed else ""
        middle = f"{statistics.median(row.values):.4g} {row.unit}" if row.values else "floor only"
        say(f"{row.section}: {row.name}: {middle}{missed}")

    def record(
        self,
        section: str,
        name: str,
        unit: str,
        values: Sequence[float],
        *,
        floor: Sequence[float] = (),
        targets: Sequence[Target] = (),
    ) -> None:
        """Keep a row of these."""
        self.add(
            Row(section=section, name=name, unit=unit, values=tuple(values), floor=tuple(floor), targets=tuple(targets))
        )

    def remark(self, text: str) -> None:
        """Say something about this run below the table."""
        self.remarks.append(text)
        say(text)

    @asynccontextmanager
    async def stack(self, name: str, **overrides: object) -> AsyncGenerator[tuple[MpgClient, Settings]]:
        """Lend a stack and a client of it. Its clusters are removed with the workspace.

        Every section has one of its own, so that none finds what another left; a quick run shares them.
        """
        if self.size is not Size.QUICK:
            async with self._own_stack(name, overrides) as own:
                yield own
            return
        key = str(overrides)
        if key not in self._shared:
            self._shared[key] = await self._open.enter_async_context(self._own_stack(name, overrides))
        yield self._shared[key]

    @asynccontextmanager
    async def _own_stack(
        self, name: str, overrides: Mapping[str, object]
    ) -> AsyncGenerator[tuple[MpgClient, Settings]]:
        settings = self.workspace.settings(name, **overrides)
        try:
            await stack.start_detached(settings)
            async with MpgClient.connect(settings) as mpg:
                yield mpg, settings
        finally:
            await asyncio.shield(stack.stop(settings))

    async def close(self) -> None:
        """Stop what a quick run shared."""
        await self._open.aclose()

    async def pids(self, settings: Settings, *, worker: bool) -> list[int]:
        """Return the processes of a stack's workers, or of its Temporal."""
        parts = (await stack.status(settings)).parts
        return [part.process.pid for part in parts if part.process and (part.name != TEMPORAL) is worker]

    @asynccontextmanager
    async def cluster(
        self, mpg: MpgClient, name: str, pool_mode: PoolMode = PoolMode.TRANSACTION
    ) -> AsyncGenerator["Product"]:
        """Lend a cluster of the product, and destroy it afterwards."""
        operation = await mpg.create_cluster(name, pool_mode=pool_mode)
        try:
            await operation.result()
            yield await Product.found(mpg, name)
        finally:
            assert operation.request is not None
            await self.discard(mpg, operation.request.cluster_id)

    async def discard(self, mpg: MpgClient, cluster_id: str) -> None:
        """Destroy a cluster as a user would; one whose containers merely went away would be healed."""
        try:
            with contextlib.suppress(MpgError, TimeoutError):
                async with asyncio.timeout(_DESTROY_S):
                    await (await mpg.destroy_cluster(cluster_id, keep_backups_days=0)).result()
        finally:
            await self.workspace.remove(f"mpg-{cluster_id}")


class Product:
    """A cluster of the product, and how the bench reaches into it."""

    def __init__(self, mpg: MpgClient, state: ClusterState, key: bytes) -> None:
        """Use *key*, the stack's master key, for its passwords."""
        self.mpg, self.state, self.key = mpg, state, key
        self.name = state.spec.name

    @classmethod
    async def found(cls, mpg: MpgClient, name: str) -> "Product":
        """Return the cluster called *name* as it is recorded now."""
        state = (await mpg.view(name)).state
        return cls(mpg, state, load_or_create_master_key(mpg.settings.master_key_file))

    def uri(self, kind: EndpointKind = EndpointKind.POOLED) -> str:
        """How clients connect."""
        return connection_uri(self.state, master_key=self.key, kind=kind)

    async def now(self) -> ClusterState:
        """Return the cluster as it is recorded now."""
        return (await self.mpg.view(self.state.spec.id)).state

    async def is_whole(self) -> bool:
        """Tell whether it is ready, its replica in sync, and nothing runs on it or waits to."""
        view = await self.mpg.view(self.state.spec.id)
        status = view.state.status
        in_sync = status.replica is not None and status.replica.in_sync
        return status.phase is ClusterPhase.READY and in_sync and view.operation is None and not view.waiting

    async def await_whole(self, timeout_s: float, *, every_s: float = 0.25) -> None:
        """Return once it is whole, asking every *every_s* seconds. Raises ``TimeoutError``."""
        async with asyncio.timeout(timeout_s):
            while not await self.is_whole():  # noqa: ASYNC110  the record is asked, it does not tell
                await asyncio.sleep(every_s)

    async def connect(self, address: str) -> Connection:
        """Connect to the node at *address* as superuser."""
        return await psycopg.AsyncConnection.connect(
            host=address,
            port=POSTGRES_PORT,
            user=SUPERUSER,
            password=derive_password(self.key, self.state.spec.id, SUPERUSER),
            dbname="postgres",
            autocommit=True,
            connect_timeout=3,
        )

    async def connect_primary(self) -> Connection:
        """Connect to the node that is the primary now, as superuser."""
        primary = (await self.now()).status.primary
        if primary is None:
            raise NotYet(f"Cluster {self.name} has no primary on record.")
        return await self.connect(primary.address)


def elapsed_ms(begun: float) -> float:
    """Return the milliseconds since *begun*, a ``time.perf_counter()``."""
    return (time.perf_counter() - begun) * 1000
