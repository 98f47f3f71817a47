"""A worker that knows one workflow: what the stack needs to see of a worker, and nothing else."""

import asyncio
import signal
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

from model.names import MAIN_QUEUE, host_queue
from model.settings import load_settings


@activity.defn(name="StubActivity")
async def stub_activity() -> str:
    return "done"


@workflow.defn(name="StubNap", sandboxed=False)
class StubNap:
    @workflow.run
    async def run(self, seconds: float) -> float:
        before = workflow.now()
        await workflow.sleep(timedelta(seconds=seconds))
        return (workflow.now() - before).total_seconds()


async def main() -> None:
    settings = load_settings()
    client = await Client.connect(settings.temporal_target, namespace=settings.temporal_namespace)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    decisions = Worker(client, task_queue=MAIN_QUEUE, workflows=[StubNap], activities=[stub_activity])
    containers = Worker(client, task_queue=host_queue(settings.host_name), activities=[stub_activity])
    async with decisions, containers:
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
