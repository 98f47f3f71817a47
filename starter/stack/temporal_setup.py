"""Make a Temporal service ready for us: namespace, retention, search attributes, the endpoint, and who polls."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import structlog
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    CreateNexusEndpointRequest,
    ListNexusEndpointsRequest,
    ListSearchAttributesRequest,
    UpdateNexusEndpointRequest,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from model import search_attributes
from model.errors import StackDown
from model.names import MAIN_QUEUE, host_queue
from model.nexus import ENDPOINT
from model.settings import Settings
from starter.client.temporal import connect

log = structlog.get_logger()

_POLL_SECONDS = 0.05
_ENDPOINT_SECONDS = 10.0
_ATTRIBUTE_TYPES = {
    "Keyword": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "Bool": IndexedValueType.INDEXED_VALUE_TYPE_BOOL,
    "KeywordList": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
}


async def await_temporal(settings: Settings) -> Client:
    """Return a client of the Temporal service in *settings* once it answers: bound it with a timeout."""
    while True:
        try:
            return await connect(settings)
        except StackDown:
            await asyncio.sleep(_POLL_SECONDS)


async def prepare(client: Client, settings: Settings) -> None:
    """Make the namespace, its retention and the search attributes what they should be. Safe to run again."""
    await _ensure_namespace(client, timedelta(days=settings.temporal_retention_days))
    await _ensure_search_attributes(client)
    if settings.embedded:  # an endpoint is of the whole service, so with one of your own it is yours to make
        await offer_endpoint(client)


async def offer_endpoint(client: Client) -> None:
    """Make the endpoint once the service knows the namespace. A stack without it does everything else."""
    try:
        async with asyncio.timeout(_ENDPOINT_SECONDS):
            while True:
                try:
                    return await ensure_nexus_endpoint(client)
                except RPCError as error:
                    if error.status not in (RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.UNAVAILABLE):
                        raise
                await asyncio.sleep(_POLL_SECONDS)
    except (RPCError, TimeoutError) as error:
        log.warning("there is no Nexus endpoint", error=str(error))


async def ensure_nexus_endpoint(client: Client) -> None:
    """Have the Nexus endpoint lead to *client*'s namespace: docs/nexus.md. Safe to run again."""
    worker = EndpointTarget.Worker(namespace=client.namespace, task_queue=MAIN_QUEUE)
    spec = EndpointSpec(name=ENDPOINT, target=EndpointTarget(worker=worker))
    found = await client.operator_service.list_nexus_endpoints(ListNexusEndpointsRequest(name=ENDPOINT))
    if not found.endpoints:
        await client.operator_service.create_nexus_endpoint(CreateNexusEndpointRequest(spec=spec))
        return
    endpoint = found.endpoints[0]
    if endpoint.spec.target != spec.target:
        await client.operator_service.update_nexus_endpoint(
            UpdateNexusEndpointRequest(id=endpoint.id, version=endpoint.version, spec=spec)
        )


async def _ensure_namespace(client: Client, retention: timedelta) -> None:
    duration = Duration()
    duration.FromTimedelta(retention)
    try:
        found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        await client.workflow_service.register_namespace(
            RegisterNamespaceRequest(namespace=client.namespace, workflow_execution_retention_period=duration)
        )
        return
    if found.config.workflow_execution_retention_ttl.ToTimedelta() < retention:
        config = NamespaceConfig(workflow_execution_retention_ttl=duration)
        await client.workflow_service.update_namespace(
            UpdateNamespaceRequest(namespace=client.namespace, config=config)
        )


async def _ensure_search_attributes(client: Client) -> None:
    while missing := await _missing_search_attributes(client):
        attributes = {name: _ATTRIBUTE_TYPES[search_attributes.TYPES[name]] for name in missing}
        request = AddSearchAttributesRequest(namespace=client.namespace, search_attributes=attributes)
        try:
            await client.operator_service.add_search_attributes(request)
        except RPCError as error:
            # A namespace just registered is unknown to some of the service for a few seconds.
            if error.status not in (RPCStatusCode.NOT_FOUND, RPCStatusCode.ALREADY_EXISTS, RPCStatusCode.UNAVAILABLE):
                raise
        await asyncio.sleep(_POLL_SECONDS)


async def _missing_search_attributes(client: Client) -> list[str]:
    request = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        found = await client.operator_service.list_search_attributes(request)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return list(search_attributes.TYPES)
    return [name for name in search_attributes.TYPES if name not in found.custom_attributes]


async def await_pollers(client: Client, settings: Settings, *, since: datetime) -> None:
    """Return once a worker has asked each of its queues for work after *since*: bound it with a timeout."""
    wanted = {
        (MAIN_QUEUE, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW),
        (MAIN_QUEUE, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
        (host_queue(settings.host_name), TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
    }
    while wanted:
        wanted = {(queue, kind) for queue, kind in wanted if not await _is_polled(client, queue, kind, since)}
        await asyncio.sleep(_POLL_SECONDS)


async def _is_polled(client: Client, queue: str, kind: TaskQueueType.ValueType, since: datetime) -> bool:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
    )
    found = await client.workflow_service.describe_task_queue(request)
    # The service remembers pollers for minutes after they are gone.
    return any(poller.last_access_time.ToDatetime(tzinfo=UTC) >= since for poller in found.pollers)


def now() -> datetime:
    """Return the present, for *since*."""
    return datetime.fromtimestamp(time.time(), UTC)
