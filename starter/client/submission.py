"""From a call to a started workflow: early checks, idempotency, ids, what Temporal's UI shows of it."""

import secrets
import string
from datetime import timedelta
from typing import TypeVar

from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from model import checks, names, search_attributes
from model.cluster import ClusterPhase, ClusterState
from model.errors import InvalidInput, NotFound, StackDown, Unconfirmed
from model.operations import (
    MAKES_CLUSTER,
    AdoptClusterRequest,
    ChangePlanRequest,
    CreateClusterRequest,
    GrowStorageRequest,
    OperationRequest,
    RestoreClusterRequest,
    SetAllowListRequest,
    SetDurabilityRequest,
    SetPoolModeRequest,
    SetTlsRequest,
    workflow_id,
)
from model.plans import find_plan, load_plans
from model.validation import checked, validated
from starter.client.operation import Operation
from starter.client.reads import Reads
from starter.client.temporal import CALL_TIMEOUT, translated

R = TypeVar("R", bound=OperationRequest)

TASK_TIMEOUT = timedelta(seconds=3)
"""How long Temporal waits for a worker that has an operation's task in hand and may have died; its default is 10 s.

Short steps run inside that task, which is kept alive while they do.
"""
UNRESOLVED = "0" * 16
"""Stands for the cluster's id while a request is validated, before its cluster is looked up."""
_ALPHABET = string.ascii_lowercase + string.digits


class Submission(Reads):
    """The starting half of :class:`starter.client.MpgClient`: the same few steps for every operation."""

    async def _submit(
        self, kind: type[R], cluster: str, org: str, request_id: str | None, **fields: object
    ) -> Operation:
        request = validated(kind, cluster_id=UNRESOLVED, **fields)
        if isinstance(request, ChangePlanRequest):
            find_plan(load_plans(self._settings.plans_file), request.plan)
        try:
            state = (await self.view(cluster, org=org)).state
        except NotFound:
            # A destruction repeated with its key: the name is free by now, the answer is the first call's.
            if earlier := await self._earlier(request, cluster, request_id, same_cluster=False):
                return earlier
            raise
        request = request.model_copy(update={"cluster_id": state.spec.id})
        if earlier := await self._earlier(request, state.spec.name, request_id):
            return earlier
        _check(state, request)
        await self._check_beside(state, request)
        return await self._start(request, state.spec.name, org, request_id)

    async def _check_beside(self, state: ClusterState, request: OperationRequest) -> None:
        """Raise the error of a *request* that something which runs without a turn does not allow."""

    async def _earlier(
        self, request: OperationRequest, cluster_name: str, request_id: str | None, *, same_cluster: bool = True
    ) -> Operation | None:
        """Return the operation that *request_id* started before, None when there is none.

        Raises :class:`~model.errors.InvalidInput` when it was started with another request.
        """
        if request_id is None:
            return None
        checked(names.check_request_id, request_id)
        operation = Operation(self._client, self._settings, workflow_id(request, cluster_name, request_id), request)
        try:
            first = await operation.first_request()
        except NotFound:
            return None
        # The id of a cluster to be made is drawn anew at each call.
        ignored = set[str]() if same_cluster and not isinstance(request, MAKES_CLUSTER) else {"cluster_id"}
        if first.model_dump(exclude=ignored) != request.model_dump(exclude=ignored):
            raise InvalidInput(
                f"Request id {request_id!r} was used for another {request.operation} of {cluster_name}.",
                remedy="Repeat that request as it was, or use a new id.",
            )
        return operation

    async def _start(self, request: OperationRequest, cluster_name: str, org: str, request_id: str | None) -> Operation:
        key = request_id or secrets.token_hex(8)
        operation_id = workflow_id(request, cluster_name, key)
        try:
            with translated(self._settings):
                await self._launch(request, operation_id, cluster_name, org)
        except StackDown as error:
            raise Unconfirmed(
                f"Temporal fell silent while operation {operation_id} was being started: it may have been.",
                remedy=f"See 'mpg operations show {operation_id}' before you ask for it again.",
            ) from error
        except WorkflowAlreadyStartedError:  # two calls with one key at the same time
            if earlier := await self._earlier(request, cluster_name, key):
                return earlier
            raise
        return Operation(self._client, self._settings, operation_id, request)

    async def _launch(self, request: OperationRequest, operation_id: str, cluster_name: str, org: str) -> None:
        """Have Temporal start the workflow of *request*. Raises its errors."""
        await self._client.start_workflow(
            request.operation,
            request,
            id=operation_id,
            task_queue=names.MAIN_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            task_timeout=TASK_TIMEOUT,
            static_summary=summary_line(request, cluster_name),
            search_attributes=shown_by(request, cluster_name, org, self._actor),
            rpc_timeout=CALL_TIMEOUT,
        )


def new_cluster_id() -> str:
    """Return 16 random lowercase letters and digits: 82 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(16))


def summary_line(request: OperationRequest, cluster_name: str) -> str:
    """Return what Temporal's UI shows of the operation: one line without secrets."""
    verb = names.kebab(request.operation).replace("-", " ").capitalize()
    match request:
        case CreateClusterRequest(plan=plan, region=region):
            return f"{verb} {cluster_name}, plan {plan}, in {region}"
        case RestoreClusterRequest(name=name, target=target):
            return f"{verb} {name} from {target} of {cluster_name}"
        case AdoptClusterRequest(cluster_id=cluster_id, new_key=new_key):
            return f"{verb} {cluster_name} ({cluster_id})" + (" with a new master key" if new_key else "")
        case ChangePlanRequest(plan=plan):
            return f"{verb} of {cluster_name} to {plan}"
        case GrowStorageRequest(storage_gb=int(storage_gb)):
            return f"{verb} of {cluster_name} to {storage_gb} GB"
        case SetAllowListRequest(add=add, remove=remove, clear=clear):
            said = [*(["emptied"] if clear else []), *(f"-{each}" for each in remove), *(f"+{each}" for each in add)]
            return f"{verb} of {cluster_name}: {' '.join(said)}"
        case SetTlsRequest(required=required):
            return f"{verb} of {cluster_name} to {'required' if required else 'offered'}"
        case SetDurabilityRequest(durability=durability):
            return f"{verb} of {cluster_name} to {durability.value}"
        case SetPoolModeRequest(pool_mode=mode):
            return f"{verb} of {cluster_name} to {mode.value}"
        case _:
            what = [f"{value}" for field, value in request if field != "cluster_id" and isinstance(value, str)]
            return f"{verb} {' '.join(what)}".strip() + f" on {cluster_name}"


def shown_by(request: OperationRequest, cluster_name: str, org: str, actor: str) -> TypedSearchAttributes:
    """Return the search attributes by which lists find the operation."""
    pairs = {
        search_attributes.CLUSTER_ID: request.cluster_id,
        search_attributes.CLUSTER: cluster_name,
        search_attributes.ORG: org,
        search_attributes.OPERATION: request.operation,
        search_attributes.ACTOR: actor,
    }
    return TypedSearchAttributes([SearchAttributePair(key, value) for key, value in pairs.items()])


def _check(state: ClusterState, request: OperationRequest) -> None:
    if state.status.phase is ClusterPhase.DESTROYED:
        # Its workflow has ended and hands out no turn, so not even a destruction would get one.
        raise NotFound(f"Cluster {state.spec.name} ({state.spec.id}) was destroyed.")
    checks.check(state, request)
