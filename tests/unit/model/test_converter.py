"""Models as JSON: read by what is built once, and what does not fit is one sentence."""

import pytest
from temporalio.exceptions import ApplicationError

from model.cluster import Role
from model.converter import DATA_CONVERTER, PayloadConverter
from model.operations import CreateUserRequest

REQUEST = CreateUserRequest(cluster_id="0123456789abcdef", username="app", role=Role.READER)


def test_model_comes_back_as_it_went():
    payload = DATA_CONVERTER.payload_converter.to_payload(REQUEST)
    assert PayloadConverter().from_payload(payload, CreateUserRequest) == REQUEST
    assert PayloadConverter().from_payload(payload) == REQUEST.model_dump(mode="json")


def test_payload_that_does_not_fit_is_one_sentence():
    payload = DATA_CONVERTER.payload_converter.to_payload({"cluster_id": "0123456789abcdef", "username": "app"})
    with pytest.raises(ApplicationError, match="lacks 'role'") as raised:
        PayloadConverter().from_payload(payload, CreateUserRequest)
    assert raised.value.non_retryable
    assert raised.value.type == "InvalidInput"


def test_every_run_of_a_workflow_reads_with_the_same_converters():
    """The SDK makes a converter for each run and each task; building what reads a model takes longer than reading."""
    assert PayloadConverter().converters[b"json/plain"] is PayloadConverter().converters[b"json/plain"]
