"""What people and programs are shown, as the client over HTTP returns it too."""

from model import names
from starter.client import shapes
from starter.client.auditing import Auditing
from starter.client.shapes import ClusterShape, DatabaseShape, DeletedShape, ExtensionShape, NodeShape, UserShape


class Showing(Auditing):
    """The part of :class:`starter.client.MpgClient` that reads in the HTTP interface's shapes."""

    async def list_clusters(self, *, org: str = names.DEFAULT_ORG) -> tuple[ClusterShape, ...]:
        """Return *org*'s living clusters by name."""
        return tuple(shapes.cluster(view) for view in await self.clusters(org=org))

    async def list_deleted(self, *, org: str = names.DEFAULT_ORG) -> tuple[DeletedShape, ...]:
        """Return *org*'s destroyed clusters as long as they are remembered, or their backups kept."""
        return tuple(shapes.deleted_cluster(view) for view in await self.deleted_clusters(org=org))

    async def show_cluster(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> ClusterShape:
        """Return a cluster as lists show it. Raises NotFound."""
        return shapes.cluster(await self.view(cluster, org=org))

    async def list_nodes(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> tuple[NodeShape, ...]:
        """Return a cluster's nodes as last recorded. Raises NotFound."""
        return shapes.cluster_status(await self.view(cluster, org=org)).nodes

    async def list_users(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> tuple[UserShape, ...]:
        """Return a cluster's users. Raises NotFound."""
        return shapes.users(await self.view(cluster, org=org))

    async def list_databases(self, cluster: str, *, org: str = names.DEFAULT_ORG) -> tuple[DatabaseShape, ...]:
        """Return a cluster's databases. Raises NotFound."""
        return shapes.databases(await self.view(cluster, org=org))

    async def list_extensions(
        self, cluster: str, database: str, *, org: str = names.DEFAULT_ORG
    ) -> tuple[ExtensionShape, ...]:
        """Return the extensions that *database* has or may have. Raises NotFound."""
        return tuple(shapes.extension(each) for each in await self.extensions(cluster, database, org=org))
