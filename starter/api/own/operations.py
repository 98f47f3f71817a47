"""Operations: list, show with their steps, cancel, ask for again."""

from typing import Annotated

from fastapi import APIRouter, Query

from model.base import Record
from model.errors import InvalidInput, NotFound
from model.operations import MAKES_CLUSTER
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


@router.get("/postgresv2/{cluster}/operations")
async def list_operations(cluster: str, call: Asked, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> Operations:
    """List the latest operations of a cluster."""
    spec = (await call.view(cluster)).state.spec
    return Operations(data=await call.mpg.operations_of(spec.id, org=spec.org, limit=limit))


@router.get("/postgresv2/{cluster}/operations/{operation:path}")
async def show_operation_of_cluster(cluster: str, operation: str, call: Asked) -> OneOperation:
    """Show an operation of a cluster, and its steps."""
    spec = (await call.view(cluster)).state.spec
    _, shape = await _visible(call, operation)
    if shape.cluster_id != spec.id:
        raise _unknown(operation)
    return OneOperation(data=shape)


@router.get("/operations/{operation:path}")
async def show_operation(operation: str, call: Asked) -> OneOperation:
    """Show an operation and its steps."""
    _, shape = await _visible(call, operation)
    return OneOperation(data=shape)


@router.delete("/operations/{operation:path}", status_code=202)
async def cancel_operation(operation: str, call: Asked) -> Begun:
    """Ask an operation to stop and to undo what it did."""
    handle, shape = await _visible(call, operation)
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


async def _visible(call: Call, operation_id: str) -> tuple[Operation, OperationShape]:
    """Return an operation on a cluster that the caller sees. Raises NotFound."""
    handle = call.mpg.operation(operation_id)
    try:
        org = await handle.organization()
        shape = await handle.describe()
    except (NotFound, InvalidInput):  # the latter for what is no operation, and for what can be no id
        raise _unknown(operation_id) from None
    if not call.caller.sees_cluster(org, shape.cluster_id):
        raise _unknown(operation_id)
    return handle, shape


def _unknown(operation_id: str) -> NotFound:
    return NotFound(f"There is no operation {operation_id!r}.")
