"""Search attributes of the running workflow."""

from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate


def upsert(*updates: SearchAttributeUpdate[Any]) -> None:
    """Change what lists of workflows show of this one."""
    workflow.upsert_search_attributes(list(updates))  # pyright: ignore[reportUnknownMemberType]
