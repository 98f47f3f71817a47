"""Who asked for what in an organization, of both records."""

from collections.abc import Collection
from datetime import datetime

from model import names
from model.operations import OPERATIONS
from model.search_attributes import ACTOR, CLUSTER, CLUSTER_ID, ORG
from model.sightings import Sighting, outcome_of
from starter.client.audit import AuditEntry
from starter.client.listing import in_utc, list_workflows, operations_query, query_time
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
        clusters: Collection[str] | None = None,
    ) -> list[AuditEntry]:
        """Return the latest *limit* entries from *since* up to *until*, the oldest first.

        *clusters* are ids of those that it is about; None: all of the organization, and what is no cluster's.

        Operations are known as long as Temporal keeps them (``temporal_retention_days``), the rest for ``audit_days``.
        """
        since, until = in_utc(since), in_utc(until)  # days of files are those of UTC
        noted = [
            each
            for each in self._audit.entries(since, until)
            if each.organization == org and (clusters is None or each.cluster_id in clusters)
        ]
        asked = await self._operations_asked_for(org, since, until, limit, clusters)
        return sorted([*noted, *asked], key=lambda each: each.at)[-limit:]

    async def _operations_asked_for(
        self, org: str, since: datetime, until: datetime, limit: int, clusters: Collection[str] | None
    ) -> list[AuditEntry]:
        ids = None if clusters is None else [each for each in clusters if names.is_cluster_id(each)]
        if ids == []:
            return []
        # In the query: others may have as many newer ones as there may be entries.
        asked = operations_query(OPERATIONS, cluster_ids=ids, org=org)
        query = f"{asked} AND StartTime >= '{query_time(since)}' AND StartTime < '{query_time(until)}'"
        with translated(self._settings):
            return [_entry(each) for each in await list_workflows(self._client, query, limit=limit)]


def _entry(found: Sighting) -> AuditEntry:
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
