"""Where the time of an operation goes, from the call to its result; on an idle cluster, one at a time."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio.client import WorkflowHandle

from bench.report import Row
from bench.run import Product, Run
from bench.spans import parts, time_of
from model.cluster import Role
from starter.client.operation import Operation
from starter.client.temporal import connect

SECTION = "profile"
_CALL, _ANSWER = "the call, until Temporal has it", "the answer, until the caller has it"

Start = Callable[[int], Awaitable[Operation]]


async def measure(run: Run) -> None:
    """Profile what a user waits for most often, and a change of the primary."""
    async with run.stack("profile") as (mpg, _), run.cluster(mpg, "profile") as cluster:
        # The first of a fresh worker loads code and opens connections.
        await (await mpg.create_user(cluster.name, "warm-up", Role.READER)).result()
        await _profile(
            run,
            cluster,
            "CreateUser",
            lambda number: mpg.create_user(cluster.name, f"user-{number}", Role.WRITER),
            run.count(3, 40),
        )
        await _profile(
            run,
            cluster,
            "CreateDatabase",
            lambda number: mpg.create_database(cluster.name, f"db-{number}"),
            run.count(2, 15),
        )
        await _profile(run, cluster, "Switchover", lambda _: mpg.switchover(cluster.name), run.count(1, 10))


async def _profile(run: Run, cluster: Product, name: str, start: Start, count: int) -> None:
    whole: list[float] = []
    seen: list[dict[str, float]] = []
    for number in range(count):
        begun = time.time()
        operation = await start(number)
        await operation.result()
        ended = time.time()
        whole.append(ended - begun)
        seen.append(await _parts(cluster, operation, begun, ended))
    _row(run, f"{name}: from the call to its result", whole)
    for label in dict.fromkeys(label for each in seen for label in each):
        _row(run, f"{name}: … {label}", [each.get(label, 0.0) for each in seen])


async def _parts(cluster: Product, operation: Operation, begun: float, ended: float) -> dict[str, float]:
    client = await connect(cluster.mpg.settings)
    handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(operation.id)
    events = [event async for event in handle.fetch_history_events()]
    return {_CALL: time_of(events[0]) - begun, **parts(events), _ANSWER: ended - time_of(events[-1])}


def _row(run: Run, name: str, seconds: list[float]) -> None:
    values = tuple(round(each * 1000, 2) for each in seconds)
    run.add(Row(section=SECTION, name=name, unit="ms", values=values))
