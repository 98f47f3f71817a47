"""Temporal's lists, read for what we need of them.

The SDK decodes each attribute of each workflow twice, through its converters: a fifth of a millisecond for each
workflow. The latest 50 operations of a cluster took 11 ms of the API's processor, and looks for its event streams too.
"""

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, cast

from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from model import names, search_attributes
from model.base import Record
from model.cluster import ClusterPhase
from model.errors import InvalidInput
from model.operations import OPERATIONS, OperationOutcome
from model.sightings import outcome_query
from model.validation import checked

_PAGE = 1000
_KEYS: dict[str, SearchAttributeKey[Any]] = {key.name: key for key in search_attributes.ALL}


class ClusterRow(Record):
    """A living cluster as lists show it: that costs the same for a thousand as a view does for one.

    ``steady``: it is ready, and no condition holds. Lists are behind by up to a second.
    """

    id: str
    name: str
    org: str
    steady: bool


class Listed:
    """A workflow in a list: what :class:`temporalio.client.WorkflowExecution` says of it, decoded when asked for."""

    def __init__(self, info: WorkflowExecutionInfo) -> None:
        """Read *info*."""
        self._info = info
        self.id = info.execution.workflow_id
        self.workflow_type = info.type.name
        self._attributes: TypedSearchAttributes | None = None

    @property
    def status(self) -> WorkflowExecutionStatus | None:
        """Whether it runs, or how it ended."""
        return WorkflowExecutionStatus(self._info.status) if self._info.status else None

    @property
    def start_time(self) -> datetime:
        """When it was started."""
        return self._info.start_time.ToDatetime(UTC)

    @property
    def close_time(self) -> datetime | None:
        """When it ended; None while it runs."""
        return self._info.close_time.ToDatetime(UTC) if self._info.HasField("close_time") else None

    @property
    def typed_search_attributes(self) -> TypedSearchAttributes:
        """Its search attributes, those of ours."""
        if self._attributes is None:
            self._attributes = self._decoded()
        return self._attributes

    def _decoded(self) -> TypedSearchAttributes:
        fields = self._info.search_attributes.indexed_fields
        known = ((key, json.loads(fields[name].data)) for name, key in _KEYS.items() if name in fields)
        values = ((key, _value(key, value)) for key, value in known)
        return TypedSearchAttributes([SearchAttributePair(key, value) for key, value in values if value is not None])


def cluster_row(found: Listed) -> ClusterRow:
    """Return what a list says of a cluster."""
    attributes = found.typed_search_attributes
    steady = attributes.get(search_attributes.STATUS) == ClusterPhase.READY
    return ClusterRow(
        id=found.id.rpartition("/")[2],
        name=attributes.get(search_attributes.CLUSTER) or "",
        org=attributes.get(search_attributes.ORG) or names.DEFAULT_ORG,
        steady=steady and not attributes.get(search_attributes.CONDITIONS),
    )


async def list_workflows(client: Client, query: str, *, limit: int | None = None) -> list[Listed]:
    """Return the workflows that *query* finds, the latest *limit* or all. Raises ``RPCError``."""
    found, token = list[Listed](), b""
    while limit is None or len(found) < limit:
        page = _PAGE if limit is None else min(_PAGE, limit - len(found))
        asked = ListWorkflowExecutionsRequest(
            namespace=client.namespace, page_size=page, next_page_token=token, query=query
        )
        answer = await client.workflow_service.list_workflow_executions(asked, retry=True)
        found += map(Listed, answer.executions)
        token = answer.next_page_token
        if not token:
            break
    return found


def operations_query(
    types: Collection[str],
    *,
    cluster_ids: Collection[str] | None = None,
    org: str | None = None,
    outcome: OperationOutcome | None = None,
    ended_before: datetime | None = None,
) -> str:
    """Return the query of the operations that are like that; None leaves out what it is about. Raises InvalidInput."""
    if unknown := set(types) - OPERATIONS:
        raise InvalidInput(f"There are no operations of type {min(unknown)!r}.")
    parts = [f"{search_attributes.OPERATION.name} IN ({_quoted(types)})"]
    if org is not None:
        parts.append(f"{search_attributes.ORG.name} = '{checked(names.check_org, org)}'")
    if cluster_ids is not None:
        checked_ids = [checked(names.check_cluster_id, each) for each in cluster_ids]
        parts.append(f"{search_attributes.CLUSTER_ID.name} IN ({_quoted(checked_ids)})")
    if outcome is not None:
        parts.append(outcome_query(outcome))
    if ended_before is not None:
        parts.append(f"CloseTime < '{query_time(ended_before)}'")
    return " AND ".join(parts)


def _quoted(values: Collection[str]) -> str:
    return ", ".join(f"'{each}'" for each in sorted(values))


def in_utc(moment: datetime) -> datetime:
    """Return *moment* in UTC. Raises InvalidInput for the first or the last day that there is, elsewhere."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(f"{moment} is no time that can be looked for.") from None


def query_time(moment: datetime) -> str:
    """Return *moment* as a query of Temporal's lists has it. Raises InvalidInput as :func:`in_utc`."""
    return in_utc(moment).isoformat(timespec="microseconds")


def _value(key: SearchAttributeKey[Any], value: Any) -> Any:
    """Return *value* as *key* has it: a list is one of keywords, or has a single value."""
    values: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
    if key in search_attributes.KEYWORD_LISTS:
        return values
    return values[0] if len(values) == 1 else None
