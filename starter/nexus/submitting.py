"""From a step of somebody's workflow to a started operation: the client's checks and ids, and Nexus's own start."""

import copy
from typing import Self, TypeVar

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.nexus import TemporalNexusClient, TemporalOperationResult

from model import names
from model.errors import AlreadyExists, NotFound
from model.operations import (
    MAKES_CLUSTER,
    AdoptClusterRequest,
    CreateClusterRequest,
    OperationRequest,
    OperationResult,
    RestoreClusterRequest,
)
from starter.client.mpg_client import MpgClient
from starter.client.operation import Operation
from starter.client.submission import TASK_TIMEOUT, shown_by, summary_line
from starter.client.temporal import CALL_TIMEOUT

Begun = TemporalOperationResult[OperationResult]
Makes = TypeVar("Makes", CreateClusterRequest, RestoreClusterRequest)


class Submitting(MpgClient):
    """The client, but what it starts tells the workflow that asked for it how it ended."""

    _nexus: TemporalNexusClient
    _begun: Begun | None = None

    def answering(self, nexus: TemporalNexusClient, actor: str) -> Self:
        """Return the same client for one call, of which *nexus* knows who waits."""
        one = copy.copy(self.acting_as(actor))
        one._nexus = nexus
        return one

    async def begin(self, request: OperationRequest, key: str) -> Begun:
        """Start the operation of *request*, or join the one that *key* started before; its result if it has ended.

        Raises the error for which it is refused, and the one with which an earlier call's operation failed.
        """
        operation = await self._ask(request, key)
        return self._begun or await self._join(operation)

    async def _ask(self, request: OperationRequest, key: str) -> Operation:
        match request:
            case CreateClusterRequest():
                return await self._create(self._placed(request), key)
            case RestoreClusterRequest():
                source = (await self._source(request.source_id, request.org)).state.spec
                return await self._restore(self._placed(request), source.name, key)
            case AdoptClusterRequest(cluster_id=cluster, new_key=new_key, name=name):
                return await self.adopt_cluster(cluster, new_key=new_key, name=name, request_id=key)
            case _:
                return await self._ask_of_known(request, key)

    async def _ask_of_known(self, request: OperationRequest, key: str) -> Operation:
        if (view := await self.find(request.cluster_id)) is None:
            raise NotFound(f"There is no cluster {request.cluster_id!r}.")
        return await self.start(request, org=view.state.spec.org, request_id=key)

    def _placed(self, request: Makes) -> Makes:
        """Return *request* for this host, and for this region where the caller named none.

        A caller that has our models sends their defaults too, so a default counts as none.
        """
        named = request.region != type(request).model_fields["region"].default
        region = request.region if named else self._settings.region
        return request.model_copy(update={"host": self._settings.host_name, "region": region})

    async def _start(self, request: OperationRequest, cluster_name: str, org: str, request_id: str | None) -> Operation:
        # The id is the caller's here: containers and volumes are named by it.
        if isinstance(request, MAKES_CLUSTER) and await self.find(request.cluster_id) is not None:
            raise AlreadyExists(f"There is a cluster {request.cluster_id} already.", remedy="Draw another id.")
        return await super()._start(request, cluster_name, org, request_id)

    async def _launch(self, request: OperationRequest, operation_id: str, cluster_name: str, org: str) -> None:
        self._begun = await self._nexus.start_workflow(
            request.operation,
            request,
            id=operation_id,
            task_queue=names.MAIN_QUEUE,
            result_type=OperationResult,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            task_timeout=TASK_TIMEOUT,
            static_summary=summary_line(request, cluster_name),
            search_attributes=shown_by(request, cluster_name, org, self._actor),
            rpc_timeout=CALL_TIMEOUT,
        )

    async def _join(self, operation: Operation) -> Begun:
        assert operation.request is not None
        try:
            return await self._nexus.start_workflow(
                operation.request.operation,
                operation.request,
                id=operation.id,
                task_queue=names.MAIN_QUEUE,
                result_type=OperationResult,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                rpc_timeout=CALL_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:  # it has ended
            return TemporalOperationResult[OperationResult].sync(await operation.result())
