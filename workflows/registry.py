"""Every workflow, for the worker to register."""

from workflows.adopt_cluster import AdoptCluster
from workflows.change_plan import ChangePlan
from workflows.cluster import Cluster
from workflows.cluster_name import ClusterName
from workflows.create_cluster import CreateCluster
from workflows.create_database import CreateDatabase
from workflows.create_user import CreateUser
from workflows.delete_database import DeleteDatabase
from workflows.delete_user import DeleteUser
from workflows.destroy_cluster import DestroyCluster
from workflows.disable_extension import DisableExtension
from workflows.enable_extension import EnableExtension
from workflows.failover import Failover
from workflows.find_clusters import FindClusters
from workflows.opt_in_roles import OptInRoles
from workflows.repair import Repair
from workflows.restart import Restart
from workflows.rotate_password import RotatePassword
from workflows.set_pool_mode import SetPoolMode
from workflows.set_user_role import SetUserRole
from workflows.switchover import Switchover

WORKFLOWS: list[type] = [
    Cluster,
    ClusterName,
    FindClusters,
    CreateCluster,
    AdoptCluster,
    DestroyCluster,
    ChangePlan,
    SetPoolMode,
    Restart,
    Switchover,
    CreateUser,
    SetUserRole,
    DeleteUser,
    RotatePassword,
    CreateDatabase,
    DeleteDatabase,
    EnableExtension,
    DisableExtension,
    OptInRoles,
    Failover,
    Repair,
]
