"""A cluster of a running stack as its clients, its engine and Postgres itself see it."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, LiteralString

import docker
import psycopg
from docker.errors import APIError, NotFound
from rig import until

from activities.postgres.sql import SqlSessions
from model.cluster import ClusterPhase, ClusterState, Node
from model.effects import Target
from model.errors import MpgError, StackDown
from model.names import DEFAULT_DATABASE, DEFAULT_USER
from starter.client import MpgClient
from starter.client.connection import EndpointKind
from starter.client.operation import Operation
from starter.quickstart.counting_writer import CREATE_TABLE, CountingWriter, WriterReport

BOUND_S = 60.0
"""For anything to happen here: far longer than it takes, for a machine that has other things to do."""
Session = psycopg.AsyncConnection[tuple[Any, ...]]


class LiveCluster:
    """One cluster. Nodes are asked as the superuser, beside the record."""

    def __init__(self, mpg: MpgClient, name: str, engine: docker.DockerClient, sql: SqlSessions) -> None:
        """Look at the cluster called *name* through *mpg*, *engine* and *sql*."""
        self.mpg = mpg
        self.name = name
        self.engine = engine
        self._sql = sql

    def other(self, name: str) -> "LiveCluster":
        """Return another cluster of the same stack."""
        return LiveCluster(self.mpg, name, self.engine, self._sql)

    async def state(self) -> ClusterState:
        return (await self.mpg.view(self.name)).state

    async def pair(self) -> tuple[Node, Node]:
        """The primary and the replica on record."""
        status = (await self.state()).status
        assert status.primary is not None
        assert status.replica is not None
        return status.primary, status.replica

    # --- clients ------------------------------------------------------------------------------------------------------

    async def uri(
        self, kind: EndpointKind = EndpointKind.POOLED, user: str = DEFAULT_USER, database: str = DEFAULT_DATABASE
    ) -> str:
        return await self.mpg.connection_uri(self.name, kind=kind, user=user, database=database)

    async def session(
        self, kind: EndpointKind = EndpointKind.POOLED, user: str = DEFAULT_USER, **options: Any
    ) -> Session:
        """A client's connection, by default in autocommit and without prepared statements."""
        chosen: dict[str, Any] = {"autocommit": True, "prepare_threshold": None, "connect_timeout": 30} | options
        return await psycopg.AsyncConnection.connect(await self.uri(kind, user), **chosen)

    # --- what is ------------------------------------------------------------------------------------------------------

    async def ask(self, node: Node, query: LiteralString) -> list[tuple[Any, ...]]:
        """Return what *node* itself answers."""
        target = Target.of((await self.state()).spec.id, node)
        async with await self._sql.open(target, timeout_s=2) as connection:
            return await (await connection.execute(query)).fetchall()

    async def checkpoint(self, node: Node) -> None:
        """Have *node* make a checkpoint; a standby makes a restartpoint."""
        async with await self._sql.open(Target.of((await self.state()).spec.id, node)) as connection:
            await connection.execute("CHECKPOINT")

    async def attributes(self, container: str) -> dict[str, Any]:
        """Return what the engine knows of a container."""
        return (await asyncio.to_thread(self.engine.containers.get, container)).attrs

    async def kill(self, *containers: str) -> None:
        """End containers as a crash would, all at once."""
        await asyncio.gather(*(self._call(container, "kill") for container in containers))

    async def freeze(self, container: str) -> None:
        await self._call(container, "pause")

    async def thaw(self, container: str) -> None:
        """Let a frozen container go on; the engine's refusal is that of one which is not frozen any more."""
        try:
            await self._call(container, "unpause")
        except APIError as error:
            assert "not paused" in str(error.explanation)  # noqa: PT017

    async def _call(self, container: str, what: str) -> None:
        found = await asyncio.to_thread(self.engine.containers.get, container)
        await asyncio.to_thread(getattr(found, what))

    async def started(self) -> dict[str, str]:
        """When each container of the cluster on record was started; of one that does not run, nothing."""
        status = (await self.state()).status
        names = [each.container for each in (*status.nodes, *status.poolers)]
        names += [status.endpoint.container] if status.endpoint else []
        found: dict[str, str] = {}
        for name in names:
            with contextlib.suppress(NotFound):
                state = (await self.attributes(name))["State"]
                if state["Running"]:
                    found[name] = state["StartedAt"]
        return found

    async def whole(self) -> bool:
        """Tell whether the cluster is what its record says: one primary, and a replica that commits wait for."""
        try:
            return await self._whole()
        except (psycopg.Error, StackDown, APIError):
            return False

    async def _whole(self) -> bool:
        view = await self.mpg.view(self.name)
        primary, replica = view.state.status.primary, view.state.status.replica
        idle = view.operation is None and view.waiting == 0 and view.state.status.phase is ClusterPhase.READY
        if not idle or primary is None or replica is None or not replica.in_sync:
            return False
        in_recovery = {
            node.name: (await self.ask(node, "SELECT pg_is_in_recovery()"))[0][0] for node in (primary, replica)
        }
        followers = await self.ask(primary, "SELECT application_name, state, sync_state FROM pg_stat_replication")
        return in_recovery == {primary.name: False, replica.name: True} and followers == [
            (replica.name, "streaming", "sync")
        ]

    async def until_whole(self, *, restarted: Sequence[str] = (), since: dict[str, str] | None = None) -> None:
        """Return when the cluster is whole, and each container of *restarted* was started after *since*."""

        async def met() -> bool:
            if not await self.whole():
                return False
            now = await self.started()
            return all(name in now and now[name] != (since or {}).get(name) for name in restarted)

        try:
            await until(met, timeout_s=BOUND_S, what=f"{self.name} whole again")
        except AssertionError as error:
            raise AssertionError(f"{error}: {(await self.mpg.view(self.name)).model_dump_json(indent=1)}") from None

    async def until_led_by(self, name: str) -> None:
        async def met() -> bool:
            primary = (await self.state()).status.primary
            return primary is not None and primary.name == name

        await until(met, timeout_s=BOUND_S, what=f"{name} the primary")

    async def until_doing(self, operation: Operation, step: str) -> None:
        """Return when *operation* is at a step whose name begins with *step*."""

        async def met() -> bool:
            try:
                progress = await operation.progress()
            except MpgError:
                return False
            return any(each.name.startswith(step) and each.started_at is not None for each in progress.steps)

        await until(met, timeout_s=BOUND_S, what=f"step {step!r}")


class ReadingClient:
    """Asks one question after the other, each on a connection of its own; what fails is kept."""

    def __init__(self, uri: str) -> None:
        """Ask at *uri*; nothing is asked yet."""
        self._uri = uri
        self.answered = 0
        self.failures: list[str] = []

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._uri, autocommit=True) as session:
                    await session.execute("SELECT count(*) FROM pg_class")
                self.answered += 1
            except psycopg.Error as error:
                self.failures.append(str(error))
            await asyncio.sleep(0.01)


class GapWriter(CountingWriter):
    """A writer that also tells how what it lost lies together."""

    async def gaps(self) -> int:
        """Return how many stretches of rows that were acknowledged, one after the other, are not there."""
        there = await self._found()
        missing = [number not in there for number in self._acknowledged]
        return sum(gone and not before for before, gone in zip([False, *missing], missing, strict=False))


class Load:
    """Clients at work on a cluster."""

    def __init__(self, writers: Sequence[GapWriter], readers: Sequence[ReadingClient]) -> None:
        """Watch what *writers* and *readers* get done."""
        self._writers = writers
        self._readers = readers

    async def goes_on(self) -> None:
        """Return when every client got something done after this was called."""
        before = self._done()
        await until(self._more_than(before), timeout_s=BOUND_S, what="the clients' work")

    def _done(self) -> list[int]:
        return [each.acknowledged for each in self._writers] + [each.answered for each in self._readers]

    def _more_than(self, before: list[int]) -> Callable[[], Any]:
        async def met() -> bool:
            return all(now > then for now, then in zip(self._done(), before, strict=True))

        return met

    async def reports(self) -> list[WriterReport]:
        """What each writer saw, when it has ended."""
        return [await each.report() for each in self._writers]

    async def nothing_lost(self) -> bool:
        """Tell whether each row that was acknowledged is there."""
        reports = await self.reports()
        return all(report.acknowledged > 0 and report.lost == 0 for report in reports)

    async def gaps(self) -> list[int]:
        """Tell of each writer how many stretches of acknowledged rows are not there."""
        return [await each.gaps() for each in self._writers]

    async def failures(self) -> list[str]:
        """Every statement that failed, in words."""
        failed = [f"a writer met {report.errors} errors" for report in await self.reports() if report.errors]
        return failed + [failure for reader in self._readers for failure in reader.failures]


@asynccontextmanager
async def load(cluster: LiveCluster, *, writers: int, readers: int = 0) -> AsyncGenerator[Load]:
    """Have clients write through the pooled endpoint and read through the read-only one, before, during and after."""
    async with await cluster.session() as session:
        await session.execute(CREATE_TABLE)
    pooled, read_only = await cluster.uri(), await cluster.uri(EndpointKind.READ_ONLY)
    run = secrets.token_hex(4)
    writing = [GapWriter(pooled, f"{run}-{number}") for number in range(writers)]
    reading = [ReadingClient(read_only) for _ in range(readers)]
    async with AsyncExitStack() as stack:
        for writer in writing:
            await stack.enter_async_context(writer)
        tasks = [asyncio.create_task(reader.run()) for reader in reading]
        stack.callback(lambda: [task.cancel() for task in tasks])
        clients = Load(writing, reading)
        await clients.goes_on()
        yield clients
        await clients.goes_on()


async def take_hold(session: Session) -> None:
    """Begin a transaction and give the session every kind of state that it can have."""
    for statement in (
        "CREATE TEMPORARY TABLE kept (n int) ON COMMIT PRESERVE ROWS",
        "INSERT INTO kept VALUES (7)",
        "SET statement_timeout = '12345ms'",
        "PREPARE doubled AS SELECT n * 2 FROM kept",
        "SELECT pg_advisory_lock(4711)",
    ):
        await session.execute(statement)


async def still_holds(session: Session) -> None:
    assert await rows(session, "EXECUTE doubled") == [(14,)]
    assert await rows(session, "SELECT n FROM kept") == [(7,)]
    assert await rows(session, "SHOW statement_timeout") == [("12345ms",)]
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND pid = pg_backend_pid()"
    assert await rows(session, locks) == [(1,)]


async def may(cluster: LiveCluster, user: str, statement: str) -> bool:
    """Run *statement* through the pooled endpoint; tell whether *user* may."""
    async with await cluster.session(user=user) as session:
        try:
            await session.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            return False
    return True


async def rows(session: Session, query: str) -> list[tuple[object, ...]]:
    return await (await session.execute(query.encode())).fetchall()
