"""Every operation on a cluster as an async, typed method: the same for whichever way it is asked for."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from model import names
from model.backups import BackupType
from model.cluster import Durability, PoolMode, Role
from model.operations import (
    DEFAULT_DAYS_KEPT,
    DEFAULT_MAX_PAUSE_S,
    BackupRequest,
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
    OperationRequest,
    OptInRolesRequest,
    RestartRequest,
    RotatePasswordRequest,
    SetAllowListRequest,
    SetBackupPolicyRequest,
    SetDurabilityRequest,
    SetPoolModeRequest,
    SetTlsRequest,
    SetUserRoleRequest,
    SwitchoverRequest,
    VerifyBackupRequest,
)

Op = TypeVar("Op")
"""A handle on an operation, as the client has it."""


class Operating(ABC, Generic[Op]):
    """The part of both clients that asks for operations on clusters which are on record."""

    @abstractmethod
    async def _submit(
        self, kind: type[OperationRequest], cluster: str, org: str, request_id: str | None, **fields: object
    ) -> Op:
        """Start the operation of *kind* on *cluster*, an id or a name in *org*, with the other *fields* of its request.

        Raises :class:`~model.errors.InvalidInput`, :class:`~model.errors.NotFound`, and what the cluster's state
        does not allow.
        """

    async def start(
        self, request: OperationRequest, *, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> Op:
        """Start the operation that *request* asks for, of whatever kind, on a cluster of *org* that is on record."""
        fields = {name: value for name, value in request if name != "cluster_id"}
        return await self._submit(type(request), request.cluster_id, org, request_id, **fields)

    # --- clusters -------------------------------------------------------------------------------------------------

    async def destroy_cluster(
        self,
        cluster: str,
        *,
        keep_backups_days: int = DEFAULT_DAYS_KEPT,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Op:
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
    ) -> Op:
        """Start the move to another plan, with one switchover that waits at most ``max_pause_s`` for transactions."""
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
    ) -> Op:
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
    ) -> Op:
        """Start giving new pooled connections another mode; open sessions keep theirs."""
        return await self._submit(SetPoolModeRequest, cluster, org, request_id, pool_mode=pool_mode)

    async def set_tls(
        self, cluster: str, *, required: bool, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> Op:
        """Start having the cluster offer TLS to new connections, or refuse those without where it is *required*."""
        return await self._submit(SetTlsRequest, cluster, org, request_id, required=required)

    async def set_durability(
        self, cluster: str, durability: Durability | str, *, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> Op:
        """Start having commits wait for the replica (``sync``), or for the primary alone (``async``)."""
        return await self._submit(SetDurabilityRequest, cluster, org, request_id, durability=durability)

    async def set_allow_list(
        self,
        cluster: str,
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        clear: bool = False,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Op:
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
    ) -> Op:
        """Start the restart of one node, or of each in turn with a switchover between."""
        return await self._submit(RestartRequest, cluster, org, request_id, node=node, max_pause_s=max_pause_s)

    async def switchover(
        self,
        cluster: str,
        *,
        max_pause_s: float = DEFAULT_MAX_PAUSE_S,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Op:
        """Start making the replica the primary."""
        return await self._submit(SwitchoverRequest, cluster, org, request_id, max_pause_s=max_pause_s)

    async def failover(
        self,
        cluster: str,
        *,
        accept_loss: bool = False,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Op:
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
    ) -> Op:
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
    ) -> Op:
        """Start giving a user another role."""
        return await self._submit(SetUserRoleRequest, cluster, org, request_id, username=username, role=role)

    async def delete_user(
        self, cluster: str, username: str, *, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> Op:
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
    ) -> Op:
        """Start giving a user a new password; with ``kill_sessions`` its sessions are ended then."""
        return await self._submit(
            RotatePasswordRequest, cluster, org, request_id, username=username, kill_sessions=kill_sessions
        )

    async def opt_in_roles(self, cluster: str, *, org: str = names.DEFAULT_ORG, request_id: str | None = None) -> Op:
        """Start bringing a cluster that was made before the role system under it."""
        return await self._submit(OptInRolesRequest, cluster, org, request_id)

    # --- databases and extensions ---------------------------------------------------------------------------------

    async def create_database(
        self, cluster: str, database: str, *, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> Op:
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
    ) -> Op:
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
    ) -> Op:
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
    ) -> Op:
        """Start removing an extension from a database; ``force`` also removes what depends on it."""
        return await self._submit(
            DisableExtensionRequest, cluster, org, request_id, database=database, extension=extension, force=force
        )

    # --- backups -----------------------------------------------------------------------------------------------------

    async def create_backup(
        self,
        cluster: str,
        type: BackupType | str = BackupType.FULL,
        *,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Op:
        """Start a backup, beside whatever else is done to the cluster.

        Raises :class:`~model.errors.Refused` while another one is made.
        """
        return await self._submit(BackupRequest, cluster, org, request_id, type=type)

    async def verify_backup(
        self,
        cluster: str,
        backup_id: str | None = None,
        *,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Op:
        """Start a drill: a backup is restored to a place that is thrown away, and everything in it is read.

        By default the latest good one, with the archive after it. Raises :class:`~model.errors.Refused` while another
        drill of the cluster is under way.
        """
        return await self._submit(VerifyBackupRequest, cluster, org, request_id, backup_id=backup_id)

    async def set_backup_policy(
        self,
        cluster: str,
        *,
        full: str | None = None,
        incr: str | None = None,
        keep_full: int | None = None,
        keep_days: int | None = None,
        drill: str | None = None,
        org: str = names.DEFAULT_ORG,
        request_id: str | None = None,
    ) -> Op:
        """Start changing when backups are made and proven, and how long they are kept; what is None stays.

        *full*, *incr* and *drill* are cron lines in UTC; the last may be ``off``. Raises
        :class:`~model.errors.InvalidInput` for what is none.
        """
        return await self._submit(
            SetBackupPolicyRequest,
            cluster,
            org,
            request_id,
            full=full,
            incr=incr,
            keep_full=keep_full,
            keep_days=keep_days,
            drill=drill,
        )
