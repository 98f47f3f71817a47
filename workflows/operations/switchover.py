"""Switchover: the replica becomes the primary, and the old primary follows it."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model.operations import OperationResult, SwitchoverRequest
    from workflows.nodes import NodeOperation
    from workflows.operation import Done


@workflow.defn
class Switchover(NodeOperation):
    """Exchange the roles of the nodes."""

    @workflow.run
    async def run(self, request: SwitchoverRequest) -> OperationResult:
        """Switch over, then bring the old primary back as a replica."""

        async def steps() -> Done:
            await self.exchange_roles(request.max_pause_s)
            return Done(f"Node {self.primary_node.name} is now the primary of cluster {self.state.spec.name}.")

        return await self.operate(request, steps)
