"""How models cross Temporal: as JSON, with a payload that does not fit answered in one clear sentence.

Without that, a workflow whose input does not decode stays Running for ever, its task failing again and again.
"""

from typing import Any

from pydantic import ValidationError
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


class _Converter(PydanticJSONPlainPayloadConverter):
    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        try:
            return super().from_payload(payload, type_hint)
        except ValidationError as error:
            raise ApplicationError(sentence(error), type="InvalidInput", non_retryable=True) from None


class PayloadConverter(CompositePayloadConverter):
    """Temporal's default converters, with JSON read and written by pydantic."""

    def __init__(self) -> None:
        """Replace the plain JSON converter."""
        json = _Converter()
        defaults = DefaultPayloadConverter.default_encoding_payload_converters
        super().__init__(*(json if isinstance(one, JSONPlainPayloadConverter) else one for one in defaults))


DATA_CONVERTER = DataConverter(payload_converter_class=PayloadConverter)
"""The converter of every client and worker of this project."""
