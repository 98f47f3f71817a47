"""Every workflow, and the sandbox they run in, for the worker to register."""

from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workflows.cluster.cluster import Cluster
from workflows.cluster.kept import KeptBackups
from workflows.cluster.name import ClusterName
from workflows.operations.adopt_cluster import AdoptCluster
from workflows.operations.backup import Backup
from workflows.operations.change_plan import ChangePlan
from workflows.operations.create_cluster import CreateCluster
from workflows.operations.create_database import CreateDatabase
from workflows.operations.create_user import CreateUser
from workflows.operations.delete_database import DeleteDatabase
from workflows.operations.delete_user import DeleteUser
from workflows.operations.destroy_cluster import DestroyCluster
from workflows.operations.disable_extension import DisableExtension
from workflows.operations.enable_extension import EnableExtension
from workflows.operations.failover import Failover
from workflows.operations.find_clusters import FindClusters
from workflows.operations.forced_failover import ForcedFailover
from workflows.operations.grow_storage import GrowStorage
from workflows.operations.opt_in_roles import OptInRoles
from workflows.operations.read_backups import ReadBackups
from workflows.operations.read_queries import ReadQueries, SignalSession
from workflows.operations.repair import Repair
from workflows.operations.restart import Restart
from workflows.operations.restore_cluster import RestoreCluster
from workflows.operations.rotate_password import RotatePassword
from workflows.operations.set_allow_list import SetAllowList
from workflows.operations.set_backup_policy import SetBackupPolicy
from workflows.operations.set_durability import SetDurability
from workflows.operations.set_pool_mode import SetPoolMode
from workflows.operations.set_tls import SetTls
from workflows.operations.set_user_role import SetUserRole
from workflows.operations.switchover import Switchover
from workflows.operations.verify_backup import VerifyBackup
from workflows.webhooks.delivery import WebhookDelivery
from workflows.webhooks.webhooks import Webhooks

WORKFLOWS: tuple[type, ...] = (
    Cluster,
    ClusterName,
    KeptBackups,
    FindClusters,
    ReadBackups,
    ReadQueries,
    SignalSession,
    CreateCluster,
    RestoreCluster,
    AdoptCluster,
    DestroyCluster,
    ChangePlan,
    GrowStorage,
    SetPoolMode,
    SetTls,
    SetAllowList,
    SetDurability,
    Restart,
    Switchover,
    ForcedFailover,
    CreateUser,
    SetUserRole,
    DeleteUser,
    RotatePassword,
    CreateDatabase,
    DeleteDatabase,
    EnableExtension,
    DisableExtension,
    OptInRoles,
    Backup,
    SetBackupPolicy,
    VerifyBackup,
    Failover,
    Repair,
    Webhooks,
    WebhookDelivery,
)


class _Sandbox(SandboxedWorkflowRunner):
    """The SDK's sandbox, asked for nothing that nobody uses."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Return a run that does not say of which command a payload is.

        Our converter reads and writes every payload alike and stores none outside of Temporal. To learn the context
        all the same, the SDK enters the sandbox four times for each payload: a fifth of what the worker does in a
        short operation.
        """
        instance = super().create_instance(det)
        vars(instance).update(get_serialization_context=_no_context, get_external_store_context=_no_context)
        return instance


def _no_context(command_info: object) -> None:
    """Stand for the two methods of ``WorkflowInstance`` that say what a payload belongs to."""


SANDBOX = _Sandbox(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "model", "workflows", "pydantic", "pydantic_core", "opentelemetry"
    )
)
"""What these modules hold is imported once, not anew for each run, and so is the same for all runs: none holds anything
that changes (tests/unit/workflows/test_workflow_modules.py)."""
