"""Questions to a workflow, and changes of it, that it answers itself: Temporal's updates, with a bound."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowHandle, WorkflowUpdateRPCTimeoutOrCancelledError, WorkflowUpdateStage

from model.settings import Settings
from starter.client.temporal import translated, unconfirmed, worker_silent

TAKEN_UP = timedelta(seconds=10)
"""Until a worker has taken an update up. A workflow that is busy reading is heard of after 80% of its task's 10 s."""
ANSWERED_S = 150.0
"""Until it is answered: longer than a workflow waits for a host that is lost (Kind.HOST_LOOK in workflows/call.py)."""
_NOTHING: type[object] = type(None)


async def read(
    handle: WorkflowHandle[Any, Any],
    settings: Settings,
    update: str,
    *args: object,
    answer: type[object],
    id: str | None = None,
) -> object:
    """Have a workflow find something out. Raises StackDown where no worker takes that up, and as the workflow."""
    try:
        with translated(settings):
            async with asyncio.timeout(ANSWERED_S):
                # The SDK asks again until the update is taken up: without a worker that would be for ever.
                taken_up = await handle.start_update(  # pyright: ignore[reportUnknownMemberType]
                    update,
                    args=args,
                    id=id,
                    wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                    result_type=answer,
                    rpc_timeout=TAKEN_UP,
                )
                return await taken_up.result()
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # which the SDK makes an error of its own
            raise asyncio.CancelledError from error
        raise worker_silent() from error


async def change(
    handle: WorkflowHandle[Any, Any],
    settings: Settings,
    update: str,
    *args: object,
    answer: type[object] = _NOTHING,
    id: str | None = None,
) -> object:
    """Have a workflow note a change. Raises Unconfirmed where no answer came: it may be noted; and as the workflow.

    A repeat with the same *id* in the same run of the workflow is answered as the first one was, whatever it asks for.
    """
    with unconfirmed():
        return await read(handle, settings, update, *args, answer=answer, id=id)
