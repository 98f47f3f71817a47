"""Who asked for what in an organization, of both records."""

from collections.abc import Callable
from datetime import UTC, datetime

from temporalio.client import WorkflowExecution

from model import names
from model.operations import OPERATIONS
from model.search_attributes import ACTOR, CLUSTER, CLUSTER_ID, OPERATION, ORG
from model.sightings import outcome_of
from model.validation import checked
from starter.client.audit import AuditEntry
from starter.client.retrying import Retrying
from starter.client.temporal import translated

BY_ITSELF = "mpg"
"""The actor of what a cluster, or a schedule, began by itself."""


class Auditing(Retrying):
    """The part of :class:`starter.client.MpgClient` for those who audit."""

    async def audit(
        self,
        *,
        org: str,
        since: datetime,
        until: datetime,
        limit: int,
        sees: Callable[[AuditEntry], bool] = lambda entry: True,
    ) -> list[AuditEntry]:
        """Return the latest *limit* entries from *since* up to *until* that *sees* lets through, the oldest first.

        Operations are known as long as Temporal keeps them (``temporal_retention_days``), the rest for ``audit_days``.
        """
        noted = [each for each in self._audit.entries(since, until) if each.organization == org and sees(each)]
        asked = [each for each in await self._operations_asked_for(org, since, until, limit) if sees(each)]
        return sorted([*noted, *asked], key=lambda each: each.at)[-limit:]

    async def _operations_asked_for(self, org: str, since: datetime, until: datetime, limit: int) -> list[AuditEntry]:
        query = (
            f"{OPERATION.name} IS NOT NULL AND {ORG.name} = '{checked(names.check_org, org)}'"
            f" AND StartTime >= '{_utc(since)}' AND StartTime < '{_utc(until)}'"
        )
        with translated(self._settings):
            found = self._client.list_workflows(query, limit=limit)
            return [_entry(each) async for each in found if each.workflow_type in OPERATIONS]


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _entry(found: WorkflowExecution) -> AuditEntry:
    attributes = found.typed_search_attributes
    return AuditEntry(
        at=found.start_time,
        actor=attributes.get(ACTOR) or BY_ITSELF,
        action=found.workflow_type,
        organization=attributes.get(ORG) or "",
        cluster_id=attributes.get(CLUSTER_ID) or "",
        cluster=attributes.get(CLUSTER) or "",
        outcome=outcome_of(found).value,
        operation=found.id,
    )
