"""A lane: a stack and a cluster of its own on which one case after the other runs."""

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import docker
import psycopg
from docker.errors import APIError
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.service import RPCError

from activities.postgres.sql import SqlSessions
from model.base import Record
from model.cluster import ClusterSpec, ClusterState, Durability, PoolMode
from model.errors import Cancelled, MpgError
from model.names import (
    DEFAULT_ORG,
    LABEL_CLUSTER,
    MAIN_QUEUE,
    cluster_workflow_id,
    kebab,
    name_workflow_id,
    operation_workflow_id,
)
from model.operations import MAKES_CLUSTER, REQUESTS
from model.rebuilding import KEEPS_ALL
from model.settings import Settings, load_settings
from starter.client import MpgClient
from starter.client.connection import connection_uri, read_master_key
from starter.client.operation import Operation
from starter.client.temporal import connect as connect_temporal
from starter.prerequisites.engine import connect as connect_engine
from starter.quickstart.counting_writer import CREATE_TABLE, CountingWriter, WriterReport
from starter.stack import embedded as stack
from tests.faults.fault import Fault, FaultFile, Kind, Moment, StepRef
from tests.faults.invariants import Eyes, remains, violations
from tests.faults.records import comparable, difference, remembers, with_later_password
from tests.faults.scenarios import (
    ADOPT,
    CREATE,
    DESTROY,
    ON_ANOTHER_CLUSTER,
    RESTORE,
    Prepared,
    prepare,
    use_roles,
)
from tests.faults.steps import steps_of
from tests.free_ports import free_port

REPOSITORY = Path(__file__).resolve().parent.parent.parent
END_S = 180.0
"""How long an operation may take to end, whatever broke: a lost worker is noticed in seconds, a step tried again."""
WHOLE_S = 90.0
"""How long the cluster may take after that until it is whole."""
CASE_S = 400.0
POLL_S = 0.25
WRITE_EVERY_S = 0.01
DONE, CANCELLED, TERMINATED = "done", "cancelled", "terminated"


class Case(Record):
    """One case: an operation, and what breaks at which of its steps. ``number`` is its place in the matrix."""

    number: int
    operation: str
    kind: Kind
    moment: Moment
    step: StepRef
    delay_s: float = 0.0
    seed: int = 0

    def fault(self, operation_id: str) -> Fault:
        """Return what the worker is to do in the operation with this id."""
        return Fault(
            operation_id=operation_id,
            kind=self.kind,
            moment=self.moment,
            step=self.step,
            delay_s=self.delay_s,
            seed=self.seed,
        )

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.number} {self.operation}: {self.kind} {self.moment} {self.step}"


class Result(Record):
    """How a case ended."""

    case: Case
    fired: bool
    outcome: str
    """How the operation ended: done, or the error that its caller was given."""
    problems: tuple[str, ...] = ()
    recovery_s: float | None = None
    """From the fault until the operation had ended and every invariant held."""
    longest_wait_ms: float | None = None
    """Of the client that wrote through the pooled address meanwhile."""
    client_errors: int = 0
    seconds: float = 0.0
    """How long the case took, all in all."""

    @property
    def passed(self) -> bool:
        """Tell whether the fault happened and everything is as it has to be."""
        return self.fired and not self.problems


UNNOTICED = frozenset({Kind.WORKER, Kind.RAISE, Kind.CANCEL, Kind.TERMINATE, Kind.TEMPORAL})
"""Faults of the control plane alone: a client in transaction mode meets no error."""


class Lane:
    """Runs cases. Made by :func:`open_lane`."""

    def __init__(self, settings: Settings, engine: docker.DockerClient, mpg: MpgClient, temporal: Client) -> None:
        """Use the stack in *settings*."""
        self.settings = settings
        self.mpg = mpg
        self.temporal = temporal
        self.name = ""
        self._seen: list[str] = []
        """What was wrong when last looked, for a case that comes to no end of its own."""
        self._engine = engine
        self._faults = FaultFile(settings.home)
        self._sql = SqlSessions(read_master_key(settings.master_key_file))
        self.eyes = Eyes(mpg, temporal, engine, self._sql)

    async def close(self) -> None:
        """Close connections."""
        await self._sql.close()

    # --- the cluster ------------------------------------------------------------------------------------------------

    async def state(self) -> ClusterState:
        """Return the record."""
        return (await self.mpg.view(self.name)).state

    async def make_cluster(self) -> None:
        """Make the cluster of this lane, under a name that was not used before."""
        self.name = f"shop-{secrets.token_hex(3)}"
        await (await self.mpg.create_cluster(self.name)).result()
        if problems := await self._until_none(lambda: violations(self.eyes, self.name)):
            raise AssertionError(f"The new cluster is not whole: {problems}")

    async def replace_cluster(self) -> None:
        """Leave a cluster behind that a case broke: its containers go, and another takes its place."""
        with contextlib.suppress(MpgError, RPCError):
            cluster_id = (await self.state()).spec.id
            await self.temporal.get_workflow_handle(cluster_workflow_id(cluster_id)).terminate("broken by a case")
            await asyncio.to_thread(remove_all, self._engine, f"{LABEL_CLUSTER}={cluster_id}")
        await self.make_cluster()

    async def make_legacy(self) -> None:
        """Start the cluster's workflow again with a record that says it is older than the role system."""
        state = await self.state()
        if state.spec.legacy_roles:
            return
        handle = self.temporal.get_workflow_handle(cluster_workflow_id(state.spec.id))
        shown = (await handle.describe()).typed_search_attributes
        await handle.terminate("made legacy")
        older = state.model_copy(update={"spec": state.spec.model_copy(update={"legacy_roles": True})})
        await self.temporal.start_workflow(
            "Cluster",
            {"state": older.model_dump(mode="json")},
            id=handle.id,
            task_queue=MAIN_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=shown,
        )

    # --- cases ------------------------------------------------------------------------------------------------------

    async def steps(self, operation: str) -> list[StepRef]:
        """Run *operation* with nothing broken, and return its steps, read from its history."""
        self._faults.clear()
        if operation in {CREATE, RESTORE}:
            ran = await self._make(operation, f"new-{secrets.token_hex(3)}")
            await ran.result()
            await self._destroy(ran)
        elif operation == ADOPT:
            cluster_id = await self._lose_record()
            ran = await self.mpg.adopt_cluster(cluster_id)
            await ran.result()
            if problems := await self._until_none(lambda: violations(self.eyes, self.name, [ran.id])):
                raise AssertionError(f"{operation} with nothing broken: {problems}")
        elif operation == DESTROY:
            made = await self.mpg.create_cluster(f"old-{secrets.token_hex(3)}")
            await made.result()
            assert made.request is not None
            ran = await self.mpg.destroy_cluster(made.request.cluster_id, keep_backups_days=0)
            await ran.result()
        else:
            prepared = await prepare(operation, self)
            ran = await prepared.start(secrets.token_hex(3))
            await ran.result()
            if problems := await self._until_none(lambda: violations(self.eyes, self.name, [ran.id])):
                raise AssertionError(f"{operation} with nothing broken: {problems}")
        return steps_of(await self.temporal.get_workflow_handle(ran.id).fetch_history())

    async def run(self, case: Case) -> Result:
        """Run one case, and bring the lane to where the next can run."""
        begun = time.monotonic()
        self._faults.clear()
        self._seen = []
        others = {CREATE: self._create, RESTORE: self._create, DESTROY: self._destroy_case, ADOPT: self._adopt}
        one = others.get(case.operation, self._change)
        try:
            async with asyncio.timeout(CASE_S):
                result = await one(case)
                if case.kind is Kind.ENGINE and case.operation in ON_ANOTHER_CLUSTER:
                    # This lane's cluster, which the operation was not about, lost its nodes as well.
                    own = await self._until_none(lambda: violations(self.eyes, self.name, []))
                    result = result.model_copy(update={"problems": (*result.problems, *own)})
        except (MpgError, RPCError, TimeoutError, psycopg.Error) as error:
            said = f"{type(error).__name__}: {error}"
            problems = (said, *self._seen)
            result = Result(case=case, fired=self._faults.fired() is not None, outcome="none", problems=problems)
        self._faults.clear()
        if result.problems and (case.operation not in ON_ANOTHER_CLUSTER or case.kind is Kind.ENGINE):
            await self.replace_cluster()
        return result.model_copy(update={"seconds": round(time.monotonic() - begun, 2)})

    async def _change(self, case: Case) -> Result:
        prepared = await prepare(case.operation, self)
        mode = prepared.before.pool_mode
        uri = connection_uri(await self.state(), master_key=read_master_key(self.settings.master_key_file))
        await _make_table(uri)
        key = f"{case.number}-{secrets.token_hex(3)}"
        self._plan(case, self.name, key)
        async with CountingWriter(uri, key, every_s=WRITE_EVERY_S) as writer:
            operation = await prepared.start(key)
            outcome = await self._end_of(operation)
            problems = await self._until_none(lambda: violations(self.eyes, self.name, [operation.id]))
            recovery = self._since_fault()
            problems += await self._as_ended(prepared, outcome)
        report = await writer.report()
        durable = {prepared.before.durability, prepared.after.durability} == {Durability.SYNC}
        if report.lost and durable:
            problems.append(f"{report.lost} acknowledged rows are lost")
        if not await _in_order(uri, key):
            problems.append("the rows are not in the order in which they were acknowledged")
        modes = {mode, (await self.state()).spec.pool_mode}
        unnoticed = case.kind in UNNOTICED and modes == {PoolMode.TRANSACTION} and not prepared.ends_sessions
        if report.errors and unnoticed:
            problems.append(f"a client met {report.errors} errors")
        return self._result(case, outcome, problems, recovery, report)

    async def _create(self, case: Case) -> Result:
        name, key = f"new-{secrets.token_hex(3)}", secrets.token_hex(3)
        self._plan(case, name, key)
        operation = await self._make(case.operation, name, key)
        outcome = await self._end_of(operation)

        async def whole() -> list[str]:
            return await violations(self.eyes, name, [operation.id])

        async def either() -> list[str]:
            """Nothing is left of it, or, where its last fact was on record by then, it is whole."""
            left = await self._remains(operation, name)
            return left and (await whole() and left if outcome == TERMINATED else left)

        problems = await self._until_none(whole if outcome == DONE else either)
        recovery = self._since_fault()
        if outcome == DONE or (not problems and await self._remains(operation, name)):
            problems += await self._destroy(operation)
        return self._result(case, outcome, problems, recovery)

    async def _make(self, operation: str, name: str, key: str | None = None) -> Operation:
        """Begin to make a cluster: an empty one, or a copy of the lane's own, once there is a backup of that."""
        if operation == CREATE:
            return await self.mpg.create_cluster(name, request_id=key)

        async def backed_up() -> list[str]:
            found = (await self.state()).status.backups.latest()
            return [] if found else [f"there is no backup of {self.name}"]

        if problems := await self._until_none(backed_up):
            raise AssertionError(problems)
        return await self.mpg.fork_cluster(self.name, name=name, request_id=key)

    async def _destroy_case(self, case: Case) -> Result:
        name, key = f"old-{secrets.token_hex(3)}", secrets.token_hex(3)
        made = await self.mpg.create_cluster(name)
        await made.result()
        self._plan(case, name, key)
        operation = await self.mpg.destroy_cluster(name, keep_backups_days=0, request_id=key)
        outcome = await self._end_of(operation)

        async def either() -> list[str]:
            """It is gone, or, where the destruction did not begin, whole."""
            left = await self._remains(made, name)
            if not left or outcome == DONE:
                return left
            return await violations(self.eyes, name, [operation.id]) and left

        problems = await self._until_none(either)
        recovery = self._since_fault()
        if await self._remains(made, name):
            problems += await self._destroy(made)
        return self._result(case, outcome, problems, recovery)

    async def _adopt(self, case: Case) -> Result:
        await use_roles(self)
        before, key = (await self.state()).spec, secrets.token_hex(3)
        cluster_id = await self._lose_record()
        self._plan(case, before.name, key)
        operation = await self.mpg.adopt_cluster(cluster_id, request_id=key)
        outcome = await self._end_of(operation)
        problems: list[str] = []
        if outcome != DONE:
            # Once it is on record it stays there. Whatever became of the first try, the next one puts it there.
            again = await self.mpg.adopt_cluster(cluster_id)
            said = await self._end_of(again)
            problems = [] if said == DONE else [f"the first adoption: {outcome}", f"the next one: {said}"]
        problems += await self._until_none(lambda: violations(self.eyes, self.name, [operation.id]))
        recovery = self._since_fault()
        found = (await self.state()).spec
        expected = (found, _without_policy(before))
        spec, recorded = (comparable(each.model_copy(update={"former_users": ()})) for each in expected)
        if spec != recorded:
            problems.append(f"the record is {difference(spec, recorded)}")
        if forgotten := [user.name for user in before.former_users if not remembers(found, user)]:
            problems.append(f"passwords are forgotten that these had: {', '.join(forgotten)}")
        return self._result(case, outcome, problems, recovery)

    async def _lose_record(self) -> str:
        """Have no workflow know the cluster any more; return its id."""
        spec = (await self.state()).spec
        for workflow_id in (cluster_workflow_id(spec.id), name_workflow_id(spec.org, spec.name)):
            await self.temporal.get_workflow_handle(workflow_id).terminate("the record is lost")

        async def adoptable() -> list[str]:
            """Its former watch, which is ended within seconds, counts as another control plane."""
            found = await self.mpg.found_clusters(read=True)
            return [each.problem for each in found if each.id == spec.id and each.problem]

        if problems := await self._until_none(adoptable):
            raise AssertionError(f"It cannot be adopted: {problems}")
        return spec.id

    # --- what cases are made of ---------------------------------------------------------------------------------------

    def _plan(self, case: Case, cluster: str, key: str) -> None:
        workflow_type = next(name for name in REQUESTS if kebab(name) == case.operation)
        self._faults.plan(case.fault(operation_workflow_id(workflow_type, cluster, key)))

    def _since_fault(self) -> float | None:
        fired = self._faults.fired()
        return None if fired is None else round(time.time() - fired.at, 2)

    async def _end_of(self, operation: Operation) -> str:
        """Wait until *operation* has ended, through the loss of whom one asks, and return how."""
        try:
            async with asyncio.timeout(END_S):
                await operation.result()
        except Cancelled:
            return CANCELLED
        except MpgError as error:
            return TERMINATED if "terminated from outside" in str(error) else f"{type(error).__name__}: {error}"
        return DONE

    async def _as_ended(self, prepared: Prepared, outcome: str) -> list[str]:
        """Done means done, an error means undone; what was terminated is one of the two."""
        found = (await self.state()).spec
        spec, before = comparable(found), comparable(prepared.before)
        after = comparable(with_later_password(prepared, found))
        either = outcome == TERMINATED or (prepared.irreversible and outcome not in (DONE, CANCELLED))
        right = [before, after] if either else [after] if outcome == DONE else [before]
        if spec not in right:
            return [f"it ended with {outcome} and the record is {difference(spec, right[0])}"]
        if prepared.is_done is not None and not either and await prepared.is_done() is not (outcome == DONE):
            return [f"it ended with {outcome} and its effect is {'not ' if outcome == DONE else ''}there"]
        return []

    async def _until_none(self, look: Callable[[], Awaitable[list[str]]]) -> list[str]:
        """Look until there is nothing to say, at most :data:`WHOLE_S`; return what is left to say."""
        deadline = time.monotonic() + WHOLE_S
        while True:
            try:
                problems = await look()
            except (MpgError, RPCError, OSError) as error:  # the last where the engine is not up again yet
                problems = [f"{type(error).__name__}: {error}"]
            self._seen = problems
            if not problems or time.monotonic() > deadline:
                return problems
            await asyncio.sleep(POLL_S)

    async def _remains(self, creation: Operation, name: str) -> list[str]:
        assert creation.request is not None
        return await remains(self.eyes, creation.request.cluster_id, DEFAULT_ORG, name)

    async def _destroy(self, creation: Operation) -> list[str]:
        """Destroy a whole cluster with nothing broken; return what is left of it."""
        assert creation.request is not None
        await (await self.mpg.destroy_cluster(creation.request.cluster_id, keep_backups_days=0)).result()
        assert isinstance(creation.request, MAKES_CLUSTER)
        name = creation.request.name
        return await self._until_none(lambda: self._remains(creation, name))

    def _result(
        self,
        case: Case,
        outcome: str,
        problems: list[str],
        recovery: float | None,
        report: WriterReport | None = None,
    ) -> Result:
        return Result(
            case=case,
            fired=self._faults.fired() is not None,
            outcome=outcome,
            problems=tuple(problems),
            recovery_s=recovery,
            longest_wait_ms=report and report.longest_wait_ms,
            client_errors=report.errors if report else 0,
        )


async def _make_table(uri: str) -> None:
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True, prepare_threshold=None) as session:
        await session.execute(CREATE_TABLE)


async def _in_order(uri: str, run: str) -> bool:
    """Tell whether each row was written after the one before it."""
    query = (
        "SELECT count(*) FROM (SELECT written_at < lag(written_at) OVER (ORDER BY n) AS back"
        " FROM counting_writer WHERE run = %s) AS rows WHERE back"
    )
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True, prepare_threshold=None) as session:
        row = await (await session.execute(query, [run])).fetchone()
        return row == (0,)


def remove_all(engine: docker.DockerClient, label: str) -> None:
    """Remove every container, volume and network that carries *label*."""
    labelled: dict[str, str | list[str] | bool] = {"label": label}
    for container in engine.containers.list(all=True, filters=labelled, ignore_removed=True):
        with contextlib.suppress(APIError):
            container.remove(force=True, v=True)
    for each in (*engine.volumes.list(filters=labelled), *engine.networks.list(filters=labelled)):
        with contextlib.suppress(APIError):
            each.remove()


@asynccontextmanager
async def open_lane(number: int) -> AsyncGenerator[Lane]:
    """Lend a lane whose worker does what it is told to break; nothing of it is left afterwards."""
    home = Path(tempfile.mkdtemp(prefix="mpgf"))
    run = f"{home.name}"
    first = 27000 + (os.getpid() + number) % 50 * 40
    settings = load_settings(
        home=home,
        temporal_port=free_port(),
        temporal_ui_port=free_port(),
        api_port=0,
        prometheus_port=0,
        port_range=(first, first + 39),
        subnet_pool=f"10.216.{(os.getpid() + number) % 256}.0/24",
        extra_labels={"mpg.test": "true", "mpg.lane": run},
        allow_overcommit=True,
        allow_storage_overcommit=True,
        worker_module="tests.faults.worker",
    )
    os.environ["PYTHONPATH"] = str(REPOSITORY)  # the worker runs in the state directory
    engine = connect_engine(settings)
    try:
        await stack.start_detached(settings)
        async with MpgClient.connect(settings) as mpg:
            lane = Lane(settings, engine, mpg, await connect_temporal(settings))
            try:
                await lane.make_cluster()
                yield lane
            finally:
                await lane.close()
    finally:
        await asyncio.shield(stack.stop(settings))
        await asyncio.to_thread(remove_all, engine, f"mpg.lane={run}")
        engine.close()
        shutil.rmtree(home, ignore_errors=True)


def _without_policy(spec: ClusterSpec) -> ClusterSpec:
    """Return what an adoption makes of *spec*: the policy of backups is nowhere but in the record."""
    backups = spec.backups and spec.backups.model_copy(update={"policy": KEEPS_ALL})
    return spec.model_copy(update={"backups": backups})
