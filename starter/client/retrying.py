"""Asking again for what an operation did not do."""

from typing import Any

from model import names
from model.errors import Refused
from model.operations import (
    HEALING,
    AdoptClusterRequest,
    CreateClusterRequest,
    OperationOutcome,
    OperationRequest,
    RestoreClusterRequest,
)
from starter.client.creating import Creating
from starter.client.operation import Operation


class Retrying(Creating):
    """The part of :class:`starter.client.MpgClient` that starts an operation from an earlier one's request."""

    async def retryable(self, operation_id: str) -> tuple[OperationRequest, str]:
        """Return the request of an operation that ended and did not complete, and its organization.

        Raises :class:`~model.errors.NotFound`; :class:`~model.errors.InvalidInput` for what is no operation;
        :class:`~model.errors.Refused` where it runs, is done, or was no one's request.
        """
        first = Operation(self._client, self._settings, operation_id)
        shape = await first.describe()
        if shape.status is OperationOutcome.RUNNING:
            raise Refused(f"Operation {operation_id} still runs.", remedy="Wait for its end, or cancel it.")
        if shape.status is OperationOutcome.DONE:
            raise Refused(f"Operation {operation_id} did what was asked for.")
        if shape.type in HEALING:
            raise Refused(f"Operation {operation_id} was begun by the cluster itself, which tries again by itself.")
        return await first.first_request(), await first.organization() or names.DEFAULT_ORG

    async def retry(self, operation_id: str, *, request_id: str | None = None) -> Operation:
        """Start a new operation with the request of an earlier one that did not complete; that one stays as it is.

        Raises as :meth:`retryable`, and as the operation asked for anew would.
        """
        request, org = await self.retryable(operation_id)
        fields: dict[str, Any] = {
            name: value for name, value in request if name not in {"cluster_id", "host", "org", "region"}
        }
        match request:
            case CreateClusterRequest():
                return await self.create_cluster(org=org, region=request.region, request_id=request_id, **fields)
            case RestoreClusterRequest(source_id=source):
                del fields["source_id"]
                return await self.restore_cluster(source, org=org, request_id=request_id, **fields)
            case AdoptClusterRequest(cluster_id=cluster_id):
                return await self.adopt_cluster(cluster_id, request_id=request_id, **fields)
            case _:
                return await self._submit(type(request), request.cluster_id, org, request_id, **fields)
