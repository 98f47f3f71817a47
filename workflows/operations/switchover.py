"""Switchover: the replica becomes the primary, and the old primary follows it."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model.operations import OperationResult, SwitchoverRequest
    from workflows.nodes import Nodes
    from workflows.operation import Done, Operation


@workflow.defn
class Switchover(Operation):
    """Exchange the roles of the nodes."""

    def __init__(self) -> None:
        """Begin without a turn."""
        super().__init__()
        self._nodes = Nodes(self)

    @workflow.run
    async def run(self, request: SwitchoverRequest) -> OperationResult:
        """Switch over, then bring the old primary back as a replica."""

        async def steps() -> Done:
            await self._nodes.exchange_roles(request.max_pause_s)
            return Done(f"Node {self.primary_node.name} is now the primary of cluster {self.state.spec.name}.")

        return await self.operate(request, steps)
