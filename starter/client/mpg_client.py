"""What other services import, and what the command line is made of: every operation as an async, typed method.

::

    async with MpgClient.connect(load_settings()) as mpg:
        operation = await mpg.change_plan("orders", "launch")
        await operation.result()

A request that cannot succeed is refused here, before anything is started: nothing of it is left anywhere. The same
rules are applied again by the operation itself, when it has the cluster's turn.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Self

from temporalio.client import Interceptor

from model.settings import Settings
from starter.client.metrics import MetricCalls
from starter.client.operating import Operating
from starter.client.operation import Operation
from starter.client.showing import Showing
from starter.client.temporal import connect
from starter.client.webhooks import WebhookCalls

if TYPE_CHECKING:
    from starter.client.http import HttpMpgClient


class MpgClient(MetricCalls, WebhookCalls, Showing, Operating[Operation]):
    """Starts operations, and reads what the cluster workflows hold.

    *cluster* is everywhere an id or a name in organization *org*. Every operation takes a ``request_id``, an
    idempotency key of 1 to 64 letters, digits and ``. _ : -``: the same key and request answer with the first call's
    operation, the same key with another request raises :class:`~model.errors.InvalidInput`.
    """

    @classmethod
    @asynccontextmanager
    async def connect(cls, settings: Settings, *, interceptors: Sequence[Interceptor] = ()) -> AsyncGenerator[Self]:
        """Connect to the Temporal service in *settings*. Raises :class:`~model.errors.StackDown` within 2 seconds.

        Calls to Temporal pass *interceptors*: with its ``TracingInterceptor`` an operation is in the caller's trace.
        """
        yield cls(await connect(settings, interceptors=interceptors), settings)

    @staticmethod
    def connect_http(url: str, token: str) -> "AbstractAsyncContextManager[HttpMpgClient]":
        """Return the client over HTTP, for who reaches the API at *url* and not Temporal: docs/api.md."""
        from starter.client.http import HttpMpgClient

        return HttpMpgClient.connect(url, token)

    def operation(self, operation_id: str) -> Operation:
        """Return a handle on an operation by its id; whether it exists shows with the first call."""
        return Operation(self._client, self._settings, operation_id)
