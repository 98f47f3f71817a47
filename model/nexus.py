"""Operations for workflows of other namespaces: a Nexus service, with an operation for every request.

One is called like the workflow's type, its input is the request's JSON, and its end is the workflow's. So a workflow of
another team awaits it as a step of its own, with cancellation, and without an address or a client.
"""

import nexusrpc
from temporalio.exceptions import ApplicationError

from model import operations
from model.errors import MpgError, from_type, is_ours
from model.operations import OperationResult

ENDPOINT = "mpg"
"""Name of the endpoint that leads to task queue ``mpg`` of the platform's namespace."""
KEY_HEADER = "idempotency-key"
"""Header with a request id. Without it the id is Nexus's own, which is the same for each try of one step."""


@nexusrpc.service(name="mpg")
class MpgService:
    """Every operation that people may ask for."""

    create_cluster: nexusrpc.Operation[operations.CreateClusterRequest, OperationResult] = nexusrpc.Operation(
        name="CreateCluster"
    )
    restore_cluster: nexusrpc.Operation[operations.RestoreClusterRequest, OperationResult] = nexusrpc.Operation(
        name="RestoreCluster"
    )
    adopt_cluster: nexusrpc.Operation[operations.AdoptClusterRequest, OperationResult] = nexusrpc.Operation(
        name="AdoptCluster"
    )
    destroy_cluster: nexusrpc.Operation[operations.DestroyClusterRequest, OperationResult] = nexusrpc.Operation(
        name="DestroyCluster"
    )
    change_plan: nexusrpc.Operation[operations.ChangePlanRequest, OperationResult] = nexusrpc.Operation(
        name="ChangePlan"
    )
    grow_storage: nexusrpc.Operation[operations.GrowStorageRequest, OperationResult] = nexusrpc.Operation(
        name="GrowStorage"
    )
    set_pool_mode: nexusrpc.Operation[operations.SetPoolModeRequest, OperationResult] = nexusrpc.Operation(
        name="SetPoolMode"
    )
    set_tls: nexusrpc.Operation[operations.SetTlsRequest, OperationResult] = nexusrpc.Operation(name="SetTls")
    set_allow_list: nexusrpc.Operation[operations.SetAllowListRequest, OperationResult] = nexusrpc.Operation(
        name="SetAllowList"
    )
    set_durability: nexusrpc.Operation[operations.SetDurabilityRequest, OperationResult] = nexusrpc.Operation(
        name="SetDurability"
    )
    restart: nexusrpc.Operation[operations.RestartRequest, OperationResult] = nexusrpc.Operation(name="Restart")
    switchover: nexusrpc.Operation[operations.SwitchoverRequest, OperationResult] = nexusrpc.Operation(
        name="Switchover"
    )
    forced_failover: nexusrpc.Operation[operations.ForcedFailoverRequest, OperationResult] = nexusrpc.Operation(
        name="ForcedFailover"
    )
    create_user: nexusrpc.Operation[operations.CreateUserRequest, OperationResult] = nexusrpc.Operation(
        name="CreateUser"
    )
    set_user_role: nexusrpc.Operation[operations.SetUserRoleRequest, OperationResult] = nexusrpc.Operation(
        name="SetUserRole"
    )
    delete_user: nexusrpc.Operation[operations.DeleteUserRequest, OperationResult] = nexusrpc.Operation(
        name="DeleteUser"
    )
    rotate_password: nexusrpc.Operation[operations.RotatePasswordRequest, OperationResult] = nexusrpc.Operation(
        name="RotatePassword"
    )
    create_database: nexusrpc.Operation[operations.CreateDatabaseRequest, OperationResult] = nexusrpc.Operation(
        name="CreateDatabase"
    )
    delete_database: nexusrpc.Operation[operations.DeleteDatabaseRequest, OperationResult] = nexusrpc.Operation(
        name="DeleteDatabase"
    )
    enable_extension: nexusrpc.Operation[operations.EnableExtensionRequest, OperationResult] = nexusrpc.Operation(
        name="EnableExtension"
    )
    disable_extension: nexusrpc.Operation[operations.DisableExtensionRequest, OperationResult] = nexusrpc.Operation(
        name="DisableExtension"
    )
    opt_in_roles: nexusrpc.Operation[operations.OptInRolesRequest, OperationResult] = nexusrpc.Operation(
        name="OptInRoles"
    )
    backup: nexusrpc.Operation[operations.BackupRequest, OperationResult] = nexusrpc.Operation(name="Backup")
    verify_backup: nexusrpc.Operation[operations.VerifyBackupRequest, OperationResult] = nexusrpc.Operation(
        name="VerifyBackup"
    )
    set_backup_policy: nexusrpc.Operation[operations.SetBackupPolicyRequest, OperationResult] = nexusrpc.Operation(
        name="SetBackupPolicy"
    )


def platform_error(failure: BaseException) -> MpgError:
    """Return the error of model/errors.py with which a step ended, of what the caller's SDK raised for it.

    Between the two are Nexus's own wrappings, which differ between a refusal, a failure and an input that does not fit.
    """
    found: BaseException | None = failure
    while found is not None:
        if isinstance(found, ApplicationError) and is_ours(found.type):
            return from_type(found.type, found.message)
        found = found.__cause__
    return MpgError(str(failure))
