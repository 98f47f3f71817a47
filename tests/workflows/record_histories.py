"""Writes tests/histories anew: ``python -m tests.workflows.record_histories``.

Do so only when no release has workflows that run with the old ones; otherwise a change of a workflow's order needs
``workflow.patched``, and the old histories stay beside the new.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from model.names import cluster_workflow_id, name_workflow_id
from model.operations import OperationOutcome
from starter.leave import leave
from tests.workflows import golden
from tests.workflows.bench import Bench
from tests.workflows.samples import BEGINNINGS, SCENARIOS, cluster_for, request_of
from tests.workflows.server import serving, started_temporal
from tests.workflows.stubs import Stubs, fails, hangs

FOLDER = Path(__file__).parent.parent / "histories"


async def main() -> None:
    """Record every operation three times: done, failing at its last effect, cancelled there."""
    for old in FOLDER.glob("*.json"):
        old.unlink()
    async with started_temporal() as client, serving(client) as stubs:
        for scenario in SCENARIOS:
            for way in (OperationOutcome.DONE, OperationOutcome.FAILED, OperationOutcome.CANCELLED):
                await _record(client, stubs, scenario, way)


async def _record(client: Client, stubs: Stubs, scenario: str, way: OperationOutcome) -> None:
    async with _bench(client, stubs) as bench:
        state = cluster_for(scenario)
        if scenario not in BEGINNINGS:
            await bench.cluster(state)
        started = asyncio.Event()
        if way is not OperationOutcome.DONE:
            effect, occurrence = _last(scenario)
            behaviour = fails() if way is OperationOutcome.FAILED else hangs(stubs, started)
            stubs.plan(effect, behaviour, occurrence)
        handle = await bench.start(request_of(scenario, state), state.spec.name)
        if way is OperationOutcome.CANCELLED:
            await started.wait()
            await handle.cancel()
            await asyncio.sleep(1.5)
            stubs.released.set()
        with suppress(WorkflowFailureError):
            await handle.result()
        await _write(handle, f"{scenario}.{way}")
        await _settled(bench, state.spec.id)
        await _write(client.get_workflow_handle(cluster_workflow_id(state.spec.id)), f"cluster.{scenario}.{way}")
        if scenario == "create-cluster":
            await _write(client.get_workflow_handle(name_workflow_id("personal", state.spec.name)), f"name.{way}")


def _last(scenario: str) -> tuple[str, int]:
    if scenario == "create-cluster":  # its golden list is sorted, for want of an order
        return "set_routes pooled=6441+6442 direct=a read_only=b", 1
    return golden.effects(scenario)[-1]


async def _settled(bench: Bench, cluster_id: str) -> None:
    with suppress(TimeoutError):
        await bench.free(cluster_id)


async def _write(handle: WorkflowHandle[object, object], name: str) -> None:
    history = json.loads((await handle.fetch_history()).to_json())
    document = {"workflow_id": handle.id, "history": _without_traces(history)}
    (FOLDER / f"{name}.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")


def _without_traces(value: Any) -> Any:
    """Leave out stack traces: a replay does not read them, and they name files of the machine that recorded."""
    match value:
        case dict():
            return {key: _without_traces(inner) for key, inner in value.items() if key != "stackTrace"}
        case list():
            return [_without_traces(inner) for inner in value]
        case _:
            return value


@asynccontextmanager
async def _bench(client: Client, stubs: Stubs) -> AsyncIterator[Bench]:
    stubs.reset()
    bench = Bench(client, stubs)
    yield bench
    stubs.reset()
    await bench.clear()


if __name__ == "__main__":
    asyncio.run(main())
    leave(0)
