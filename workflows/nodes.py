"""Sequences over a cluster's two nodes that several operations share: rebuild, restart, bring in sync, switch over."""

from datetime import datetime
from typing import Protocol

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.archive_facts import archive_seen, gap_to_close
    from model.cluster import ClusterState, Durability, Node, NodeRole, Pooler
    from model.effects import Bootstrap, Effect, I, NodeRef, NodeSpec, O, Rejoin, Target
    from model.errors import MpgError, NeedsOperator, ReplicaBehind
    from model.facts import AbsencesPlanned, Fact, InSync, NodeIs, PrimaryIs
    from model.plans import Plan, Resources
    from model.tuning import wal_bound_mb
    from workflows.operation import Operation

CATCH_UP_S = 600.0
"""How long a replica may take to catch up after it was rebuilt: it replays what was written meanwhile."""
SETTLED_CATCH_UP_S = 20.0
"""The same while others wait for their turn; the watch repairs a replica that takes longer."""
COPY_BESIDE = "copy-beside"
"""Patch: a fresh copy does not take the place of data before it is in sync."""
TELLS_UNKNOWN = "tells-unknown-archive"
"""Patch: an archive that could not be looked at is on record."""
DATES_TAKEOVER = "dates-takeover"
"""Patch: when a takeover began is on record until it was seen what the archive lacks."""
SWITCHOVER_PATIENCE_S = 15.0
"""How long a switchover waits, before it touches anything, for a replica that is a little behind."""
SWITCHOVER_READS_END_S = 10.0
"""How much of that is the readers' whose locks or snapshots hold its replay up: then they are ended."""


class CallEffect(Protocol):
    """:meth:`workflows.operation.Operation.effect`, or what does the same."""

    async def __call__(self, effect: Effect[I, O], arg: I, summary: str) -> O:
        """Run *effect*."""
        ...


async def bring_in_sync(call: CallEffect, state: ClusterState, patience_s: float = CATCH_UP_S) -> tuple[Fact, ...]:
    """Wait until the replica holds every acknowledged commit and will hold every later one; return what to record.

    It waits *patience_s* seconds for that. In ``async`` durability it only catches up. Raises the error of the effect
    that failed.
    """
    primary, replica = state.status.primary, state.status.replica
    if primary is None or replica is None:
        raise NeedsOperator(f"Cluster {state.spec.name} has no pair of nodes on record.")
    mark = effects.AwaitCaughtUpInput(cluster_id=state.spec.id, primary=primary, replica=replica, timeout_s=patience_s)
    seen = await call(effects.AWAIT_CAUGHT_UP, mark, f"wait until {replica.name} has caught up")
    caught_up = NodeIs(node=replica.model_copy(update={"timeline": seen.timeline, "lag_bytes": seen.lag_bytes}))
    if state.spec.durability is not Durability.SYNC:
        return (caught_up,)
    await call(
        effects.SET_SYNCHRONOUS,
        effects.SetSynchronousInput(target=Target.of(state.spec.id, primary), standby=replica.name),
        f"let commits wait for {replica.name}",
    )
    # What was acknowledged between the first mark and the setting may be on the primary alone: a second mark covers it.
    await call(effects.AWAIT_CAUGHT_UP, mark, f"see that {replica.name} holds every commit")
    return caught_up, InSync(name=replica.name, value=True)


def node_spec(
    state: ClusterState, name: str, role: NodeRole, plan: str, resources: Resources, primary_address: str | None
) -> NodeSpec:
    """Return what the container of node *name* is to be made from. The cluster's network has to be on record."""
    network = state.status.network
    if network is None:
        raise NeedsOperator(f"Cluster {state.spec.name} has no network on record.")
    return NodeSpec(
        cluster_id=state.spec.id,
        cluster_name=state.spec.name,
        name=name,
        role=role,
        plan=plan,
        resources=resources,
        image=state.spec.image,
        network=network,
        pg_major_version=state.spec.pg_major_version,
        primary_address=primary_address,
        repository=state.spec.backups and state.spec.backups.repository,
        wal_mb=wal_bound_mb(resources, state.spec.storage_gb),
        tls=state.spec.tls,
    )


class Nodes:
    """The sequences over a cluster's nodes, for the operation that has the turn."""

    def __init__(self, operation: Operation) -> None:
        """Work as *operation*: with its state, its steps and its undos. Which node is the primary is known."""
        self._operation = operation
        self._switching = False
        self._switched = False

    @property
    def _state(self) -> ClusterState:
        return self._operation.state

    async def route(self, *, read_only: Node, poolers: tuple[Pooler, ...] | None = None) -> None:
        """Route new connections: read-only ones to *read_only*, the others as recorded (or over *poolers*)."""
        chosen = self._state.status.current_poolers if poolers is None else poolers
        await self._operation.effect(
            effects.SET_ROUTES,
            effects.RouteInput(
                cluster_id=self._state.spec.id,
                pooler_ports=tuple(pooler.port for pooler in chosen),
                direct=self._operation.primary_node.address,
                read_only=read_only.address,
            ),
            f"route read-only connections to {read_only.name}",
        )

    async def drain_replica(self, replica: Node) -> None:
        """Let reads on *replica*, which is to stop, come to their end. Commits still wait for it meanwhile."""
        await self.route(read_only=self._operation.primary_node)
        arg = effects.DrainNodeInput(cluster_id=self._state.spec.id, node=replica, timeout_s=effects.READS_END_S)
        await self._operation.effect(effects.DRAIN_NODE, arg, f"let queries on {replica.name} end")

    async def release_replica(self, replica: Node, *, drain: bool = False) -> None:
        """Let the primary go on alone, so that *replica* can stop: recorded first, then done.

        With *drain* queries on it first get the time to end. One that is lost cannot be drained.
        """
        if drain:
            await self.drain_replica(replica)
        await self._operation.commit(InSync(name=replica.name, value=False), AbsencesPlanned(names=(replica.name,)))
        if self._state.spec.durability is Durability.SYNC:
            await self._operation.effect(
                effects.SET_SYNCHRONOUS,
                effects.SetSynchronousInput(target=self._operation.primary, standby=None),
                f"let no commit wait for {replica.name}",
            )
        if not drain:
            await self.route(read_only=self._operation.primary_node)

    async def rejoin_replica(self, replica: Node) -> None:
        """Bring *replica*, which runs, in sync and route read-only connections to it."""
        # Whatever was seen of it while it started, it is in sync only once that is proven below.
        await self._operation.commit(NodeIs(node=replica.model_copy(update={"in_sync": False})))
        await self._operation.commit(*await bring_in_sync(self._operation.effect, self._state), AbsencesPlanned())
        await self.route(read_only=replica)

    async def rebuild_replica(
        self,
        name: str,
        plan: str,
        resources: Resources,
        bootstrap: Bootstrap = Bootstrap.KEEP,
        *,
        new_plan: Plan | None = None,
        drain: bool = False,
        rejoin: Rejoin = Rejoin.REWIND,
    ) -> None:
        """Make the container of *name* again, with *plan*, on its volume, as a replica; then bring it in sync.

        *drain* is for one that serves reads, *new_plan* the plan in full where it is not the cluster's, *rejoin* for
        the bootstrap of that name: what a fresh copy took the place of is removed once the copy is in sync. Raises
        :class:`NeedsOperator` for a node that is, or may be, the primary: it holds what nobody else has.
        """
        node = self._state.status.node(name)
        if node is None or node.role is NodeRole.PRIMARY or self._switching:
            raise NeedsOperator(f"Node {name} is not rebuilt: it may be the primary.")
        await self.release_replica(node, drain=drain)
        spec = node_spec(self._state, name, NodeRole.REPLICA, plan, resources, self._operation.primary_node.address)
        made = await self._operation.effect(
            effects.ENSURE_NODE,
            effects.EnsureNodeInput(
                spec=spec, bootstrap=bootstrap, plan=new_plan or self._own_plan(plan), rejoin=rejoin
            ),
            f"start {name} on plan {plan} as a replica of {self._operation.primary_node.name}",
        )
        await self.rejoin_replica(made)
        if bootstrap is Bootstrap.REJOIN and workflow.patched(COPY_BESIDE):
            await self._discard_former(name)
        if self._switched or bootstrap is Bootstrap.REJOIN:
            await self.close_archive_gap()

    async def close_archive_gap(self) -> None:
        """Have the primary archive what another one wrote and did not archive. Nobody waits for it, nothing fails.

        What cannot be known now the cluster looks at again (workflows/cluster/archive.py).
        A cluster that was made before there were backups has none: that also keeps recorded histories as they are.
        """
        primary = self._operation.primary_node
        arg = gap_to_close(self._state, primary)
        if arg is None:
            return
        try:
            report = await self._operation.effect(
                effects.CLOSE_ARCHIVE_GAP, arg, f"see that {primary.name} archives what is not archived"
            )
        except MpgError as error:
            workflow.logger.error("the archive may have a gap", extra={"error": str(error)})
            report = effects.GapReport(unknown=str(error))
        if report.unknown is not None and not workflow.patched(TELLS_UNKNOWN):
            return
        if facts := archive_seen(report, self._state.status, workflow.now()):
            await self._operation.commit(*facts)

    async def _discard_former(self, name: str) -> None:
        """The copy on *name* is in sync. What is not removed now is by the next repair, or when the cluster settles."""
        key = NodeRef(cluster_id=self._state.spec.id, name=name)
        try:
            await self._operation.effect(
                effects.DISCARD_FORMER, key, f"remove what a fresh copy on {name} took the place of"
            )
        except MpgError as error:
            workflow.logger.error("former data are not removed", extra={"node": name, "error": str(error)})

    def _own_plan(self, name: str) -> Plan | None:
        return self._state.spec.plan if self._state.spec.plan.name == name else None

    async def return_to_plan(self, node: Node, max_pause_s: float) -> None:
        """Rebuild *node* on the plan that it has here. If it is the primary by now, the other takes over first."""
        replica = self._state.status.replica
        serves_reads = self._operation.primary_node.name != node.name
        if not serves_reads and replica is not None:
            await self.switch_to(replica.name, max_pause_s)
        await self.rebuild_replica(node.name, node.plan, resources_of(node), drain=serves_reads)

    async def exchange_roles(self, max_pause_s: float) -> None:
        """Switch over to the replica and bring the old primary back as its replica: three steps.

        A switch that failed is undone by routing everybody to the old primary again. From its beginning the operation
        cannot be cancelled any more: it ends with a pair of nodes, one way or the other.
        """
        old, new = self._operation.primary_node, self._state.status.replica
        if new is None:
            raise ReplicaBehind(f"Cluster {self._state.spec.name} has no replica to switch to.")
        see, switch = f"see that {new.name} can take over", f"switch over to {new.name}"
        rejoin = f"bring {old.name} back as a replica"
        self._operation.plan(see, switch, rejoin)
        await self._operation.do(see, lambda: self._see_ready(new))

        async def exchange() -> None:
            await self._operation.do(
                switch,
                lambda: self.switch_to(new.name, max_pause_s),
                undo=lambda: self.switch_to(old.name, max_pause_s),
            )
            self._operation.keep()
            await self._operation.do(rejoin, lambda: self.rebuild_replica(old.name, old.plan, resources_of(old)))

        await self._operation.see_through(exchange())

    async def _see_ready(self, replica: Node) -> None:
        mark = effects.AwaitCaughtUpInput(
            cluster_id=self._state.spec.id,
            primary=self._operation.primary_node,
            replica=replica,
            timeout_s=SWITCHOVER_PATIENCE_S,
            reads_end_s=SWITCHOVER_READS_END_S,
        )
        try:
            await self._operation.effect(effects.AWAIT_CAUGHT_UP, mark, f"see that {replica.name} can take over")
        except MpgError as error:
            raise ReplicaBehind(f"Replica {replica.name} cannot take over: {error}") from error

    async def switch_to(self, name: str, max_pause_s: float) -> None:
        """Make *name*, which has caught up, the primary; if it is that already, only route everybody to it.

        Cannot be cancelled in the middle: the cancellation follows when it is over and the record is true. Raises
        :class:`LongTransaction` with nothing changed.
        """
        await self._operation.finish(self._switch(name, max_pause_s))

    async def _switch(self, name: str, max_pause_s: float) -> None:
        await self._operation.commit(AbsencesPlanned(names=tuple(node.name for node in self._state.status.nodes)))
        spec, status = self._state.spec, self._state.status
        began = takeover_begins()
        # Until it returned, only the activity knows which node is the primary.
        self._switching = self._switched = True
        report = await self._operation.effect(
            effects.SWITCH_PRIMARY,
            effects.SwitchoverInput(
                cluster_id=spec.id,
                operation_id=workflow.info().workflow_id,
                status=status,
                plan=spec.plan,
                target=name,
                max_pause_s=max_pause_s,
            ),
            f"switch over to {name}",
        )
        # Even where it was the primary before: a try that failed late may have recorded the other one.
        others = tuple(node.name for node in status.nodes if node.name != name)
        fact = PrimaryIs(name=name, timeline=report.timeline, since=began)
        await self._operation.commit(fact, AbsencesPlanned(names=others))
        self._switching = False


def takeover_begins() -> datetime | None:
    """Return the moment, for the record of the new primary; None in an operation that began without."""
    return workflow.now() if workflow.patched(DATES_TAKEOVER) else None


def resources_of(node: Node) -> Resources:
    """Return the resources that *node* has."""
    return Resources(cpus=node.cpus, memory_mb=node.memory_mb)
