"""The handlers of the Nexus service: one for each operation, all alike."""

from typing import Any
from urllib.parse import urlsplit

from nexusrpc import HandlerError, HandlerErrorType, OperationError, OperationErrorState
from nexusrpc.handler import OperationHandler, operation_handler, service_handler
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.nexus import (
    TemporalNexusClient,
    TemporalOperationHandler,
    TemporalOperationResult,
    TemporalStartOperationContext,
)

from model import names
from model.errors import MpgError
from model.nexus import KEY_HEADER, MpgService
from model.operations import REQUESTS, OperationRequest, OperationResult
from model.settings import Settings
from model.validation import checked
from starter.nexus.submitting import Submitting

_NAMESPACES = "/namespaces/"


class Handler(TemporalOperationHandler[OperationRequest, OperationResult]):
    """Starts an operation. Its cancellation is that of the workflow, which undoes what it did."""

    def __init__(self, mpg: Submitting) -> None:
        """Start operations by *mpg*."""
        self._mpg = mpg

    async def start_operation(
        self, ctx: TemporalStartOperationContext, client: TemporalNexusClient, input: OperationRequest
    ) -> TemporalOperationResult[OperationResult]:
        """Start the operation that *input* asks for.

        Raises ``OperationError`` for what is refused, with our error as its cause, and ``HandlerError`` for what Nexus
        tries again.
        """
        try:
            key = checked(names.check_request_id, ctx.headers.get(KEY_HEADER) or ctx.request_id)
            return await self._mpg.answering(client, asked_by(ctx)).begin(input, key)
        except MpgError as error:
            cause = ApplicationError(str(error), type=type(error).__name__, non_retryable=not error.retryable)
            # One that an earlier try's operation ended with stays, whatever its type.
            if error.retryable and not isinstance(error.__cause__, WorkflowFailureError):
                raise HandlerError(str(error), type=HandlerErrorType.UNAVAILABLE) from cause
            raise OperationError(str(error), state=OperationErrorState.FAILED) from cause


def asked_by(ctx: TemporalStartOperationContext) -> str:
    """Return the actor of a call: the namespace of the workflow that it says to come from."""
    for link in ctx.inbound_links:
        path = urlsplit(link.url).path
        if path.startswith(_NAMESPACES):
            return f"nexus/{path.removeprefix(_NAMESPACES).partition('/')[0]}"
    return "nexus"


async def serves_nexus(client: Client) -> bool:
    """Tell whether *client*'s Temporal service has Nexus: one that has not would end a worker that asks it for work."""
    return (await client.workflow_service.get_system_info(GetSystemInfoRequest())).capabilities.nexus


def nexus_service(client: Client, settings: Settings) -> object:
    """Return what a worker registers to answer on the endpoint: a handler for every operation."""
    mpg = Submitting(client, settings)
    factories = {names.kebab(operation).replace("-", "_"): _factory(operation, mpg) for operation in REQUESTS}
    return service_handler(service=MpgService)(type("MpgServiceHandler", (), factories))()


def _factory(operation: str, mpg: Submitting) -> Any:
    def factory(self: object) -> OperationHandler[Any, Any]:
        return Handler(mpg)

    factory.__name__ = names.kebab(operation).replace("-", "_")
    factory.__annotations__["return"] = OperationHandler[REQUESTS[operation], OperationResult]
    return operation_handler(name=operation)(factory)
