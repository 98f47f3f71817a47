"""The connection to Temporal, and its errors in our words."""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from temporalio.client import Client, Interceptor, WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode

from model.converter import DATA_CONVERTER
from model.errors import InvalidInput, MpgError, NotFound, StackDown, Unconfirmed, from_type
from model.settings import LOOPBACK, Settings
from model.temporal_tls import temporal_tls

CONNECT_TIMEOUT_S = 2.0
CALL_TIMEOUT = timedelta(seconds=5)
"""Bound on one query or start. It is answered in milliseconds, or nobody serves it."""

_SILENT = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}


async def connect(settings: Settings, *, interceptors: Sequence[Interceptor] = ()) -> Client:
    """Return a client of the Temporal service in *settings*, whose calls pass *interceptors*.

    Raises :class:`StackDown` within two seconds when it does not answer.
    """
    key = settings.temporal_api_key
    try:
        return await asyncio.wait_for(
            Client.connect(
                settings.temporal_target,
                namespace=settings.temporal_namespace,
                data_converter=DATA_CONVERTER,
                api_key=key.get_secret_value() if key else None,
                tls=temporal_tls(settings),
                grpc_compression=compression(settings),
                interceptors=interceptors,
            ),
            CONNECT_TIMEOUT_S,
        )
    except (RuntimeError, TimeoutError):  # the SDK raises a plain RuntimeError when it cannot connect
        raise silent(settings) from None


def compression(settings: Settings) -> GrpcCompression:
    """Return how calls to Temporal are packed: not at all over loopback, where it only costs both sides time."""
    near = settings.temporal_target.rpartition(":")[0] in {LOOPBACK, "localhost", "[::1]"}
    return GrpcCompression.NONE if near else GrpcCompression.GZIP


def silent(settings: Settings) -> StackDown:
    """Return the error of a Temporal service that does not answer."""
    return StackDown(f"Temporal does not answer at {settings.temporal_target}.", remedy=_remedy(settings))


def worker_silent() -> StackDown:
    """Return the error of a Temporal service that answers, and has no worker that does."""
    return StackDown("The worker does not answer.", remedy="Start it with 'mpg up', or see 'mpg doctor'.")


def _remedy(settings: Settings) -> str:
    return "Start the stack with 'mpg up'." if settings.embedded else "See that it runs and can be reached from here."


@contextmanager
def translated(settings: Settings, missing: str = "There is no such workflow.") -> Generator[None]:
    """Raise our errors in place of Temporal's; *missing* is the sentence for a workflow that is not there."""
    try:
        yield
    except RPCError as error:
        raise _translate(error, settings, missing) from error
    except (WorkflowQueryFailedError, WorkflowUpdateFailedError) as error:
        raise from_failure(error) from error


@contextmanager
def unconfirmed() -> Generator[None]:
    """Raise Unconfirmed in place of StackDown: a change was asked for, and may have been made."""
    try:
        yield
    except StackDown as error:
        raise Unconfirmed(
            f"{error.message} It was asked for a change, which may have been made.", remedy="Look before you ask again."
        ) from error


def _translate(error: RPCError, settings: Settings, missing: str) -> MpgError:
    if error.status is RPCStatusCode.NOT_FOUND:
        if "namespace" in error.message.lower():
            name = settings.temporal_namespace
            return StackDown(f"Temporal has no namespace {name!r}.", remedy="Start the stack with 'mpg up'.")
        return NotFound(missing)
    if error.status is RPCStatusCode.UNAVAILABLE and "poller" not in error.message:
        return silent(settings)
    if error.status is RPCStatusCode.UNKNOWN and "transport error" in error.message:
        # How the SDK words it when the server dies with a call under way.
        return silent(settings)
    if error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
        return StackDown(f"Temporal has too much to do: {error.message.rstrip('.')}.", remedy="Ask again in a moment.")
    # Temporal itself answered, but no worker took the query in time.
    if error.status in _SILENT or error.status is RPCStatusCode.FAILED_PRECONDITION:
        return worker_silent()
    if error.status is RPCStatusCode.INVALID_ARGUMENT:  # an id that is empty or too long
        return InvalidInput(f"Temporal cannot take that: {error.message.rstrip('.')}.")
    return MpgError(f"Temporal refused the call: {error.message}.")


def from_failure(error: BaseException) -> MpgError:
    """Return the error of ours that *error* carries: the first in its chain of causes with a type of ours."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ApplicationError):
            return from_type(cause.type, cause.message)
        cause = cause.__cause__
    return MpgError(str(error))
