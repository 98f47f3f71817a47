"""Repair: the replica, a pooler or the endpoint is lost. Writes go on; what was lost comes back."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import Node
    from model.effects import Bootstrap, NodeRef
    from model.errors import MpgError
    from model.facts import AbsencesPlanned
    from model.operations import OperationResult, RepairRequest
    from workflows.nodes import Nodes, resources_of
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
        """Let writes go on alone, then start the replica on its data; with a fresh copy if that does not follow."""
        name = replica.name
        await self.do("let writes go on", lambda: self._nodes.release_replica(replica))
        key = NodeRef(cluster_id=self.state.spec.id, name=name)
        await self.step(f"see that {name} has ended", effects.FENCE_NODE, key)
        try:
            await self.do(f"start {name} again", lambda: self._rebuild(replica, Bootstrap.REJOIN))
        except MpgError as error:
            workflow.logger.warning("the replica does not follow", extra={"error": str(error)})
            # It is removed only while the primary answers and can write to its disk: else it is the last copy.
            await self.do(f"see that {self.primary_node.name} is well", lambda: self._nodes.release_replica(replica))
            await self._remove(name, error)
            await self.do(f"copy the primary to {name}", lambda: self._rebuild(replica, Bootstrap.CLONE))
        return Done(f"Replica {name} of cluster {self.state.spec.name} is back.")

    async def _remove(self, name: str, why: MpgError) -> None:
        """Remove what the replica had. Where that cannot be, *why* it does not follow is what people have to know."""
        arg = effects.RemoveNodeInput(cluster_id=self.state.spec.id, name=name)
        try:
            await self.step(f"remove what {name} had", effects.REMOVE_NODE, arg)
        except MpgError as error:
            workflow.logger.error("what the replica had cannot be removed", extra={"error": str(error)})
            raise why from error

    async def _rebuild(self, replica: Node, bootstrap: Bootstrap) -> None:
        await self._nodes.rebuild_replica(replica.name, replica.plan, resources_of(replica), bootstrap)
