"""Another service changes a cluster's plan, with Temporal's SDK alone: nothing of this project is imported.

    python examples/change_plan.py CLUSTER_ID CLUSTER_NAME PLAN

The same works in every language that Temporal has an SDK for: the workflow's type, its id, its task queue and the JSON
of its input are the whole contract.
"""

import asyncio
import os
import sys
import uuid
from dataclasses import dataclass

from temporalio.client import Client, WorkflowFailureError
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError


@dataclass
class ChangePlanRequest:
    """The input of ChangePlan. ``max_pause_s`` bounds how long clients may be made to wait, in seconds."""

    cluster_id: str
    plan: str
    max_pause_s: float = 30.0


async def change_plan(cluster_id: str, cluster_name: str, plan: str) -> str:
    """Start ChangePlan, follow it to its end and return the sentence that says what it did."""
    client = await Client.connect(
        os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"), namespace=os.environ.get("TEMPORAL_NAMESPACE", "mpg")
    )
    # The id is an idempotency key: a service that keeps its own request's id here can repeat this call safely.
    request_id = uuid.uuid4().hex
    handle = await client.start_workflow(
        "ChangePlan",
        ChangePlanRequest(cluster_id=cluster_id, plan=plan),
        id=f"change-plan/{cluster_name}/{request_id}",
        task_queue="mpg",
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        static_summary=f"Change plan of {cluster_name} to {plan}",
        # By these, lists of operations find it.
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(SearchAttributeKey.for_keyword("MpgClusterId"), cluster_id),
                SearchAttributePair(SearchAttributeKey.for_keyword("MpgCluster"), cluster_name),
                SearchAttributePair(SearchAttributeKey.for_keyword("MpgOrg"), "personal"),
                SearchAttributePair(SearchAttributeKey.for_keyword("MpgOperation"), "ChangePlan"),
            ]
        ),
    )
    print(f"started {handle.id}", file=sys.stderr)
    result = await handle.result()
    return result["message"]


def main() -> int:
    """Return 0 when the plan was changed, 1 with the reason when it was not."""
    if len(sys.argv) != 4:
        print("usage: change_plan.py CLUSTER_ID CLUSTER_NAME PLAN", file=sys.stderr)
        return 2
    try:
        print(asyncio.run(change_plan(*sys.argv[1:])))
    except WorkflowFailureError as failure:
        cause = failure.cause
        # The type is one of model/errors.py: Refused, HostTooSmall, NotFound, …
        kind = cause.type if isinstance(cause, ApplicationError) else type(cause).__name__
        print(f"{kind}: {cause}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Not sys.exit: a thread of the SDK's core that still answers while the interpreter shuts down crashes a process as
    # short as this one, now and then, after its work is done (temporalio/sdk-python, issue 300).
    os._exit(code)
