"""`python -m starter.quickstart`: the product's main job on the running stack, step by step, with times.

A cluster, a user, a database, another pool mode, and another plan while a client writes. The stack and the cluster are
left running. A second run uses the same cluster.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg

from model.cluster import ClusterPhase, ClusterView, PoolMode, Role
from model.errors import MpgError, NotFound, NotYet
from model.operations import OperationResult
from model.plans import load_plans
from model.settings import Settings, load_settings
from starter.cli.errors import say
from starter.cli.waiting import wait
from starter.client import MpgClient
from starter.client.connection import EndpointKind
from starter.client.operation import Operation
from starter.quickstart.counting_writer import CREATE_TABLE, CountingWriter, WriterReport
from starter.stack.embedded import api_url
from starter.stack.serving import await_serving

NAME = "quickstart"
USER = "app"
DATABASE = "shop"
BEFORE_AND_AFTER_SECONDS = 0.5
"""How long the writer writes before the change begins and after it ended, so that both are in what it saw."""
USABLE = {ClusterPhase.READY, ClusterPhase.UPDATING}


class Quickstart:
    """One run of it."""

    def __init__(self, mpg: MpgClient) -> None:
        """Work through *mpg*."""
        self._mpg = mpg
        self._name = NAME

    async def run(self) -> None:
        """Do everything and print what happened. Raises the error of the step that failed."""
        begun = time.monotonic()
        await self._cluster()
        await self._user_and_database()
        await self._pool_mode()
        before, after, report = await self._plan()
        self._summary(await self._view(), before, after, report, await self._uris(), time.monotonic() - begun)

    async def _cluster(self) -> None:
        for name in (NAME, *(f"{NAME}-{number}" for number in range(2, 100))):
            self._name = name
            try:
                found = await self._mpg.view(name)
            except NotFound:
                async with _step(f"create cluster {name}: a primary, a replica, two poolers, one address"):
                    await self._do(self._mpg.create_cluster(name))
                return
            if found.state.status.phase in USABLE:
                await self._until_it_serves(found)
                say(f"✓ cluster {name} is there from an earlier run")
                return

    async def _until_it_serves(self, found: ClusterView) -> None:
        """After a reboot it is only just coming back."""
        silent = await await_serving(
            self._mpg.settings,
            [found],
            lambda name: say(f"▸ wait for cluster {name}, which does not serve yet"),
            lambda name, seconds: say(f"✓ cluster {name} serves after {seconds:.1f} s"),
        )
        if silent:
            raise NotYet(f"Cluster {self._name} does not serve.", remedy=f"See 'mpg status {self._name}'.")

    async def _user_and_database(self) -> None:
        spec = (await self._view()).state.spec
        if spec.user(USER) is None:
            async with _step(f"create user {USER}, a writer"):
                await self._do(self._mpg.create_user(self._name, USER, Role.WRITER))
        if spec.database(DATABASE) is None:
            async with _step(f"create database {DATABASE}"):
                await self._do(self._mpg.create_database(self._name, DATABASE))
        async with _step("make a table as fly-user; by its role, the writer may write to it"):
            uri = await self._mpg.connection_uri(self._name, database=DATABASE, kind=EndpointKind.DIRECT)
            async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
                await connection.execute(CREATE_TABLE)

    async def _pool_mode(self) -> None:
        for mode in (PoolMode.SESSION, PoolMode.TRANSACTION):
            async with _step(f"set the pool mode to {mode.value}; sessions that are open stay"):
                await self._do(self._mpg.set_pool_mode(self._name, mode))

    async def _plan(self) -> tuple[str, str, WriterReport]:
        before = (await self._view()).state.spec.plan.name
        after = _other_plan(self._mpg.settings, before)
        uri = await self._mpg.connection_uri(self._name, user=USER, database=DATABASE)
        async with _step(f"change the plan from {before} to {after} while a client writes through the poolers"):
            async with CountingWriter(uri, run=secrets.token_hex(4)) as writer:
                await asyncio.sleep(BEFORE_AND_AFTER_SECONDS)
                await self._do(self._mpg.change_plan(self._name, after))
                await asyncio.sleep(BEFORE_AND_AFTER_SECONDS)
            report = await writer.report()
        return before, after, report

    async def _uris(self) -> dict[EndpointKind, str]:
        return {
            kind: await self._mpg.connection_uri(self._name, user=USER, database=DATABASE, kind=kind)
            for kind in EndpointKind
        }

    async def _view(self) -> ClusterView:
        return await self._mpg.view(self._name)

    async def _do(self, starting: Awaitable[Operation]) -> OperationResult:
        return await wait(await starting, indent="  ")

    def _summary(
        self,
        view: ClusterView,
        before: str,
        after: str,
        report: WriterReport,
        uris: dict[EndpointKind, str],
        seconds: float,
    ) -> None:
        settings, primary = self._mpg.settings, view.state.status.primary
        print(f"\nDone in {seconds:.1f} s. Cluster {self._name} is on plan {after}, it was on {before}.")
        print(f"Its primary is node {primary.name if primary else '–'} now. While it moved, a client wrote:")
        print(f"  rows acknowledged  {report.acknowledged}, of which lost: {report.lost}")
        print(f"  longest wait       {report.longest_wait_ms:.0f} ms")
        print(f"  errors             {report.errors}")
        print(f"\nConnection strings of user {USER}, database {DATABASE}; they never change:")
        for kind, uri in uris.items():
            print(f"  {kind.value.replace('_', '-'):<9}  {uri}")
        if settings.embedded:
            page = f"http://127.0.0.1:{settings.temporal_ui_port}/namespaces/{settings.temporal_namespace}/workflows"
            print(f"\nEvery operation, in Temporal's UI:  {page}")
        print(f"The cluster:                        mpg status {self._name}")
        print("Stop the stack, clusters go on:     mpg down")
        print(f"Remove the cluster:                 mpg destroy {self._name} --yes")
        if settings.api_port:
            print(f"\nThe dashboard, at {api_url(settings)}; this signs you in:  mpg dashboard")


def _other_plan(settings: Settings, current: str) -> str:
    """The smallest plan that is not *current*: it fits where that one fits, or is the next."""
    plans = sorted(load_plans(settings.plans_file).values(), key=lambda plan: (plan.cpus, plan.memory_mb))
    return next((plan.name for plan in plans if plan.name != current), current)


@asynccontextmanager
async def _step(name: str) -> AsyncGenerator[None]:
    say(f"▸ {name}")
    begun = time.monotonic()
    yield
    say(f"✓ {name.partition(';')[0].partition(':')[0]} ({time.monotonic() - begun:.2f} s)")


async def quickstart(settings: Settings) -> None:
    """Run it on the stack in *settings*. Raises the error of the step that failed."""
    async with MpgClient.connect(settings) as mpg:
        await Quickstart(mpg).run()


def main(load: Callable[[], Settings] = load_settings) -> int:
    """Return the exit code: 0 when every step was done."""
    try:
        asyncio.run(quickstart(load()))
    except MpgError as error:
        say(f"Error: {error}")
        return 1
    except psycopg.Error as error:
        say(f"Error: The database did not do it: {str(error).strip()}. See 'mpg status {NAME}'.")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
