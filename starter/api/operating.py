"""Operations as answers: those that are waited for, and those that are only begun."""

from typing import Annotated, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from model.operations import OperationResult
from starter.api.errors import after_acceptance
from starter.client.operation import Operation
from starter.client.shapes import OperationShape

Force = Annotated[bool, BeforeValidator(lambda value: value == "" or value)]
"""A query's ``?force``, which clients also send without a value."""


class Body(BaseModel):
    """What a client sends. Fields that mean nothing here are ignored: clients of other versions send more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _is_unicode(cls, sent: object) -> object:
        """Refuse half of a surrogate pair, which JSON can hold and no answer, log or name can."""
        left: list[object] = [sent]
        while left:
            each = left.pop()
            if isinstance(each, str):
                _check_encodes(each)
            elif isinstance(each, dict):
                fields = cast("dict[object, object]", each)
                left += [*fields.keys(), *fields.values()]
            elif isinstance(each, list):
                left += cast("list[object]", each)
        return sent


class Begun(BaseModel):
    """An operation that goes on after the answer; see it at ``/api/v1/operations/{id}``."""

    ok: bool = True
    data: OperationShape


def _check_encodes(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("The body has text that is not Unicode: half of a surrogate pair.") from None


async def finished(operation: Operation) -> OperationResult:
    """Wait for the end of *operation*. Raises the error with which it failed."""
    with after_acceptance(operation.id):
        return await operation.result()


def begun(operation: Operation) -> Begun:
    """Return the answer that *operation* was started."""
    return Begun(data=operation.just_started())
