"""What can be done to a cluster as a whole."""

from model.cluster import ClusterView, Durability, PoolMode
from model.operations import DEFAULT_DAYS_KEPT
from starter.client import MpgClient
from starter.client.operation import Operation
from starter.dashboard.action import Action, Field, Given, name_of, whole_number

POOL_MODES = {
    PoolMode.TRANSACTION: "A connection to Postgres is a client's for one transaction. Serves many clients with few "
    "connections: web applications, functions, workers.",
    PoolMode.SESSION: "A connection to Postgres is a client's for as long as it stays. For temporary tables, advisory "
    "locks, LISTEN and session settings.",
}
"""When to use which mode of the poolers."""
DURABILITIES = {
    Durability.SYNC: "An acknowledged commit is on both nodes: a failover loses nothing.",
    Durability.ASYNC: "A commit waits for the primary alone: faster, and a failover may lose the last ones.",
}
"""What a commit waits for."""

_ONE_WAIT = "Pooled clients in transaction mode wait once, for a moment, and see no error."
_CUT = "Direct connections, and sessions in session mode, are cut once and can connect again."


async def _change_plan(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.change_plan(view.state.spec.id, given["plan"], org=view.state.spec.org)


async def _set_pool_mode(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.set_pool_mode(view.state.spec.id, given["pool_mode"], org=view.state.spec.org)


async def _set_durability(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.set_durability(view.state.spec.id, given["durability"], org=view.state.spec.org)


async def _grow(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    spec = view.state.spec
    return await mpg.grow_storage(spec.id, whole_number(given["storage_gb"], "Storage"), org=spec.org)


async def _grow_by_itself(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    spec, step = view.state.spec, whole_number(given["step_gb"], "A step of")
    most = whole_number(given["max_gb"], "Storage") if step else None
    return await mpg.grow_storage(spec.id, auto_grow_step_gb=step, auto_grow_max_gb=most, org=spec.org)


async def _restart(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.restart(view.state.spec.id, node=given["node"] or None, org=view.state.spec.org)


async def _switch_over(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    return await mpg.switchover(view.state.spec.id, org=view.state.spec.org)


async def _destroy(mpg: MpgClient, view: ClusterView, given: Given) -> Operation:
    days = whole_number(given["keep_backups_days"], "A number of days")
    return await mpg.destroy_cluster(view.state.spec.id, keep_backups_days=days, org=view.state.spec.org)


def _plan_effects(view: ClusterView, given: Given) -> list[str]:
    if given["plan"] == view.state.spec.plan.name:
        return ["The cluster is on this plan already: nothing will be restarted."]
    primary, replica = view.state.status.primary, view.state.status.replica
    names = (replica.name, primary.name) if replica and primary else ("the replica", "the primary")
    return [
        f"Node {names[0]} is made again on the new plan, takes over as the primary, then {names[1]} follows.",
        _ONE_WAIT,
        _CUT,
        "If something does not work out, the cluster goes back to the plan that it has now.",
    ]


def _restart_effects(view: ClusterView, given: Given) -> list[str]:
    node, replica = given["node"], view.state.status.replica
    if replica and node == replica.name:
        return [
            f"Replica {node} is restarted. Reads on it get 30 s to end; new ones go to the primary meanwhile.",
            "No commit waits for it until it has caught up. Nobody else notices.",
        ]
    first = "takes over" if node else "is restarted first and takes over"
    return [f"The replica {first}; then the old primary is restarted.", _ONE_WAIT, _CUT]


ACTIONS = (
    Action(
        name="change-plan",
        tab="settings",
        title=lambda view, given: f"Change {name_of(view)} from {view.state.spec.plan.name} to {given['plan']}",
        button="Update Configuration",
        fields=(Field("plan", "New plan", fixed=True),),
        effects=_plan_effects,
        command=lambda view, given: ("change-plan", name_of(view), given["plan"]),
        start=_change_plan,
    ),
    Action(
        name="set-pool-mode",
        tab="settings",
        title=lambda view, given: f"Set the pool mode of {name_of(view)} to {given['pool_mode']}",
        button="Update Pool Mode",
        fields=(Field("pool_mode", "New pool mode", fixed=True),),
        effects=lambda view, given: (
            "New poolers serve new connections in the new mode, at the same address.",
            "Nobody waits.",
            "No session is cut: the ones that are open keep their mode until they end, or until the drain limit.",
        ),
        command=lambda view, given: ("set-pool-mode", name_of(view), given["pool_mode"]),
        start=_set_pool_mode,
    ),
    Action(
        name="set-durability",
        tab="settings",
        title=lambda view, given: f"Make {name_of(view)} {given['durability']}",
        button="Update Durability",
        fields=(Field("durability", "New durability", fixed=True),),
        effects=lambda view, given: (
            "Commits wait until the replica has them too. It is proven to have all of them before that is claimed."
            if given["durability"] == Durability.SYNC.value
            else "Commits wait for the primary alone: faster, and a failover may lose the last ones.",
            "No session is cut and nothing is restarted.",
        ),
        command=lambda view, given: ("set-durability", name_of(view), given["durability"]),
        start=_set_durability,
    ),
    Action(
        name="grow-storage",
        tab="settings",
        title=lambda view, given: f"Grow the storage of {name_of(view)}",
        button="Grow Storage",
        fields=(Field("storage_gb", "GB for each node", number=True, hint="Storage grows and never shrinks."),),
        effects=lambda view, given: (
            f"Each node has {view.state.spec.storage_gb} GB now. Nothing is restarted and nobody waits.",
            "Where storage was full, writes go on.",
        ),
        command=lambda view, given: ("storage", name_of(view), "--grow-to", given["storage_gb"] or "GB"),
        start=_grow,
    ),
    Action(
        name="auto-grow",
        tab="settings",
        title=lambda view, given: f"Let the storage of {name_of(view)} grow by itself",
        button="Update Growth",
        fields=(
            Field("step_gb", "Step in GB", default="10", number=True, hint="0: it does not grow by itself."),
            Field("max_gb", "Up to GB for each node", number=True),
        ),
        effects=lambda view, given: (
            "Whenever storage is low it is given a step more, up to the most. Nothing is restarted and nobody waits."
            if given["step_gb"] != "0"
            else "Storage stays as it is, and becomes read-only before it is full.",
        ),
        command=lambda view, given: (
            "storage", name_of(view), "--auto-grow-step", given["step_gb"] or "GB",
            *(("--auto-grow-max", given["max_gb"] or "GB") if given["step_gb"] != "0" else ()),
        ),
        start=_grow_by_itself,
    ),
    Action(
        name="restart",
        tab="settings",
        title=lambda view, given: f"Restart {name_of(view)}",
        button="Restart",
        fields=(
            Field(
                "node", "Which", choices=(("", "Both nodes, one after the other"), ("a", "Node a"), ("b", "Node b"))
            ),
        ),
        effects=_restart_effects,
        command=lambda view, given: (
            "restart", name_of(view), *(("--node", given["node"]) if given["node"] else ()),
        ),
        start=_restart,
    ),
    Action(
        name="switchover",
        tab="settings",
        title=lambda view, given: f"Make the replica of {name_of(view)} its primary",
        button="Switch Over",
        effects=lambda view, given: (
            "The old primary is stopped cleanly, the replica takes over, and the old primary comes back as a replica.",
            _ONE_WAIT,
            _CUT,
            "No acknowledged commit is lost. If the replica is too far behind, nothing happens.",
        ),
        command=lambda view, given: ("switchover", name_of(view)),
        start=_switch_over,
    ),
    Action(
        name="destroy",
        tab="settings",
        title=lambda view, given: f"Destroy {name_of(view)}",
        button="Destroy Cluster",
        danger=True,
        by_name=True,
        fields=(
            Field(
                "keep_backups_days",
                "Keep its backups for so many days",
                default=str(DEFAULT_DAYS_KEPT),
                number=True,
                hint="0 removes them with the cluster. It can be restored as long as they are kept.",
            ),
        ),
        effects=lambda view, given: (
            "All its nodes, poolers and addresses are removed, with all its data. Every client is cut off.",
            "Once it has begun it cannot be stopped.",
        ),
        command=lambda view, given: ("destroy", name_of(view), "--keep-backups", given["keep_backups_days"], "--yes"),
        start=_destroy,
    ),
)  # fmt: skip
