"""What Temporal's errors are in our words: what may be asked again is no failure of ours."""

import pytest
from temporalio.service import RPCError, RPCStatusCode

from model.errors import InvalidInput, MpgError, NotFound, StackDown
from model.settings import load_settings
from starter.client.temporal import translated


@pytest.mark.parametrize(
    ("status", "message", "kind", "sentence"),
    [
        (RPCStatusCode.NOT_FOUND, "workflow not found", NotFound, "There is no such workflow."),
        (RPCStatusCode.UNAVAILABLE, "connection refused", StackDown, "Temporal does not answer"),
        (RPCStatusCode.DEADLINE_EXCEEDED, "deadline", StackDown, "The worker does not answer."),
        (
            RPCStatusCode.RESOURCE_EXHAUSTED,
            "consistent query buffer is full.",
            StackDown,
            "Temporal has too much to do: consistent query buffer is full.",
        ),
        (RPCStatusCode.INVALID_ARGUMENT, "too long", InvalidInput, "Temporal cannot take that: too long."),
        (RPCStatusCode.PERMISSION_DENIED, "no", MpgError, "Temporal refused the call: no."),
    ],
)
def test_error_of_a_call(status: RPCStatusCode, message: str, kind: type[MpgError], sentence: str) -> None:
    with pytest.raises(MpgError) as caught, translated(load_settings(temporal_port=1)):
        raise RPCError(message, status, b"")
    assert type(caught.value) is kind
    assert caught.value.message.startswith(sentence)
