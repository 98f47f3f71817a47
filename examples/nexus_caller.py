"""Another team's workflow, in a namespace of its own, changes a cluster's plan as one of its steps: by Temporal Nexus.

    temporal operator namespace create shop
    python examples/nexus_caller.py CLUSTER_ID PLAN

Nothing of this project is imported. Who has it at hand takes ``MpgService`` from model/nexus.py, which has every
operation, instead of the definition below.
"""

import asyncio
import os
import sys
import uuid
from dataclasses import dataclass
from datetime import timedelta

import nexusrpc
from temporalio import workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

QUEUE = "rollouts"


@dataclass
class ChangePlan:
    """The input of ChangePlan. ``max_pause_s`` bounds how long clients may be made to wait, in seconds."""

    cluster_id: str
    plan: str
    max_pause_s: float = 30.0


@dataclass
class Result:
    """What an operation did. ``changed`` is false when there was nothing to do."""

    cluster_id: str
    changed: bool
    message: str


@nexusrpc.service(name="mpg")
class Mpg:
    """What of the platform's service is used here."""

    change_plan: nexusrpc.Operation[ChangePlan, Result] = nexusrpc.Operation(name="ChangePlan")


@workflow.defn
class Rollout:
    """A workflow that has more to do than this."""

    @workflow.run
    async def run(self, wanted: ChangePlan) -> str:
        """Change the plan, and return the sentence that says what was done."""
        mpg = workflow.create_nexus_client(service=Mpg, endpoint="mpg")
        # Without a key each step of each run is an operation of its own. With one, it is one operation however often
        # it is asked for: by this run, by the next one, or by somebody else.
        key = {"idempotency-key": workflow.info().workflow_id.replace("/", ":")}
        result = await mpg.execute_operation(
            Mpg.change_plan, wanted, headers=key, schedule_to_close_timeout=timedelta(hours=1)
        )
        return result.message


async def roll_out(cluster_id: str, plan: str) -> str:
    """Run the workflow with a worker of the other team."""
    client = await Client.connect(
        os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"), namespace=os.environ.get("TEMPORAL_NAMESPACE", "shop")
    )
    async with Worker(client, task_queue=QUEUE, workflows=[Rollout]):
        return await client.execute_workflow(
            Rollout.run, ChangePlan(cluster_id, plan), id=f"rollout-{uuid.uuid4().hex}", task_queue=QUEUE
        )


def main() -> int:
    """Return 0 when the plan was changed, 1 with the reason when it was not."""
    if len(sys.argv) != 3:
        print("usage: nexus_caller.py CLUSTER_ID PLAN", file=sys.stderr)
        return 2
    try:
        print(asyncio.run(roll_out(*sys.argv[1:])))
    except WorkflowFailureError as failure:
        print(reason(failure), file=sys.stderr)
        return 1
    return 0


def reason(failure: BaseException) -> str:
    """Return the error of the platform in *failure*: its type is one of model/errors.py (Refused, NotFound, …)."""
    found: BaseException | None = failure
    while found is not None:
        if isinstance(found, ApplicationError) and found.type != "OperationError":  # how a refusal is wrapped
            return f"{found.type}: {found.message}"
        found = found.__cause__
    return str(failure)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Not sys.exit: see change_plan.py.
    os._exit(code)
