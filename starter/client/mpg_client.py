"""What other services import, and what the command line is made of: every operation as an async, typed method.

::

    async with MpgClient.connect(load_settings()) as mpg:
        operation = await mpg.change_plan("orders", "launch")
        await operation.result()

A request that cannot succeed is refused here, before anything is started: nothing of it is left anywhere. The same
rules are applied again by the operation itself, when it has the cluster's turn.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from model import names
from model.cluster import PoolMode, Role
from model.operations import (
    DEFAULT_DAYS_KEPT,
    DEFAULT_MAX_PAUSE_S,
    ChangePlanRequest,
    CreateDatabaseRequest,
    CreateUserRequest,
    DeleteDatabaseRequest,
    DeleteUserRequest,
    DestroyClusterRequest,
    DisableExtensionRequest,
    EnableExtensionRequest,
    ForcedFailoverRequest,
    GrowStorageRequest,
    OptInRolesRequest,
    RestartRequest,
    RotatePasswordRequest,
    SetAllowListRequest,
    SetPoolModeRequest,
    SetTlsRequest,
    SetUserRoleRequest,
    SwitchoverRequest,
)
from model.plans import find_plan, load_plans
from model.settings import Settings
from starter.client.auditing import Auditing
from starter.client.operation import Operation
from starter.client.temporal import connect


class MpgClient(Auditing):
    """Starts operations, and reads what the cluster workflows hold.

    *cluster* is everywhere an id or a name in organization *org*. Every operation takes a ``request_id``, an
    idempotency key of 1 to 64 letters, digits and ``. _ : -``: the same key and request answer with the first call's
    operation, the same key with another request raises :class:`~model.errors.InvalidInput`.
    """

    @classmethod
    @asynccontextmanager
    async def connect(cls, settings: Settings) -> AsyncGenerator[Self]:
        """Connect to the Temporal service in *settings*. Raises :class:`~model.errors.StackDown` within 2 seconds."""
        yield cls(await connect(settings), settings)

    def operation(self, operation_id: str) -> Operation:
        """Return a handle on an operation by its id; whether it exists shows with the first call."""
        return Operation(self._client, self._settings, operation_id)

    # --- clusters -------------------------------------------------------------------------------------------------

    async def destroy_cluster(
        self,
        cluster: str,
        *,
        keep_backups_days: int = DEFAULT_DAYS_KEPT,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start the removal of a cluster with all its data; it can be restored for ``keep_backups_days``, 0: not."""
        return await self._submit(DestroyClusterRequest, cluster, org, request_id, keep_backups_days=keep_backups_days)

    async def change_plan(
        self,
        cluster: str,
        plan: str,
        *,
        max_pause_s: float = DEFAULT_MAX_PAUSE_S,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start the move to another plan, with one switchover that waits at most ``max_pause_s`` for transactions."""
        find_plan(load_plans(self._settings.plans_file), plan)
        return await self._submit(ChangePlanRequest, cluster, org, request_id, plan=plan, max_pause_s=max_pause_s)

    async def grow_storage(
        self,
        cluster: str,
        storage_gb: int | None = None,
        *,
        auto_grow_step_gb: int | None = None,
        auto_grow_max_gb: int | None = None,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start giving each node ``storage_gb`` GB, or say in which steps it grows by itself up to the most; 0: not."""
        return await self._submit(
            GrowStorageRequest,
            cluster,
            org,
            request_id,
            storage_gb=storage_gb,
            auto_grow_step_gb=auto_grow_step_gb,
            auto_grow_max_gb=auto_grow_max_gb,
        )

    async def set_pool_mode(
        self, cluster: str, pool_mode: PoolMode | str, *, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> Operation:
        """Start giving new pooled connections another mode; open sessions keep theirs."""
        return await self._submit(SetPoolModeRequest, cluster, org, request_id, pool_mode=pool_mode)

    async def set_tls(
        self, cluster: str, *, required: bool, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> Operation:
        """Start having the cluster offer TLS to new connections, or refuse those without where it is *required*."""
        return await self._submit(SetTlsRequest, cluster, org, request_id, required=required)

    async def set_allow_list(
        self,
        cluster: str,
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        clear: bool = False,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start changing from which IPv4 networks (CIDR) clients may come: emptied, then *remove*, then *add*."""
        return await self._submit(
            SetAllowListRequest, cluster, org, request_id, add=tuple(add), remove=tuple(remove), clear=clear
        )

    async def restart(
        self,
        cluster: str,
        *,
        node: str | None = None,
        max_pause_s: float = DEFAULT_MAX_PAUSE_S,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start the restart of one node, or of each in turn with a switchover between."""
        return await self._submit(RestartRequest, cluster, org, request_id, node=node, max_pause_s=max_pause_s)

    async def switchover(
        self,
        cluster: str,
        *,
        max_pause_s: float = DEFAULT_MAX_PAUSE_S,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start making the replica the primary."""
        return await self._submit(SwitchoverRequest, cluster, org, request_id, max_pause_s=max_pause_s)

    async def failover(
        self,
        cluster: str,
        *,
        accept_loss: bool = False,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start promoting a replica that may lack acknowledged commits, in place of a primary that cannot be saved.

        Only for a cluster in ``needs_operator``. Raises :class:`~model.errors.Refused` otherwise, and without
        ``accept_loss``.
        """
        return await self._submit(ForcedFailoverRequest, cluster, org, request_id, accept_loss=accept_loss)

    # --- users ----------------------------------------------------------------------------------------------------

    async def create_user(
        self,
        cluster: str,
        username: str,
        role: Role | str,
        *,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start adding a user."""
        return await self._submit(CreateUserRequest, cluster, org, request_id, username=username, role=role)

    async def set_user_role(
        self,
        cluster: str,
        username: str,
        role: Role | str,
        *,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start giving a user another role."""
        return await self._submit(SetUserRoleRequest, cluster, org, request_id, username=username, role=role)

    async def delete_user(
        self, cluster: str, username: str, *, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> Operation:
        """Start removing a user; what it owns becomes its group's."""
        return await self._submit(DeleteUserRequest, cluster, org, request_id, username=username)

    async def rotate_password(
        self,
        cluster: str,
        username: str,
        *,
        kill_sessions: bool = False,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start giving a user a new password; with ``kill_sessions`` its sessions are ended then."""
        return await self._submit(
            RotatePasswordRequest, cluster, org, request_id, username=username, kill_sessions=kill_sessions
        )

    async def opt_in_roles(
        self, cluster: str, *, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> Operation:
        """Start bringing a cluster that was made before the role system under it."""
        return await self._submit(OptInRolesRequest, cluster, org, request_id)

    # --- databases and extensions ---------------------------------------------------------------------------------

    async def create_database(
        self, cluster: str, database: str, *, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> Operation:
        """Start adding a database."""
        return await self._submit(CreateDatabaseRequest, cluster, org, request_id, database=database)

    async def delete_database(
        self,
        cluster: str,
        database: str,
        *,
        force: bool = False,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start removing a database with its data; sessions in it refuse that, unless ``force`` ends them."""
        return await self._submit(DeleteDatabaseRequest, cluster, org, request_id, database=database, force=force)

    async def enable_extension(
        self,
        cluster: str,
        database: str,
        extension: str,
        *,
        schema: str | None = None,
        create_schema_if_needed: bool = False,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start installing an extension in a database."""
        return await self._submit(
            EnableExtensionRequest,
            cluster,
            org,
            request_id,
            database=database,
            extension=extension,
            schema_name=schema,
            create_schema_if_needed=create_schema_if_needed,
        )

    async def disable_extension(
        self,
        cluster: str,
        database: str,
        extension: str,
        *,
        force: bool = False,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Operation:
        """Start removing an extension from a database; ``force`` also removes what depends on it."""
        return await self._submit(
            DisableExtensionRequest, cluster, org, request_id, database=database, extension=extension, force=force
        )
