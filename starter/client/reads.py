"""Reading: clusters by id or name, their lists, their operations. Nothing here starts or changes anything."""

import asyncio
import copy
import re
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Self

from temporalio.client import Client, WorkflowHandle, WorkflowQueryRejectedError
from temporalio.common import QueryRejectCondition

from model import names, sightings
from model.checks import require_database
from model.cluster import ClusterPhase, ClusterSpec, ClusterView
from model.effects import Extension, Extensions
from model.errors import MpgError, NotFound, StackDown
from model.events import Look
from model.operations import OPERATIONS, OperationOutcome
from model.search_attributes import HOST, ORG, STATUS
from model.settings import Settings
from model.storage import StorageLook
from model.validation import checked
from starter.client import updates
from starter.client.audit import AuditAction, AuditRecord, about_cluster, person
from starter.client.connection import EndpointKind, connection_uri, read_master_key
from starter.client.listing import ClusterRow, cluster_row, list_workflows, operations_query
from starter.client.operation import Operation, summary
from starter.client.shapes import OperationShape
from starter.client.storage_shapes import with_look
from starter.client.temporal import CALL_TIMEOUT, translated
from starter.client.view_cache import ViewCache

_CONCURRENT_QUERIES = 16
_HOLDS_ITS_NAME = frozenset({ClusterPhase.READY, ClusterPhase.UPDATING, ClusterPhase.NEEDS_OPERATOR})
_ID = re.compile(r"[a-z0-9]{16}")


class Reads:
    """The reading half of :class:`starter.client.MpgClient`."""

    def __init__(self, client: Client, settings: Settings) -> None:
        """Use *client*, which must use model/converter.py."""
        self._client = client
        self._settings = settings
        self._actor = person()
        self._audit = AuditRecord(settings.audit_dir, days=settings.audit_days)
        self._known: dict[tuple[str, str], str] = {}
        """Ids of clusters by organization and name, as they were once found."""
        self._views_kept: ViewCache | None = None

    def keeping_views(self) -> Self:
        """Return the same client, which keeps views for as long as they are good: for one that answers many."""
        other = copy.copy(self)
        other._views_kept = ViewCache(self._client, self._settings)
        return other

    def acting_as(self, actor: str) -> Self:
        """Return the same client, with *actor* as who asks: an id that lets nobody in."""
        other = copy.copy(self)
        other._actor = actor
        return other

    @property
    def settings(self) -> Settings:
        """The settings that the client was connected with."""
        return self._settings

    async def view(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> ClusterView:
        """Return what is recorded of *cluster*, an id or a name in *org*; by id also after it was destroyed.

        Raises:
            InvalidInput: *cluster* or *org* is neither.
            NotFound: there is none.
            StackDown: Temporal or its worker does not answer.
        """
        checked(names.check_org, org)
        if _ID.fullmatch(cluster):  # a name may look like an id: the id is tried first
            view = await self._view_by_id(cluster)
            if view is not None and view.state.spec.org == org:
                return view
        else:
            checked(names.check_cluster_name, cluster)
            if view := await self._view_of_known(org, cluster):
                return view
        cluster_id = await self._claim(org, cluster)
        view = await self._view_by_id(cluster_id) if cluster_id else None
        if view is None:
            raise NotFound(f"There is no cluster {cluster!r} in organization {org}.", remedy="See 'mpg list'.")
        self._known[org, cluster] = view.state.spec.id
        return view

    async def find(self, cluster_id: str) -> ClusterView | None:
        """Return what is recorded of the cluster with that id, of whatever organization, destroyed ones too."""
        return await self._view_by_id(cluster_id) if _ID.fullmatch(cluster_id) else None

    async def view_with_phase(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> ClusterView:
        """Return :meth:`view` with the step that the running operation is at, which only the operation knows."""
        view = await self.view(cluster, org=org)
        if view.operation is None:
            return view
        progress = await Operation(self._client, self._settings, view.operation.id).progress()
        operation = view.operation.model_copy(update={"phase": progress.phase})
        return view.model_copy(update={"operation": operation})

    async def clusters(self, *, org: str = names.DEFAULT_ORG) -> list[ClusterView]:
        """Return *org*'s living clusters by name. A change shows here within a second, in :meth:`view` at once."""
        found = await self._ids(f"{_clusters_of(org)} AND ExecutionStatus='Running'")
        return await self.views(found)

    async def cluster_rows(self, *, wrong: bool = False) -> list[ClusterRow]:
        """Return the living clusters of all organizations as lists show them, by name.

        With *wrong* those with a condition, those that need an operator, and those whose creation failed: where all is
        well that costs the same for any number of clusters.
        """
        query = "WorkflowType='Cluster' AND ExecutionStatus='Running'"
        with translated(self._settings):
            found = await list_workflows(self._client, f"{query} AND {sightings.WRONG}" if wrong else query)
        return sorted(map(cluster_row, found), key=lambda row: row.name)

    async def clusters_of_host(self) -> list[ClusterView]:
        """Return the living clusters whose containers are on this host, of all organizations."""
        here = f"WorkflowType='Cluster' AND ExecutionStatus='Running' AND {HOST.name}='{self._settings.host_name}'"
        return await self.views(await self._ids(here))

    async def organizations(self) -> list[str]:
        """Return the slugs of all organizations: those in the settings, and those that have clusters."""
        with translated(self._settings):
            running = await list_workflows(self._client, "WorkflowType='Cluster' AND ExecutionStatus='Running'")
        used = {found.typed_search_attributes.get(ORG) or names.DEFAULT_ORG for found in running}
        return sorted(used | set(self._settings.organizations))

    async def has_organization(self, slug: str) -> bool:
        """Tell whether there is an organization *slug*: one in the settings, or with a cluster on record."""
        if slug in self._settings.organizations:
            return True
        with translated(self._settings):
            return (await self._client.count_workflows(_clusters_of(slug))).count > 0

    async def deleted_clusters(self, *, org: str = names.DEFAULT_ORG) -> list[ClusterView]:
        """Return *org*'s destroyed clusters, as long as Temporal keeps them (``temporal_retention_days``)."""
        found = await self._ids(f"{_clusters_of(org)} AND ExecutionStatus!='Running' AND {STATUS.name}='destroyed'")
        return await self.views(found)

    async def ends_of_deleted(self, *, org: str = names.DEFAULT_ORG) -> dict[str, datetime]:
        """Return by id when each of *org*'s destroyed clusters was gone, of those that Temporal keeps."""
        query = f"{_clusters_of(org)} AND ExecutionStatus!='Running' AND {STATUS.name}='destroyed'"
        with translated(self._settings):
            found = await list_workflows(self._client, query)
        return {each.id.rpartition("/")[2]: each.close_time for each in found if each.close_time}

    async def operations(
        self, cluster: str | None = None, *, org: str = names.DEFAULT_ORG, limit: int = 50
    ) -> list[OperationShape]:
        """Return the latest operations of *cluster*, or of all in *org*, newest first."""
        cluster_id = None if cluster is None else (await self.view(cluster, org=org)).state.spec.id
        return await self.operations_of(cluster_id, org=org, limit=limit)

    async def operations_of(
        self,
        cluster_id: str | None,
        *,
        org: str | None,
        limit: int,
        types: Collection[str] = OPERATIONS,
        outcome: OperationOutcome | None = None,
        ended_before: datetime | None = None,
    ) -> list[OperationShape]:
        """Return the same by the id of a cluster; with no *org* of whatever organization that is.

        Only those of *types*, with *outcome* and *ended_before* then, where these are given: *limit* is of those. What
        runs comes first, then what ended last. Raises InvalidInput for a type that there is not.
        """
        ids = None if cluster_id is None else (cluster_id,)
        query = operations_query(types, cluster_ids=ids, org=org, outcome=outcome, ended_before=ended_before)
        with translated(self._settings):
            return [summary(found) for found in await list_workflows(self._client, query, limit=limit)]

    async def look(self, ended_since: datetime) -> Look:
        """Return what runs, what ended after *ended_since*, and which clusters are not simply ready, of all there are.

        Compare two of them by :func:`model.events.changes`.
        """
        at = datetime.now(UTC)
        with translated(self._settings):
            found = await list_workflows(self._client, sightings.query(ended_since))
        return sightings.look(at, found)

    async def extensions(self, cluster: str, database: str, *, org: str = names.DEFAULT_ORG) -> Sequence[Extension]:
        """Return the extensions that *database* has or may have. Raises NotFound for an unknown database."""
        spec = (await self.view(cluster, org=org)).state.spec
        require_database(spec, database)
        handle = self._workflow_of(spec.id)
        found = await updates.read(handle, self._settings, "read_extensions", database, answer=Extensions)
        return Extensions.model_validate(found).extensions

    async def storage(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> ClusterView:
        """Return a cluster with what its nodes use of its storage now; as last recorded where none answers."""
        known = await self.view(cluster, org=org)
        handle = self._workflow_of(known.state.spec.id)
        found = await updates.read(handle, self._settings, "read_storage", answer=StorageLook)
        look, view = StorageLook.model_validate(found), await self.view(known.state.spec.id, org=org)
        return with_look(view, look) if look.nodes else view

    async def connection_uri(
        self,
        cluster: str,
        *,
        user: str = names.DEFAULT_USER,
        database: str = names.DEFAULT_DATABASE,
        kind: EndpointKind = EndpointKind.POOLED,
        org: str = names.DEFAULT_ORG,
    ) -> str:
        """Return a connection string with the user's password, derived here from the master key."""
        view = await self.view(cluster, org=org)
        key = read_master_key(self._settings.master_key_file)
        uri = connection_uri(view.state, master_key=key, user=user, database=database, kind=kind)
        self.note(AuditAction.READ_PASSWORD, view.state.spec, user)
        return uri

    def note(self, action: AuditAction, spec: ClusterSpec, about: str) -> None:
        """Record that the one who asks is shown this, before it is. Raises Refused where that cannot be."""
        self._audit.note(self._actor, action, spec, about)

    def _acting(self, action: AuditAction, spec: ClusterSpec, about: str) -> AbstractContextManager[None]:
        """Record that the one who asks does this to a cluster, which is no operation, and how it ended."""
        return self._audit.acting(about_cluster(self._actor, action, spec, about))

    async def _view_of_known(self, org: str, name: str) -> ClusterView | None:
        """Return the cluster that had the name when it was last looked up, if it is sure to have it still.

        A name is released by the destruction, or the failed creation, of its cluster, which show in the phase before.
        So a client that lives longer than one call asks only once who has a name.
        """
        cluster_id = self._known.get((org, name))
        view = await self._view_by_id(cluster_id, living=True) if cluster_id else None
        if view is None or view.state.status.phase not in _HOLDS_ITS_NAME:
            self._known.pop((org, name), None)
            return None
        return view

    async def _view_by_id(self, cluster_id: str, *, living: bool = False) -> ClusterView | None:
        """Return what its workflow says; with *living* None unless the workflow runs."""
        if self._views_kept is not None:
            return await self._views_kept.view(cluster_id, living=living)
        handle = self._workflow_of(cluster_id)
        rejected = QueryRejectCondition.NOT_OPEN if living else None
        try:
            with translated(self._settings):
                found = await handle.query(
                    "view", result_type=ClusterView, reject_condition=rejected, rpc_timeout=CALL_TIMEOUT
                )
        except (NotFound, WorkflowQueryRejectedError):
            return None
        return ClusterView.model_validate(found)

    def _workflow_of(self, cluster_id: str) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(names.cluster_workflow_id(cluster_id))

    async def _claim(self, org: str, name: str) -> str | None:
        """Return the id of the cluster that owns *name*, None when the name is free."""
        handle = self._client.get_workflow_handle(names.name_workflow_id(org, name))
        try:
            with translated(self._settings):
                found = await handle.query(
                    "cluster_id",
                    result_type=str,
                    reject_condition=QueryRejectCondition.NOT_OPEN,
                    rpc_timeout=CALL_TIMEOUT,
                )
        except (NotFound, WorkflowQueryRejectedError):
            return None
        return str(found)

    async def _ids(self, query: str) -> list[str]:
        with translated(self._settings):
            return [found.id.rpartition("/")[2] for found in await list_workflows(self._client, query)]

    async def views(self, cluster_ids: Sequence[str]) -> list[ClusterView]:
        """Return what is recorded of the clusters with these ids, by name.

        One whose workflow cannot answer does not hide the others.
        """
        gate = asyncio.Semaphore(_CONCURRENT_QUERIES)

        async def one(cluster_id: str) -> ClusterView | None:
            async with gate:
                try:
                    return await self._view_by_id(cluster_id)
                except StackDown:
                    raise
                except MpgError:
                    return None

        views = await asyncio.gather(*(one(cluster_id) for cluster_id in cluster_ids))
        return sorted((view for view in views if view), key=lambda view: view.state.spec.name)


def _clusters_of(org: str) -> str:
    # Checked, so that it can stand in a query: letters, digits and hyphens only.
    return f"WorkflowType='Cluster' AND {ORG.name}='{checked(names.check_org, org)}'"
