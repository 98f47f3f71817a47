"""Many who look at one operation while a step of it lasts in its workflow's own task: each is answered."""

import asyncio

from model.cluster import Role
from model.operations import Progress
from starter.client import MpgClient
from tests.workflows.bench import Bench
from tests.workflows.samples import ready_cluster
from tests.workflows.stubs import Call

READERS = 20


async def test_everybody_who_looks_at_an_operation_during_a_step_in_sql_sees_it(bench: Bench, mpg: MpgClient) -> None:
    state = ready_cluster()
    await bench.cluster(state)
    began = asyncio.Event()

    async def lasts(call: Call) -> None:
        released = bench.stubs.released
        began.set()
        await released.wait()

    bench.stubs.plan("create_user zed reader", lasts)
    operation = await mpg.create_user(state.spec.id, "zed", Role.READER)
    await began.wait()
    seen = await asyncio.gather(*(mpg.operation(operation.id).progress() for _ in range(READERS)))
    bench.stubs.released.set()
    assert {type(each) for each in seen} == {Progress}
    assert {each.cluster_id for each in seen} == {state.spec.id}
    await operation.result()
