"""Restart: each node once, with a switchover between, so that clients wait a moment and no session is refused."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import Node, NodePhase
    from model.facts import AbsencesPlanned, NodeIs
    from model.operations import OperationResult, RestartRequest
    from workflows.nodes import Nodes
    from workflows.operation import Done, Operation


@workflow.defn
class Restart(Operation):
    """Restart one node, or both."""

    def __init__(self) -> None:
        """Begin without a turn."""
        super().__init__()
        self._nodes = Nodes(self)

    @workflow.run
    async def run(self, request: RestartRequest) -> OperationResult:
        """The replica first, then the primary: by a switchover where there is a replica to switch to."""

        async def steps() -> Done:
            primary, replica = self.primary_node, self.state.status.replica
            if replica is not None and request.node in {None, replica.name}:
                await self.do(f"restart replica {replica.name}", lambda: self._restart_replica(replica))
            if request.node in {None, primary.name}:
                await self._restart_primary(primary, request.max_pause_s)
            what = f"Node {request.node} of cluster" if request.node else "Cluster"
            return Done(f"{what} {self.state.spec.name} was restarted.")

        return await self.operate(request, steps)

    async def _restart_replica(self, replica: Node) -> None:
        await self._nodes.release_replica(replica, drain=True)
        await self._nodes.rejoin_replica(await self._restart(replica))

    async def _restart_primary(self, primary: Node, max_pause_s: float) -> None:
        replica = self.state.status.replica
        if replica is not None and replica.phase is NodePhase.RUNNING:
            # The container of an old primary is made again when it comes back: that is its restart.
            await self._nodes.exchange_roles(max_pause_s)
        else:
            await self.do(f"restart primary {primary.name}", lambda: self._restart_in_place(primary))

    async def _restart_in_place(self, primary: Node) -> None:
        await self.commit(AbsencesPlanned(names=(primary.name,)))
        await self.commit(NodeIs(node=await self._restart(primary)), AbsencesPlanned())

    async def _restart(self, node: Node) -> Node:
        return await self.effect(
            effects.RESTART_NODE,
            effects.RestartNodeInput(cluster_id=self.state.spec.id, node=node, requested_at=workflow.now()),
            f"restart {node.name}",
        )
