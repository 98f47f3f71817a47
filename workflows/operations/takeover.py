"""What a failover and a forced one share: the replica takes over from a primary that is lost."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import Node
    from model.effects import Bootstrap
    from model.errors import MpgError
    from model.facts import Fact, PrimaryIs
    from workflows.nodes import Nodes, resources_of, takeover_begins
    from workflows.operation import Operation


class Takeover:
    """Promotes the replica, routes everybody to it, brings the lost node back; for the operation that has the turn."""

    def __init__(self, operation: Operation) -> None:
        """Work as *operation*."""
        self._operation = operation
        self._nodes = Nodes(operation)

    async def promote(self, name: str, *facts: Fact) -> None:
        """Fence the primary, promote *name* and record it with *facts*; start the way in if that was lost as well."""
        spec, began = self._operation.state.spec, takeover_begins()
        report = await self._operation.effect(
            effects.FAIL_OVER,
            effects.FailoverInput(
                cluster_id=spec.id,
                operation_id=workflow.info().workflow_id,
                status=self._operation.state.status,
                plan=spec.plan,
                target=name,
            ),
            f"fail over to {name}",
        )
        await self._operation.commit(PrimaryIs(name=name, timeline=report.timeline, since=began), *facts)
        if not report.way_in_whole:
            await self._mend_way_in()

    async def _mend_way_in(self) -> None:
        """The endpoint or a pooler was lost with the primary: clients come before the lost node."""
        arg, summary = (
            effects.SettleInput(state=self._operation.state, start_primary=False),
            "start the endpoint and the poolers",
        )
        try:
            seen = await self._operation.effect(effects.SETTLE_CLUSTER, arg, summary)
        except MpgError as error:
            workflow.logger.error("the way in is not whole", extra={"error": str(error)})
        else:
            await self._operation.commit(*seen.facts)

    async def rebuild(self, lost: Node) -> str:
        """Bring the lost node back; return what became of it, to follow "Node b is the primary of … now".

        Clients are served already. If it does not come back, the watch tries again.
        """
        step = f"bring {lost.name} back as a replica"
        try:
            await self._operation.do(
                step, lambda: self._nodes.rebuild_replica(lost.name, lost.plan, resources_of(lost), Bootstrap.REJOIN)
            )
        except MpgError as error:
            await self._nodes.close_archive_gap()
            return f"node {lost.name} does not come back: {error}"
        return f"node {lost.name} was rebuilt as its replica."
