"""The Nexus service: all that may be asked for, under the names and with the types that workflows have."""

import nexusrpc

from model.names import kebab
from model.nexus import MpgService
from model.operations import REQUESTS, OperationResult


def test_every_operation_is_in_the_service_with_its_request_and_result() -> None:
    definition = nexusrpc.get_service_definition(MpgService)
    assert definition is not None
    found = {
        each.name: (each.method_name, each.input_type, each.output_type)
        for each in definition.operation_definitions.values()
    }
    assert found == {
        name: (kebab(name).replace("-", "_"), request, OperationResult) for name, request in REQUESTS.items()
    }
