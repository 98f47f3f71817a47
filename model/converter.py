"""How models cross Temporal: as JSON, with a payload that does not fit answered in one clear sentence.

Without that, a workflow whose input does not decode stays Running for ever, its task failing again and again.
"""

from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
)
from temporalio.exceptions import ApplicationError

from model.validation import sentence


@lru_cache(maxsize=256)
def _reader(hint: Any) -> TypeAdapter[Any]:
    """Return what reads *hint* from JSON, built to the end.

    One for the process: the SDK makes a converter for each run of a workflow, and building what reads a cluster's
    state takes longer than reading it.
    """
    reader: TypeAdapter[Any] = TypeAdapter(hint)
    reader.rebuild(raise_errors=True)
    return reader


class _Converter(PydanticJSONPlainPayloadConverter):
    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        try:
            return _reader(Any if type_hint is None else type_hint).validate_json(payload.data)
        except ValidationError as error:
            raise ApplicationError(sentence(error), type="InvalidInput", non_retryable=True) from None


_JSON = _Converter()
_CONVERTERS = tuple(
    _JSON if isinstance(one, JSONPlainPayloadConverter) else one
    for one in DefaultPayloadConverter.default_encoding_payload_converters
)


class PayloadConverter(CompositePayloadConverter):
    """Temporal's default converters, with JSON read and written by pydantic."""

    def __init__(self) -> None:
        """Replace the plain JSON converter. The SDK calls this twice for each task of a workflow."""
        super().__init__(*_CONVERTERS)


DATA_CONVERTER = DataConverter(payload_converter_class=PayloadConverter)
"""The converter of every client and worker of this project."""
