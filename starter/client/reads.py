"""Reading: clusters by id or name, their lists, their operations. Nothing here starts or changes anything."""

import asyncio
import copy
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

from temporalio.client import Client, WorkflowQueryRejectedError
from temporalio.common import QueryRejectCondition

from model import names, sightings
from model.cluster import ClusterPhase, ClusterSpec, ClusterView
from model.effects import Extension, Extensions
from model.errors import MpgError, NotFound, StackDown
from model.events import Look
from model.operations import OPERATIONS
from model.search_attributes import CLUSTER_ID, HOST, OPERATION, ORG, STATUS
from model.settings import Settings
from model.storage import StorageLook
from model.validation import checked
from starter.client.audit import AuditAction, AuditRecord, person
from starter.client.connection import EndpointKind, connection_uri, read_master_key
from starter.client.operation import Operation, summary
from starter.client.shapes import OperationShape
from starter.client.storage_shapes import with_look
from starter.client.temporal import CALL_TIMEOUT, translated

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
        return await self._views(found)

    async def clusters_of_host(self) -> list[ClusterView]:
        """Return the living clusters whose containers are on this host, of all organizations."""
        here = f"WorkflowType='Cluster' AND ExecutionStatus='Running' AND {HOST.name}='{self._settings.host_name}'"
        return await self._views(await self._ids(here))

    async def organizations(self) -> list[str]:
        """Return the slugs of all organizations: those in the settings, and those that have clusters."""
        with translated(self._settings):
            running = self._client.list_workflows("WorkflowType='Cluster' AND ExecutionStatus='Running'")
            used = {found.typed_search_attributes.get(ORG) or names.DEFAULT_ORG async for found in running}
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
        return await self._views(found)

    async def ends_of_deleted(self, *, org: str = names.DEFAULT_ORG) -> dict[str, datetime]:
        """Return by id when each of *org*'s destroyed clusters was gone, of those that Temporal keeps."""
        query = f"{_clusters_of(org)} AND ExecutionStatus!='Running' AND {STATUS.name}='destroyed'"
        with translated(self._settings):
            found = self._client.list_workflows(query)
            return {each.id.rpartition("/")[2]: each.close_time async for each in found if each.close_time}

    async def operations(
        self, cluster: str | None = None, *, org: str = names.DEFAULT_ORG, limit: int = 50
    ) -> list[OperationShape]:
        """Return the latest operations of *cluster*, or of all in *org*, newest first."""
        cluster_id = None if cluster is None else (await self.view(cluster, org=org)).state.spec.id
        return await self.operations_of(cluster_id, org=org, limit=limit)

    async def operations_of(self, cluster_id: str | None, *, org: str, limit: int) -> list[OperationShape]:
        """Return the same by the id of a cluster that was looked up already."""
        checked(names.check_org, org)
        types = ", ".join(f"'{name}'" for name in sorted(OPERATIONS))
        query = f"{OPERATION.name} IN ({types}) AND {ORG.name}='{org}'"
        if cluster_id is not None:
            query += f" AND {CLUSTER_ID.name}='{checked(names.check_cluster_id, cluster_id)}'"
        with translated(self._settings):
            return [summary(found) async for found in self._client.list_workflows(query, limit=limit)]

    async def look(self, ended_since: datetime) -> Look:
        """Return what runs, what ended after *ended_since*, and which clusters are not simply ready, of all there are.

        Compare two of them by :func:`model.events.changes`.
        """
        at = datetime.now(UTC)
        with translated(self._settings):
            found = [each async for each in self._client.list_workflows(sightings.query(ended_since))]
        return sightings.look(at, found)

    async def extensions(self, cluster: str, database: str, *, org: str = names.DEFAULT_ORG) -> Sequence[Extension]:
        """Return the extensions that *database* has or may have. Raises NotFound for an unknown database."""
        view = await self.view(cluster, org=org)
        if view.state.spec.database(database) is None:
            raise NotFound(f"Cluster {view.state.spec.name} has no database {database!r}.")
        handle = self._client.get_workflow_handle(names.cluster_workflow_id(view.state.spec.id))
        with translated(self._settings):
            found: object = await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
                "read_extensions", database, result_type=Extensions
            )
        return Extensions.model_validate(found).extensions

    async def storage(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> ClusterView:
        """Return a cluster with what its nodes use of its storage now; as last recorded where none answers."""
        known = await self.view(cluster, org=org)
        handle = self._client.get_workflow_handle(names.cluster_workflow_id(known.state.spec.id))
        with translated(self._settings):
            found: object = await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
                "read_storage", result_type=StorageLook
            )
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
        self.note(AuditAction.READ_PASSWORD, view.state.spec, user)
        return connection_uri(view.state, master_key=key, user=user, database=database, kind=kind)

    def note(self, action: AuditAction, spec: ClusterSpec, about: str) -> None:
        """Record that the one who asks did this, which is no operation. Raises Refused where that cannot be."""
        self._audit.note(self._actor, action, spec, about)

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
        handle = self._client.get_workflow_handle(names.cluster_workflow_id(cluster_id))
        rejected = QueryRejectCondition.NOT_OPEN if living else None
        try:
            with translated(self._settings):
                found = await handle.query(
                    "view", result_type=ClusterView, reject_condition=rejected, rpc_timeout=CALL_TIMEOUT
                )
        except (NotFound, WorkflowQueryRejectedError):
            return None
        return ClusterView.model_validate(found)

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
            workflows = self._client.list_workflows(query)
            return [found.id.rpartition("/")[2] async for found in workflows]

    async def _views(self, cluster_ids: Sequence[str]) -> list[ClusterView]:
        """One cluster whose workflow cannot answer does not hide the others."""
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
