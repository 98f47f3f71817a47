"""Operations: list, show with their steps, cancel, ask for again."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from model import names
from model.base import Record
from model.cluster import ClusterSpec
from model.errors import InvalidInput, MpgError, NotFound
from model.operations import MAKES_CLUSTER, OperationOutcome, OperationResult
from starter.api.call import Asked, Call
from starter.api.errors import ApiError
from starter.api.operating import Begun, begun
from starter.client.operation import Operation
from starter.client.shapes import OperationShape

router = APIRouter(prefix="/api/v1", tags=["operations"])


class Operations(Record):
    """The answer about several, newest first."""

    data: list[OperationShape]


class OneOperation(Record):
    """The answer about one."""

    data: OperationShape
    result: OperationResult | None = None
    """What it did, once it is done."""
    error_type: str | None = None
    """Which of model/errors.py it failed with."""


@router.get("/postgresv2/{cluster}/operations")
async def list_operations(cluster: str, call: Asked, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> Operations:
    """List the latest operations of a cluster."""
    if not names.is_cluster_id(cluster):
        return await _latest(call, (await call.view(cluster)).state.spec, limit)
    # At once: Temporal's list takes longer than what the cluster says, by which it is known whether it may be shown.
    view, found = await asyncio.gather(call.view(cluster), call.mpg.operations_of(cluster, org=None, limit=limit))
    spec = view.state.spec
    return Operations(data=found) if spec.id == cluster else await _latest(call, spec, limit)  # a name like an id


@router.get("/postgresv2/{cluster}/operations/{operation:path}")
async def show_operation_of_cluster(cluster: str, operation: str, call: Asked) -> OneOperation:
    """Show an operation of a cluster, and its steps."""
    spec = (await call.view(cluster)).state.spec
    handle, shape = await _visible(call, operation)
    if shape.cluster_id != spec.id:
        raise _unknown(operation)
    return await _one(handle, shape)


@router.get("/operations/{operation:path}")
async def show_operation(operation: str, call: Asked) -> OneOperation:
    """Show an operation and its steps."""
    return await _one(*await _visible(call, operation))


@router.delete("/operations/{operation:path}", status_code=202)
async def cancel_operation(operation: str, call: Asked) -> Begun:
    """Ask an operation to stop and to undo what it did. Asked again with a key, once it has, that is no conflict."""
    handle, shape = await _visible(call, operation)
    if call.key is None or shape.status is not OperationOutcome.CANCELLED:
        await handle.cancel()
    return Begun(data=shape)


@router.post("/operations/{operation:path}/retry", status_code=202)
async def retry_operation(operation: str, call: Asked) -> Begun:
    """Begin a new operation with the request of one that did not complete."""
    await _visible(call, operation)
    request, org = await call.mpg.retryable(operation)
    if isinstance(request, MAKES_CLUSTER) and not call.caller.may_create(org):
        raise ApiError(403, "This token is for one cluster and cannot make others.")
    return begun(await call.mpg.retry(operation, request_id=call.request_id(org)))


async def _latest(call: Call, spec: ClusterSpec, limit: int) -> Operations:
    return Operations(data=await call.mpg.operations_of(spec.id, org=spec.org, limit=limit))


async def _visible(call: Call, operation_id: str) -> tuple[Operation, OperationShape]:
    """Return an operation on a cluster that the caller sees. Raises NotFound."""
    handle = call.mpg.operation(operation_id)
    try:
        shape = await handle.describe()
        org = await handle.organization()
    except (NotFound, InvalidInput):  # the latter for what is no operation, and for what can be no id
        raise _unknown(operation_id) from None
    if not call.caller.sees_cluster(org, shape.cluster_id):
        raise _unknown(operation_id)
    return handle, shape


async def _one(handle: Operation, shape: OperationShape) -> OneOperation:
    if shape.status is OperationOutcome.RUNNING or shape.finished_at is None:
        return OneOperation(data=shape)
    try:
        return OneOperation(data=shape, result=await handle.result(patience_s=0))
    except MpgError as error:  # of one that is done: Temporal fell silent meanwhile
        done = shape.status is OperationOutcome.DONE
        return OneOperation(data=shape, error_type=None if done else type(error).__name__)


def _unknown(operation_id: str) -> NotFound:
    return NotFound(f"There is no operation {operation_id!r}.")
