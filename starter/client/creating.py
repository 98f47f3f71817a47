"""Making clusters."""

from model import names
from model.cluster import Durability, PoolMode
from model.errors import AlreadyExists, InvalidInput
from model.operations import CreateClusterRequest
from model.plans import find_plan, load_plans
from model.validation import validated
from starter.client.attaching import Attaching
from starter.client.backups import BackupCalls
from starter.client.operation import Operation
from starter.client.submission import new_cluster_id


class Creating(BackupCalls, Attaching):
    """The part of :class:`starter.client.MpgClient` that makes clusters from nothing."""

    async def create_cluster(
        self,
        name: str,
        *,
        org: str = names.DEFAULT_ORG,
        region: str | None = None,
        plan: str = "basic",
        storage_gb: int = 10,
        pg_major_version: int = 17,
        pool_mode: PoolMode | str = PoolMode.TRANSACTION,
        durability: Durability | str = Durability.SYNC,
        postgis_enabled: bool = False,
        require_tls: bool = False,
        request_id: str | None = None,
    ) -> Operation:
        """Start the creation of a cluster; ``storage_gb`` is per node. Its id is in the operation's progress.

        Raises :class:`~model.errors.AlreadyExists` when the name is taken, :class:`~model.errors.InvalidInput`.
        """
        request = validated(
            CreateClusterRequest,
            cluster_id=new_cluster_id(),
            name=name,
            org=org,
            region=region or self._settings.region,
            host=self._settings.host_name,
            plan=plan,
            storage_gb=storage_gb,
            pg_major_version=pg_major_version,
            pool_mode=pool_mode,
            durability=durability,
            postgis_enabled=postgis_enabled,
            require_tls=require_tls,
        )
        return await self._create(request, request_id)

    async def _create(self, request: CreateClusterRequest, request_id: str | None) -> Operation:
        name, org = request.name, request.org
        if earlier := await self._earlier(request, name, request_id):
            return earlier
        self._check_offered(request)
        if await self._claim(org, name) is not None:
            raise AlreadyExists(f"Organization {org} has a cluster {name!r} already.")
        return await self._start(request, name, org, request_id)

    def _check_offered(self, request: CreateClusterRequest) -> None:
        find_plan(load_plans(self._settings.plans_file), request.plan)
        if request.region != self._settings.region:
            raise InvalidInput(f"There is no region {request.region!r}; the regions are {self._settings.region}.")
