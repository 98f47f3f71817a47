"""The real worker, in which one fault happens at one boundary of one activity.

A stack runs it by the setting ``worker_module``. What it does beside the product's own worker is read from a file in
the state directory (tests/faults/fault.py), once.
"""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import docker
import structlog
from docker.errors import APIError
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

import worker
from activities.registry import Activities, open_activities
from model.effects import EFFECTS, Effect
from model.errors import Refused
from model.master_key import load_or_create_master_key
from model.settings import Settings, load_settings
from starter.logs import configure_logging
from starter.prerequisites.engine import connect as connect_engine
from starter.stack.parts import TEMPORAL
from starter.stack.state import read_status
from tests.faults.fault import Fault, FaultFile, Kind, Moment
from tests.faults.targets import containers_of

log = structlog.get_logger()
ENGINE_PID = "MPG_FAULT_ENGINE_PID"
"""Names the file with the process id of the Docker engine that may be ended; whoever runs the test starts it again."""


class Faults:
    """Wraps activities so that the planned fault happens."""

    def __init__(self, settings: Settings, client: Client) -> None:
        """Act on the stack in *settings* and, through *client*, on its operations."""
        self._settings = settings
        self._client = client
        self._file = FaultFile(settings.home)
        self._seen: dict[tuple[str, str], list[str]] = {}

    def wrap(self, activities: Activities) -> Activities:
        """Return *activities* with the fault at their boundaries."""
        effects = {effect.name: effect for effect in EFFECTS}

        def all_of(methods: Any) -> list[Callable[..., Any]]:
            return [self._wrapped(effects[method.__name__], method) for method in methods]

        return Activities(main=all_of(activities.main), host=all_of(activities.host), keys=activities.keys)

    def _wrapped(self, effect: Effect[Any, Any], real: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def run(arg: Any) -> Any:
            fault = self._planned_here(effect.name)
            return await (real(arg) if fault is None else self._run_with(fault, real, arg))

        run.__annotations__ = {"arg": effect.input, "return": effect.output}
        return activity.defn(name=effect.name)(run)

    def _planned_here(self, effect: str) -> Fault | None:
        info = activity.info()
        fault = self._file.planned()
        if fault is None or info.workflow_id != fault.operation_id:
            return None
        starts = self._seen.setdefault((fault.operation_id, effect), [])
        if info.activity_id not in starts:
            starts.append(info.activity_id)
        here = effect == fault.step.effect and starts.index(info.activity_id) + 1 == fault.step.occurrence
        return fault if here else None

    async def _run_with(self, fault: Fault, real: Callable[..., Awaitable[Any]], arg: Any) -> Any:
        if fault.moment is Moment.BEFORE:
            await self._strike(fault, arg)
            return await real(arg)
        if fault.moment is Moment.AFTER:
            result = await real(arg)
            await self._strike(fault, arg)
            return result
        task = asyncio.ensure_future(real(arg))
        await asyncio.wait([task], timeout=fault.delay_s)
        try:
            await self._strike(fault, arg)
        except ApplicationError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        return await task

    async def _strike(self, fault: Fault, arg: Any) -> None:
        what = f"{fault.kind} {fault.moment} {fault.step}"
        if not self._file.fire(what):
            return
        log.warning("fault", what=what)
        match fault.kind:
            case Kind.WORKER:
                os.kill(os.getpid(), signal.SIGKILL)
            case Kind.RAISE:
                error = Refused(f"{fault.step} fails, because the test says so.")
                raise ApplicationError(str(error), type=type(error).__name__, non_retryable=True)
            case Kind.CANCEL:
                await self._client.get_workflow_handle(fault.operation_id).cancel()
            case Kind.TERMINATE:
                await self._client.get_workflow_handle(fault.operation_id).terminate("the test says so")
            case Kind.TEMPORAL:
                status = read_status(self._settings)
                temporal = next(part for part in status.parts if part.name == TEMPORAL) if status else None
                assert temporal is not None
                assert temporal.process is not None
                temporal.process.send(signal.SIGKILL)
            case Kind.CONTAINER:
                await asyncio.to_thread(self._kill_container, fault, arg)
            case Kind.ENGINE:
                with open(os.environ[ENGINE_PID]) as file:  # noqa: ASYNC230, PTH123
                    os.kill(int(file.read()), signal.SIGTERM)

    def _kill_container(self, fault: Fault, arg: Any) -> None:
        with_engine = connect_engine(self._settings)
        try:
            there = containers_of(arg, self._cluster_containers(with_engine, arg))
            if there:
                random.Random(fault.seed).choice(there).kill()
        except APIError as error:
            log.warning("nothing to kill", error=str(error))
        finally:
            with_engine.close()

    def _cluster_containers(self, engine: docker.DockerClient, arg: Any) -> list[Any]:
        cluster_id = _cluster_id(arg)
        if cluster_id is None:
            return []
        return engine.containers.list(filters={"label": f"mpg.cluster={cluster_id}"})


def _cluster_id(arg: Any) -> str | None:
    for holder in (arg, *(getattr(arg, name, None) for name in ("target", "spec", "state"))):
        found = getattr(holder, "cluster_id", None)
        if isinstance(found, str):
            return found
    return None


async def main() -> None:
    """Serve until SIGTERM or SIGINT, as the product's worker does."""
    settings = load_settings()
    configure_logging(settings)
    stop = worker.stop_signal()
    client = await worker.connect(settings)
    async with AsyncExitStack() as stack:
        key = load_or_create_master_key(settings.master_key_file)
        activities = await stack.enter_async_context(open_activities(settings, client, key))
        faulty = Faults(settings, client).wrap(activities)
        await stack.enter_async_context(worker.serving(client, settings, faulty))
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
