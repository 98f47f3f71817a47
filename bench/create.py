"""Creation: from nothing to a first query through the pooled endpoint, and to a replica that streams."""

import asyncio
import time
from collections.abc import Callable

from bench.floor_cluster import floor_cluster
from bench.report import Row, at_most
from bench.run import Product, Run
from bench.workspace import await_streaming, first_query
from model.cluster import ClusterView
from model.errors import NotFound
from model.operations import Step
from starter.client import MpgClient
from starter.client.operation import Operation

SECTION = "create"
_BOUND_S = 120


async def measure(run: Run) -> None:
    """Alternate floor and product."""
    floor: list[tuple[float, float]] = []
    product: list[tuple[float, float, float]] = []
    steps: list[tuple[Step, ...]] = []
    async with run.stack("create") as (mpg, _):
        for number in range(run.count(1, 7, 10)):
            async with floor_cluster(run.workspace) as made:
                floor.append((made.first_query_s, made.streaming_s))
            times, taken = await _create(run, mpg, f"create-{number}")
            product.append(times)
            steps.append(taken)
    query, streaming, result = zip(*product, strict=True)
    floor_query, floor_streaming = zip(*floor, strict=True)
    run.add(_row("to a first query, pooled", query, floor_query, median=4, ratio=1.5))
    run.add(_row("to a replica that streams", streaming, floor_streaming, median=5))
    run.add(_row("to the operation's result", result, ()))
    for name, seconds in by_step(steps).items():
        run.add(Row(section=SECTION, name=f"… step '{name}'", unit="s", values=seconds))


def _row(name: str, values: tuple[float, ...], floor: tuple[float, ...], **limits: float) -> Row:
    return Row(section=SECTION, name=name, unit="s", values=values, floor=floor, targets=at_most(**limits))


def by_step(runs: list[tuple[Step, ...]]) -> dict[str, tuple[float, ...]]:
    """Return the seconds of each step of several runs, by its name."""
    names = dict.fromkeys(step.name for steps in runs for step in steps)
    return {
        name: tuple(step.seconds for steps in runs for step in steps if step.name == name and step.seconds is not None)
        for name in names
    }


async def _create(run: Run, mpg: MpgClient, name: str) -> tuple[tuple[float, float, float], tuple[Step, ...]]:
    begun = time.perf_counter()
    operation = await mpg.create_cluster(name)
    assert operation.request is not None
    cluster_id = operation.request.cluster_id
    try:
        async with asyncio.timeout(_BOUND_S):
            query, streaming, result = await asyncio.gather(
                _query(mpg, cluster_id, begun), _streaming(mpg, cluster_id, begun), _result(operation, begun)
            )
            return (query, streaming, result), (await operation.progress()).steps
    finally:
        await run.discard(mpg, cluster_id)


async def _query(mpg: MpgClient, cluster_id: str, begun: float) -> float:
    await _recorded(mpg, cluster_id, lambda view: bool(view.state.status.endpoint and view.state.status.poolers))
    await first_query((await Product.found(mpg, cluster_id)).uri())
    return time.perf_counter() - begun


async def _streaming(mpg: MpgClient, cluster_id: str, begun: float) -> float:
    await _recorded(mpg, cluster_id, lambda view: view.state.status.primary is not None)
    product = await Product.found(mpg, cluster_id)
    async with await product.connect_primary() as connection:
        await await_streaming(connection)
    return time.perf_counter() - begun


async def _result(operation: Operation, begun: float) -> float:
    await operation.result()
    return time.perf_counter() - begun


async def _recorded(mpg: MpgClient, cluster_id: str, is_there: Callable[[ClusterView], bool]) -> None:
    """Wait until the cluster's record says so, asking every 30 ms."""
    while True:
        try:
            if is_there(await mpg.view(cluster_id)):
                return
        except NotFound:
            pass
        await asyncio.sleep(0.03)
