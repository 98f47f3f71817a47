"""Operations as answers: those that are waited for, and those that are only begun."""

from pydantic import BaseModel, ConfigDict

from model.operations import OperationResult
from starter.api.errors import after_acceptance
from starter.client.operation import Operation
from starter.client.shapes import OperationShape


class Body(BaseModel):
    """What a client sends. Fields that mean nothing here are ignored: clients of other versions send more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Begun(BaseModel):
    """An operation that goes on after the answer; see it at ``/api/v1/operations/{id}``."""

    ok: bool = True
    data: OperationShape


async def finished(operation: Operation) -> OperationResult:
    """Wait for the end of *operation*. Raises the error with which it failed."""
    with after_acceptance(operation.id):
        return await operation.result()


def begun(operation: Operation) -> Begun:
    """Return the answer that *operation* was started."""
    return Begun(data=operation.just_started())
