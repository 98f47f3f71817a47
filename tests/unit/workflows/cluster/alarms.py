"""What the watch says in these tests: that the primary is lost, its replica, or a pooler."""

from model.cluster import NodeRole
from model.effects import Alarm, AlarmKind
from model.facts import NodeIs
from tests.workflows.samples import ready_cluster

A = Alarm(kind=AlarmKind.NODE, name="a", how="its process ended")
B = Alarm(kind=AlarmKind.NODE, name="b", how="its process ended")
POOLER = Alarm(kind=AlarmKind.WAY_IN, name="pooler-1-1", how="its container does not run")

_NODES = ready_cluster().status
NO_REPLICA = NodeIs(node=_NODES.nodes[1].model_copy(update={"role": NodeRole.PRIMARY}))
NO_PRIMARY = NodeIs(node=_NODES.nodes[0].model_copy(update={"role": NodeRole.REPLICA}))
"""Facts after which a cluster has no node of that role on record."""
