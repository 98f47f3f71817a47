"""Reading over HTTP: the shapes that the API serves. Nothing here starts or changes anything."""

import re
from datetime import datetime

from model import names
from model.base import Record
from model.errors import NotFound, Refused
from model.queries import StatementPlan
from model.validation import checked
from starter.client.audit import AuditEntry
from starter.client.connection import EndpointKind
from starter.client.http.operation import HttpOperation
from starter.client.http.wire import Wire, parsed, path
from starter.client.metric_shapes import MetricsRange, MetricsShape
from starter.client.shapes import (
    BackupScheduleShape,
    BackupShape,
    ClusterShape,
    DatabaseShape,
    DeletedShape,
    ExtensionShape,
    NodeShape,
    OperationShape,
    UserShape,
)

_ID = re.compile(r"[a-z0-9]{16}")


class _Clusters(Record):
    data: tuple[ClusterShape, ...]


class _Deleted(Record):
    data: tuple[DeletedShape, ...]


class _Cluster(Record):
    data: ClusterShape


class _Nodes(Record):
    data: tuple[NodeShape, ...]


class _Users(Record):
    data: tuple[UserShape, ...]


class _Databases(Record):
    data: tuple[DatabaseShape, ...]


class _Extensions(Record):
    data: tuple[ExtensionShape, ...]


class _Backups(Record):
    data: tuple[BackupShape, ...]


class _Organization(Record):
    slug: str


class _Organizations(Record):
    organizations: tuple[_Organization, ...]


class _Schedule(Record):
    data: BackupScheduleShape


class _Uri(Record):
    uri: str


class _Connection(Record):
    data: _Uri


class _Operations(Record):
    data: list[OperationShape]


class _Metrics(Record):
    data: MetricsShape


class _Plan(Record):
    data: StatementPlan


class HttpReads:
    """The reading half of :class:`starter.client.http.HttpMpgClient`; *cluster* is an id, or a name in *org*."""

    def __init__(self, wire: Wire) -> None:
        """Ask by *wire*."""
        self._wire = wire

    def operation(self, operation_id: str) -> HttpOperation:
        """Return a handle on an operation by its id; whether it exists shows with the first call."""
        return HttpOperation(self._wire, operation_id)

    async def list_clusters(self, *, org: str = names.DEFAULT_ORG) -> tuple[ClusterShape, ...]:
        """Return *org*'s living clusters by name."""
        found = await self._wire.call("GET", path("organizations", checked(names.check_org, org), "postgres"))
        return parsed(_Clusters, found).data

    async def list_deleted(self, *, org: str = names.DEFAULT_ORG) -> tuple[DeletedShape, ...]:
        """Return *org*'s destroyed clusters as long as they are remembered, or their backups kept."""
        at = path("organizations", checked(names.check_org, org), "postgres", "deleted")
        return parsed(_Deleted, await self._wire.call("GET", at)).data

    async def organizations(self) -> list[str]:
        """Return the slugs of the organizations that the token covers."""
        found = await self._wire.call("GET", path("organizations"))
        return [each.slug for each in parsed(_Organizations, found).organizations]

    async def show_cluster(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> ClusterShape:
        """Return a cluster as lists show it. Raises NotFound."""
        if not _ID.fullmatch(cluster):
            checked(names.check_cluster_name, cluster)
        # By name a cluster of another organization is only in its list.
        if _ID.fullmatch(cluster) or org == names.DEFAULT_ORG:
            found = parsed(_Cluster, await self._wire.call("GET", path("postgres", cluster))).data
            if found.organization.slug == org:
                return found
        for each in await self.list_clusters(org=org):
            if cluster in {each.id, each.name}:
                return each
        raise NotFound(f"There is no cluster {cluster!r} in organization {org}.")

    async def list_nodes(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> tuple[NodeShape, ...]:
        """Return a cluster's nodes as last recorded. Raises NotFound."""
        return parsed(_Nodes, await self._of(cluster, org, "nodes")).data

    async def list_users(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> tuple[UserShape, ...]:
        """Return a cluster's users. Raises NotFound."""
        return parsed(_Users, await self._of(cluster, org, "users")).data

    async def list_databases(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> tuple[DatabaseShape, ...]:
        """Return a cluster's databases. Raises NotFound."""
        return parsed(_Databases, await self._of(cluster, org, "databases")).data

    async def list_extensions(
        self, cluster: str, database: str, *, org: str = names.DEFAULT_ORG
    ) -> tuple[ExtensionShape, ...]:
        """Return the extensions that *database* has or may have. Raises NotFound."""
        return parsed(_Extensions, await self._of(cluster, org, "databases", database, "extensions")).data

    async def backups(
        self, cluster: str, *, since: datetime | None = None, org: str = names.DEFAULT_ORG
    ) -> tuple[BackupShape, ...]:
        """Return the cluster's backups that began after *since*, or all, the newest first."""
        found = parsed(_Backups, await self._of(cluster, org, "backups")).data
        return tuple(each for each in found if since is None or each.start >= since)

    async def backup_schedule(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> BackupScheduleShape:
        """Return when the cluster's backups are made, next as well, and how long they are kept."""
        return parsed(_Schedule, await self._of(cluster, org, "backups", "schedule")).data

    async def connection_uri(
        self,
        cluster: str,
        *,
        user: str = names.DEFAULT_USER,
        database: str = names.DEFAULT_DATABASE,
        kind: EndpointKind = EndpointKind.POOLED,
        org: str = names.DEFAULT_ORG,
    ) -> str:
        """Return a connection string with the user's password, which is on record as shown to the token."""
        known = await self.show_cluster(cluster, org=org)
        query: dict[str, str | int | bool] = {"user": user, "database": database, "kind": kind.value}
        return parsed(
            _Connection, await self._wire.call("GET", path("postgresv2", known.id, "connection"), query=query)
        ).data.uri

    async def metrics(
        self,
        cluster: str,
        *,
        range: MetricsRange = MetricsRange.HOUR,
        database: str | None = None,
        org: str = names.DEFAULT_ORG,
    ) -> MetricsShape:
        """Return *cluster*'s charts over *range*, of one *database* or of all, and its operations meanwhile."""
        known = await self.show_cluster(cluster, org=org)
        query: dict[str, str | int | bool] = {"range": MetricsRange(range).value}
        if database is not None:
            query["database"] = database
        return parsed(_Metrics, await self._wire.call("GET", path("postgresv2", known.id, "metrics"), query=query)).data

    async def statement_plan(
        self,
        cluster: str,
        statement: str,
        *,
        database: str | None = None,
        user: str | None = None,
        org: str = names.DEFAULT_ORG,
    ) -> StatementPlan:
        """Return the plan of a *statement* that ran, by its ``queryid``: of *database* and *user* where several did."""
        known = await self.show_cluster(cluster, org=org)
        chosen = {"database": database, "user": user}
        query: dict[str, str | int | bool] = {name: value for name, value in chosen.items() if value is not None}
        at = path("postgresv2", known.id, "queries", statement, "plan")
        return parsed(_Plan, await self._wire.call("GET", at, query=query)).data

    async def audit(self, *, org: str, since: datetime, until: datetime, limit: int) -> list[AuditEntry]:
        """Return the latest *limit* entries from *since* up to *until* that the token covers, the oldest first."""
        query: dict[str, str | int | bool] = {"since": since.isoformat(), "until": until.isoformat(), "limit": limit}
        at = path("organizations", checked(names.check_org, org), "audit")
        found = await self._wire.answer("GET", at, query=query)
        return [AuditEntry.model_validate_json(line) for line in found.text.splitlines()]

    async def operations(self, cluster: str, *, org: str = names.DEFAULT_ORG, limit: int = 50) -> list[OperationShape]:
        """Return the latest operations of *cluster*, newest first."""
        known = await self.show_cluster(cluster, org=org)
        answer = await self._wire.call("GET", path("postgresv2", known.id, "operations"), query={"limit": limit})
        return parsed(_Operations, answer).data

    async def _source(self, cluster: str, org: str) -> ClusterShape:
        """Return a cluster that lives, or else the one of that name or id that is kept."""
        try:
            return await self.show_cluster(cluster, org=org)
        except NotFound:
            kept = [each for each in await self.list_deleted(org=org) if each.restorable_until is not None]
            chosen = [each for each in kept if cluster in {each.id, each.name}]
            if not chosen:
                raise
        if len(chosen) > 1:
            ids = ", ".join(each.id for each in chosen)
            raise Refused(f"Backups are kept of {len(chosen)} clusters {cluster!r}: name one by its id ({ids}).")
        return chosen[0]

    async def _of(self, cluster: str, org: str, *what: str) -> object:
        known = await self.show_cluster(cluster, org=org)
        return await self._wire.call("GET", path("postgresv2", known.id, *what))
