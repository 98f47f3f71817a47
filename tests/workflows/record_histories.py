"""Writes tests/histories anew: ``python -m tests.workflows.record_histories``.

Do so only when no release has workflows that run with the old ones; otherwise a change of a workflow's order needs
``workflow.patched``, and the old histories stay beside the new: what is named as an argument, one of :data:`HEALED`,
:data:`KEPT` or :data:`SCENARIOS`, is recorded, and nothing else is touched. ``create-cluster:create-scheduled``
records that scenario under another name, beside those of before.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from model.effects import Alarm, AlarmKind, DataVerdict
from model.errors import HostFull, Refused, ReplicaBehind
from model.names import MAIN_QUEUE, cluster_workflow_id, kept_workflow_id, name_workflow_id
from model.operations import ChangePlanRequest, OperationOutcome
from model.restore import KeptCluster, Source
from starter.leave import leave
from tests.workflows import golden
from tests.workflows.bench import Bench, until
from tests.workflows.samples import BEGINNINGS, SCENARIOS, backed_up, cluster_for, ready_cluster, request_of
from tests.workflows.server import serving, started_temporal
from tests.workflows.stubs import Stubs, fails, hangs

FOLDER = Path(__file__).parent.parent / "histories"


async def main() -> None:
    """Record every operation three times: done, failing at its last effect, cancelled there. Or what was named."""
    if named := sys.argv[1:]:
        async with started_temporal() as client, serving(client) as stubs:
            for name in named:
                if name in HEALED:
                    await _record_healing(client, stubs, name)
                elif name in KEPT:
                    await _record_kept(client, stubs, name)
                else:
                    await _record_ways(client, stubs, *name.split(":"))
        return
    for old in FOLDER.glob("*.json"):
        old.unlink()
    async with started_temporal() as client, serving(client) as stubs:
        for scenario in SCENARIOS:
            await _record_ways(client, stubs, scenario)
        for name in HEALED:
            await _record_healing(client, stubs, name)
        for name in KEPT:
            await _record_kept(client, stubs, name)


KEPT = ("kept-backups", "kept-backups-again")
"""What is kept of a destroyed cluster: for longer than was said first, and where it could not be removed at first."""
HEALED = {
    "failover": "a",
    "failover-in-place": "a",
    "repair": "b",
    "preempted": "a",
    # Since a fresh copy is made beside the data, which go once it is in sync.
    "failover-beside": "a",
    "repair-beside": "b",
    "repair-by-copy": "b",
    "repair-by-copy-in-place": "b",
    # Since the moment of a takeover is on record until its gap in the archive is closed.
    "failover-dated": "a",
}
"""What a cluster does by itself, and which node was lost: failover and repair, and an operation that makes room."""
REJOIN_B = "ensure_node b replica rejoin plan=basic follows=a"


async def _record_healing(client: Client, stubs: Stubs, name: str) -> None:
    async with _bench(client, stubs) as bench:
        state = ready_cluster()
        if name == "failover-in-place":
            stubs.plan("fail_over to=b", fails(ReplicaBehind("It does not answer.")))
        if name.startswith("repair-by-copy"):
            stubs.plan(REJOIN_B, fails(Refused("Its Postgres ended.")))
            stubs.answers["examine_data"] = DataVerdict(evidence="its control file is gone")
        if name == "repair-by-copy-in-place":
            stubs.plan(f"{REJOIN_B} beside", fails(HostFull("There is no room for both.")))
        cluster = await bench.cluster(state)
        alarm = Alarm(kind=AlarmKind.NODE, name=HEALED[name], how="its process ended")
        if name == "preempted":
            started = asyncio.Event()
            stubs.plan("await_caught_up b behind a for 600s", hangs(stubs, started))
            holder = await bench.start(ChangePlanRequest(cluster_id=state.spec.id, plan="launch"), state.spec.name)
            await started.wait()
            stubs.alarm(state.spec.id, alarm)
            with suppress(WorkflowFailureError):
                await holder.result()
            await _write(holder, "change-plan.preempted")
        else:
            stubs.alarm(state.spec.id, alarm)
        child = await _child_of(cluster)
        await client.get_workflow_handle(child).result()
        await _write(client.get_workflow_handle(child), f"{name}.done")
        await _settled(bench, state.spec.id)
        await _write(cluster, f"cluster.{name}.done")


async def _record_kept(client: Client, stubs: Stubs, name: str) -> None:
    async with _bench(client, stubs):
        state, now = backed_up(ready_cluster()), datetime.now(UTC)
        if name == "kept-backups-again":
            stubs.plan("remove_repository", fails(Refused("A restore reads it.")))
        stubs.answers["read_source"] = Source(state=state, over=True)
        kept = KeptCluster(state=state, end=now, until=now + timedelta(days=1))
        keeper: WorkflowHandle[Any, Any] = await client.start_workflow(
            "KeptBackups", kept, id=kept_workflow_id(state.spec.id), task_queue=MAIN_QUEUE
        )
        await keeper.signal("keep", kept.model_copy(update={"until": now + timedelta(days=2)}))
        await keeper.query("kept")
        await keeper.signal("keep_until", datetime.now(UTC))
        if name == "kept-backups-again":
            await until(lambda: _asked_for(stubs, "remove_repository"))
            await keeper.query("kept")
            await keeper.signal("keep_until", datetime.now(UTC))
        await keeper.result()
        await _write(keeper, f"{name}.done")


async def _asked_for(stubs: Stubs, effect: str) -> bool:
    return any(call.effect == effect for call in stubs.calls)


async def _child_of(cluster: WorkflowHandle[Any, Any]) -> str:
    """Return the id of the operation that the cluster started, once it has."""
    found: list[str] = []

    async def started() -> bool:
        history = await cluster.fetch_history()
        attributes = [event.start_child_workflow_execution_initiated_event_attributes for event in history.events]
        found.extend(each.workflow_id for each in attributes if each.workflow_id)
        return bool(found)

    await until(started)
    return found[0]


async def _record_ways(client: Client, stubs: Stubs, scenario: str, called: str = "") -> None:
    for way in (OperationOutcome.DONE, OperationOutcome.FAILED, OperationOutcome.CANCELLED):
        await _record(client, stubs, scenario, way, called or scenario)


async def _record(client: Client, stubs: Stubs, scenario: str, way: OperationOutcome, called: str) -> None:
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
        await _write(handle, f"{called}.{way}")
        await _settled(bench, state.spec.id)
        await _write(client.get_workflow_handle(cluster_workflow_id(state.spec.id)), f"cluster.{called}.{way}")
        if called == "create-cluster":
            await _write(client.get_workflow_handle(name_workflow_id("personal", state.spec.name)), f"name.{way}")


def _last(scenario: str) -> tuple[str, int]:
    if scenario in {"create-cluster", "restore-cluster"}:  # its golden list is sorted, for want of an order
        return "set_routes pooled=6441+6442 direct=a read_only=b", 1
    return golden.effects(scenario)[-1]


async def _settled(bench: Bench, cluster_id: str) -> None:
    with suppress(TimeoutError):
        await bench.free(cluster_id)


async def _write(handle: WorkflowHandle[Any, Any], name: str) -> None:
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
