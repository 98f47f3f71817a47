"""Temporal's lists: what is decoded here is what the SDK makes of the same answer."""

from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import WorkflowExecution
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.converter import DataConverter, encode_search_attributes

from model import search_attributes
from starter.client.listing import Listed

BEGAN, ENDED = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
PAIRS: tuple[SearchAttributePair[Any], ...] = (
    SearchAttributePair(search_attributes.CLUSTER, 'ord"ers'),
    SearchAttributePair(search_attributes.NEEDS_OPERATOR, True),
    SearchAttributePair(search_attributes.CONDITIONS, ["Degraded", "BackupOverdue"]),
)


def info(status: int, *pairs: SearchAttributePair[Any]) -> WorkflowExecutionInfo:
    made = WorkflowExecutionInfo(status=status)  # pyright: ignore[reportArgumentType]
    made.execution.workflow_id, made.type.name = "switchover/orders/1", "Switchover"
    made.start_time.FromDatetime(BEGAN)
    if status > 1:
        made.close_time.FromDatetime(ENDED)
    encode_search_attributes(TypedSearchAttributes(pairs), made.search_attributes)
    return made


@pytest.mark.parametrize("status", [0, 1, 2, 6])
@pytest.mark.parametrize("count", range(len(PAIRS) + 1))
def test_it_says_what_the_sdk_says(status: int, count: int) -> None:
    raw = info(status, *PAIRS[:count])
    ours = Listed(raw)
    theirs = WorkflowExecution._from_raw_info(raw, "mpg", DataConverter.default)  # pyright: ignore[reportPrivateUsage]
    for name in ("id", "workflow_type", "status", "start_time", "close_time"):
        assert getattr(ours, name) == getattr(theirs, name)
    key: SearchAttributeKey[Any]
    for key in search_attributes.ALL:
        assert ours.typed_search_attributes.get(key) == theirs.typed_search_attributes.get(key)
