"""Repair: the replica, a pooler or the endpoint is lost. Writes go on; what was lost comes back."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import Node
    from model.effects import Bootstrap, NodeRef, Rejoin
    from model.errors import HostFull, MpgError
    from model.facts import AbsencesPlanned
    from model.operations import OperationResult, RepairRequest
    from workflows.nodes import COPY_BESIDE, Nodes, resources_of
    from workflows.operation import Done, Operation, given


@workflow.defn
class Repair(Operation):
    """Started by the cluster itself, with the turn."""

    def __init__(self) -> None:
        """Begin without a turn."""
        super().__init__()
        self._nodes = Nodes(self)

    @workflow.run
    async def run(self, request: RepairRequest) -> OperationResult:
        """Bring back what was lost."""

        async def steps() -> Done:
            node = self.state.status.node(request.lost)
            if node is None:
                return await self._mend_way_in(request.lost)
            return await self._bring_back(node)

        return await self.operate(request, steps, given(request.state))

    async def _mend_way_in(self, lost: str) -> Done:
        replica = self.state.status.replica
        # Settling may start the replica anew; the primary it leaves alone while that one runs.
        await self.commit(AbsencesPlanned(names=(lost,) if replica is None else (lost, replica.name)))
        seen = await self.step(
            "start the endpoint and the poolers",
            effects.SETTLE_CLUSTER,
            effects.SettleInput(state=self.state, start_primary=False),
        )
        await self.commit(*seen.facts)
        return Done(f"The way into cluster {self.state.spec.name} serves again ({lost} was lost).")

    async def _bring_back(self, replica: Node) -> Done:
        """Let writes go on alone, then start the replica on its data; with a fresh copy if that cannot follow."""
        name = replica.name
        await self.do("let writes go on", lambda: self._nodes.release_replica(replica))
        key = NodeRef(cluster_id=self.state.spec.id, name=name)
        await self.step(f"see that {name} has ended", effects.FENCE_NODE, key)
        try:
            await self.do(f"start {name} again", lambda: self._rebuild(replica, Rejoin.REWIND))
        except MpgError as error:
            workflow.logger.warning("the replica does not follow", extra={"error": str(error)})
            if not workflow.patched(COPY_BESIDE):
                await self._replace_at_once(replica, error)
            elif self._is_in_sync(name):
                await self._route_again(error)
            else:
                await self._copy_anew(replica, error)
        return Done(f"Replica {name} of cluster {self.state.spec.name} is back.")

    def _is_in_sync(self, name: str) -> bool:
        node = self.state.status.node(name)
        return node is not None and node.in_sync

    async def _route_again(self, why: MpgError) -> None:
        """The replica is in sync, and only the way to it is not what it should be: that is put right as a whole."""
        workflow.logger.warning("reads are not routed to the replica", extra={"error": str(why)})
        seen = await self.step(
            "put the way in right",
            effects.SETTLE_CLUSTER,
            effects.SettleInput(state=self.state, start_primary=False),
        )
        await self.commit(*seen.facts)

    async def _copy_anew(self, replica: Node, why: MpgError) -> None:
        """Make a fresh copy where there is evidence that the data cannot follow; an error alone is none.

        The data stay beside the copy until that is in sync, unless there is no room for both; those that are ahead of
        the primary stay even then. Raises *why* without evidence, with nothing removed: the watch has it tried again.
        """
        verdict = await self._examined(replica)
        if verdict.evidence is None:
            raise why
        try:
            # It was the room that lacked for another copy already.
            if isinstance(why, HostFull):
                raise why
            how = Rejoin.AHEAD if verdict.ahead else Rejoin.BESIDE
            await self._copy(f"copy the primary beside the data of {replica.name}", replica, how)
        except HostFull as full:
            if verdict.ahead:
                raise
            workflow.logger.warning(
                "the data are removed before they are copied anew: there is no room for both",
                extra={"node": replica.name, "evidence": verdict.evidence, "error": str(full)},
            )
            await self._copy(f"copy the primary in place of the data of {replica.name}", replica, Rejoin.IN_PLACE)

    async def _examined(self, replica: Node) -> effects.DataVerdict:
        """What shows that the data of *replica* cannot follow."""
        key = NodeRef(cluster_id=self.state.spec.id, name=replica.name)
        seen = await self.step(f"look at the data of {replica.name}", effects.EXAMINE_DATA, key)
        workflow.logger.warning("looked at the data", extra={"node": replica.name, "evidence": seen.evidence})
        return seen

    async def _copy(self, step: str, replica: Node, how: Rejoin) -> None:
        """Copy only a primary that takes writes: else the data may be the best that there are."""
        primary, key = self.primary_node.name, NodeRef(cluster_id=self.state.spec.id, name=replica.name)
        await self.step(f"see that {primary} takes writes", effects.REQUIRE_WRITES, self.primary)
        # A copy is made when the node starts.
        await self.step(f"see that {replica.name} does not run", effects.FENCE_NODE, key)
        await self.do(step, lambda: self._rebuild(replica, how))

    async def _rebuild(self, replica: Node, how: Rejoin) -> None:
        await self._nodes.rebuild_replica(
            replica.name, replica.plan, resources_of(replica), Bootstrap.REJOIN, rejoin=how
        )

    # --- for repairs that had come this far with code that knew no other way ------------------------------------------

    async def _replace_at_once(self, replica: Node, why: MpgError) -> None:
        name, arg = replica.name, effects.RemoveNodeInput(cluster_id=self.state.spec.id, name=replica.name)
        await self.do(f"see that {self.primary_node.name} is well", lambda: self._nodes.release_replica(replica))
        try:
            await self.step(f"remove what {name} had", effects.REMOVE_NODE, arg)
        except MpgError as error:
            workflow.logger.error("what the replica had cannot be removed", extra={"error": str(error)})
            raise why from error
        plan, resources = replica.plan, resources_of(replica)
        await self.do(
            f"copy the primary to {name}", lambda: self._nodes.rebuild_replica(name, plan, resources, Bootstrap.CLONE)
        )
